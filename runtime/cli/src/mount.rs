//! `-v SOURCE:TARGET[:OPTIONS]` and `--mount`.

mod flag;

pub(crate) use flag::MountFlag;

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The form the daemon takes: a relative source becomes absolute, because the daemon has another working directory.
///
/// # Errors
/// When the target is not absolute or the working directory is unknown.
pub(crate) fn bind(text: &str) -> Result<String> {
    let Some((source, rest)) = text.split_once(':') else {
        if text.starts_with('/') {
            return Ok(text.to_owned());
        }
        bail!("invalid volume {text:?}: use SOURCE:TARGET[:ro], with an absolute target");
    };
    if !rest.starts_with('/') {
        bail!("invalid volume {text:?}: the target must be an absolute path");
    }
    if source.starts_with('.') {
        let directory = std::env::current_dir().context("find the working directory")?;
        return Ok(format!("{}:{rest}", absolute(&directory, Path::new(source)).display()));
    }
    Ok(text.to_owned())
}

/// `path` below `directory`, without `.` and `..`. Links are left to the daemon, which resolves them when it mounts.
fn absolute(directory: &Path, path: &Path) -> PathBuf {
    let mut whole = directory.to_owned();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            other => whole.push(other),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_source_becomes_absolute() {
        assert_eq!(absolute(Path::new("/a/b"), Path::new("./c")), Path::new("/a/b/c"));
        assert_eq!(absolute(Path::new("/a/b"), Path::new("../c")), Path::new("/a/c"));
        assert_eq!(bind("/x:/y:ro").unwrap(), "/x:/y:ro");
        assert_eq!(bind("name:/y").unwrap(), "name:/y");
        assert!(bind("/x:y").is_err() && bind("x").is_err());
    }
}
