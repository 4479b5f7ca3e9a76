//! Settings that say what confines containers which do not say so themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use beeline_engine::{Remap, SeccompProfile, SecurityDefaults, Ulimit};
use clap::Args;
use serde::Deserialize;

use super::either;

#[derive(Debug, Default, Args)]
pub(super) struct SecurityFlags {
    /// The seccomp profile of containers that name none: a file, "builtin" or "unconfined" [default: builtin]
    #[arg(long, value_name = "PROFILE")]
    seccomp_profile: Option<String>,
    /// Programs in containers gain no privileges by being executed, unless the container says otherwise
    #[arg(long)]
    no_new_privileges: bool,
    /// A resource limit of containers that have none of this kind: NAME=SOFT[:HARD]; may be repeated
    #[arg(long, value_name = "LIMIT", value_parser = parse_ulimit)]
    default_ulimit: Vec<Ulimit>,
    /// Give containers user namespaces with the subordinate users and groups of a user: USER[:GROUP] by name or number, or
    /// "default" [default: off]
    #[arg(long, value_name = "USER")]
    userns_remap: Option<String>,
}

/// The same in daemon.json.
#[derive(Debug, Default)]
pub(super) struct SecurityKeys {
    pub(super) seccomp_profile: Option<String>,
    pub(super) no_new_privileges: Option<bool>,
    pub(super) default_ulimits: Option<BTreeMap<String, UlimitEntry>>,
    pub(super) userns_remap: Option<String>,
}

/// An entry of `default-ulimits`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct UlimitEntry {
    name: Option<String>,
    soft: i64,
    hard: i64,
}

pub(super) fn security(flags: SecurityFlags, file: SecurityKeys) -> Result<SecurityDefaults> {
    let profile = either("seccomp-profile", flags.seccomp_profile, file.seccomp_profile)?;
    let flag = flags.no_new_privileges.then_some(true);
    let given = (!flags.default_ulimit.is_empty()).then_some(flags.default_ulimit);
    let remap = either("userns-remap", flags.userns_remap, file.userns_remap)?;
    let remap = remap.filter(|setting| !setting.is_empty());
    let listed = file.default_ulimits.map(listed).transpose()?;
    Ok(SecurityDefaults {
        seccomp: match profile.as_deref() {
            None | Some("" | "builtin") => SeccompProfile::Builtin,
            Some("unconfined") => SeccompProfile::Unconfined,
            Some(path) => SeccompProfile::read(PathBuf::from(path)).context("seccomp-profile")?,
        },
        no_new_privileges: either("no-new-privileges", flag, file.no_new_privileges)?.unwrap_or(false),
        ulimits: either("default-ulimits", given, listed)?.unwrap_or_default(),
        remap: remap.map(|setting| Remap::of_host(&setting)).transpose().context("userns-remap")?,
    })
}

fn listed(entries: BTreeMap<String, UlimitEntry>) -> Result<Vec<Ulimit>> {
    let entry = |(key, UlimitEntry { name, soft, hard }): (String, UlimitEntry)| {
        if name.as_ref().is_some_and(|name| *name != key) {
            bail!("default-ulimits: {key:?} has the name {name:?}");
        }
        checked(Ulimit { name: key, soft, hard })
            .map_err(|reason| anyhow::anyhow!("default-ulimits: {reason}"))
    };
    entries.into_iter().map(entry).collect()
}

/// Reads `nofile=1024:2048`.
fn parse_ulimit(text: &str) -> Result<Ulimit, String> {
    let read = || {
        let (name, limits) = text.split_once('=')?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        Some(Ulimit { name: name.to_owned(), soft: soft.parse().ok()?, hard: hard.parse().ok()? })
    };
    checked(read().ok_or("use NAME=SOFT[:HARD], such as nofile=1024:2048")?)
}

fn checked(limit: Ulimit) -> Result<Ulimit, String> {
    limit.check().map_err(|error| error.to_string())?;
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, soft: i64, hard: i64) -> Ulimit {
        Ulimit { name: name.into(), soft, hard }
    }

    #[test]
    fn limits_are_read_from_flags_and_from_the_file() {
        assert_eq!(parse_ulimit("nofile=1024:2048"), Ok(limit("nofile", 1024, 2048)));
        assert_eq!(parse_ulimit("core=0"), Ok(limit("core", 0, 0)));
        for (text, part) in
            [("nofile", "NAME=SOFT"), ("nofil=1", "invalid ulimit type: nofil"), ("nofile=2:1", "soft limit")]
        {
            let error = parse_ulimit(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let file =
            r#"{"nofile": {"Name": "nofile", "Soft": 64, "Hard": 128}, "core": {"Soft": 0, "Hard": -1}}"#;
        let entries: BTreeMap<String, UlimitEntry> = serde_json::from_str(file).unwrap();
        assert_eq!(listed(entries).unwrap(), [limit("core", 0, -1), limit("nofile", 64, 128)]);
        let other: BTreeMap<String, UlimitEntry> =
            serde_json::from_str(r#"{"core": {"Name": "nofile", "Soft": 0, "Hard": 0}}"#).unwrap();
        assert!(listed(other).unwrap_err().to_string().contains("\"core\" has the name"));
    }

    #[test]
    fn a_profile_is_read_when_the_daemon_starts() {
        let with = |profile: &str| {
            let keys = SecurityKeys { seccomp_profile: Some(profile.to_owned()), ..SecurityKeys::default() };
            security(SecurityFlags::default(), keys).map(|security| security.seccomp)
        };
        assert_eq!(with("unconfined").unwrap(), SeccompProfile::Unconfined);
        assert_eq!(with("").unwrap(), SeccompProfile::Builtin);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, r#"{"defaultAction": "SCMP_ACT_NOTHING"}"#).unwrap();
        let error = format!("{:#}", with(&file.path().display().to_string()).unwrap_err());
        assert!(error.contains("seccomp-profile") && error.contains("SCMP_ACT_NOTHING"), "{error}");
        assert!(with("/no/such/file").is_err());
    }
}
