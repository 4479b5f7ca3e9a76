//! Where flows and events are written.

use std::path::PathBuf;

use anyhow::{Result, bail};
use beeline_api::Export;
use beeline_engine::parse_size;
use serde::Deserialize;

use super::either;

/// The least size of a file: what is written together must fit.
const LEAST_SIZE: u64 = 1 << 16;

/// The flags.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ExportFlags {
    /// Write flows and events as JSON lines to a file, or to journald
    #[arg(long, value_name = "FILE")]
    flow_export: Option<PathBuf>,
    /// How large that file gets before another one is begun [default: 100m]
    #[arg(long, value_name = "BYTES")]
    flow_export_max_size: Option<String>,
    /// How many of them are kept [default: 5]
    #[arg(long, value_name = "NUMBER")]
    flow_export_max_file: Option<u32>,
}

/// What daemon.json says of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ExportKeys {
    to: Option<PathBuf>,
    max_size: Option<String>,
    max_file: Option<u32>,
}

/// Merges both.
pub(super) fn export(flags: ExportFlags, keys: ExportKeys) -> Result<Option<Export>> {
    let target = either("flow-export", flags.flow_export, keys.to)?;
    let max_size = either("flow-export's max-size", flags.flow_export_max_size, keys.max_size)?;
    let max_file = either("flow-export's max-file", flags.flow_export_max_file, keys.max_file)?;
    let is_limited = max_size.is_some() || max_file.is_some();
    let Some(path) = target else {
        if is_limited {
            bail!(
                "max-size and max-file of flow-export are about a file: say which with --flow-export, or to"
            );
        }
        return Ok(None);
    };
    if path.as_os_str() == "journald" {
        if is_limited {
            bail!("max-size and max-file of flow-export are about a file: journald has limits of its own");
        }
        return Ok(Some(Export::Journal));
    }
    if !path.is_absolute() {
        bail!("flow-export {:?}: give the whole path of a file, or journald", path.display().to_string());
    }
    let size = max_size.unwrap_or_else(|| "100m".to_owned());
    let Some(max_size) = parse_size(&size).filter(|size| *size >= LEAST_SIZE) else {
        bail!("flow-export: max-size {size:?}: give a size of 64k or more, such as 100m");
    };
    let max_files = max_file.unwrap_or(5);
    if max_files == 0 {
        bail!("flow-export: max-file 0: one file is the least");
    }
    Ok(Some(Export::File { path, max_size, max_files }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(target: Option<&str>, max_size: Option<&str>, max_file: Option<u32>) -> Result<Option<Export>> {
        let keys =
            ExportKeys { to: target.map(PathBuf::from), max_size: max_size.map(str::to_owned), max_file };
        export(ExportFlags::default(), keys)
    }

    #[test]
    fn a_file_has_limits_and_the_journal_its_own() {
        assert_eq!(merged(None, None, None).unwrap(), None);
        assert_eq!(merged(Some("journald"), None, None).unwrap(), Some(Export::Journal));
        let file =
            |max_size, max_files| Some(Export::File { path: "/var/log/flows".into(), max_size, max_files });
        assert_eq!(merged(Some("/var/log/flows"), None, None).unwrap(), file(100 << 20, 5));
        assert_eq!(merged(Some("/var/log/flows"), Some("64k"), Some(1)).unwrap(), file(1 << 16, 1));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (given, named) in [
            (merged(None, Some("1m"), None), "say which"),
            (merged(Some("journald"), None, Some(2)), "journald has limits of its own"),
            (merged(Some("flows"), None, None), "the whole path"),
            (merged(Some("/f"), Some("1k"), None), "64k or more"),
            (merged(Some("/f"), Some("much"), None), "such as 100m"),
            (merged(Some("/f"), None, Some(0)), "one file is the least"),
        ] {
            let error = given.unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
