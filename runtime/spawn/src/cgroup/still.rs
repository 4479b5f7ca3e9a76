//! A group whose processes are held still for a moment, so that their files do not change under a reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::{Cgroup, Error};

/// How long processes may take to stop: one that waits for a disk stops when the disk answers.
const PATIENCE: u32 = 500;
const STEP: Duration = Duration::from_millis(10);

/// Holds the processes of a group still until it is dropped.
#[derive(Debug)]
pub struct Still {
    file: PathBuf,
    go: &'static str,
}

impl Cgroup {
    /// Holds all processes of the group still. None if they are held already: then it is not ours to let them go.
    ///
    /// # Errors
    /// The host has no freezer, or a process does not stop in time; then all go on.
    pub fn hold_still(&self) -> Result<Option<Still>, Error> {
        let paths = self.paths();
        let (file, stop, go) = match paths.v1.get("freezer") {
            Some(group) => (group.join("freezer.state"), "FROZEN", "THAWED"),
            None => {
                let unified = paths.unified.ok_or(Error::Unsupported { what: "freezer" })?;
                (unified.join("cgroup.freeze"), "1", "0")
            }
        };
        if read(&file)?.trim() == stop {
            return Ok(None);
        }
        let write = |value: &str| {
            fs::write(&file, value).map_err(|source| Error::Write {
                path: file.clone(),
                value: value.to_owned(),
                source,
            })
        };
        write(stop)?;
        // From here on dropping lets them go.
        let still = Still { file: file.clone(), go };
        for _ in 0..PATIENCE {
            if is_still(&file, stop)? {
                return Ok(Some(still));
            }
            sleep(STEP);
            if stop == "FROZEN" {
                // A process that was born meanwhile is caught by the next attempt.
                write(stop)?;
            }
        }
        Err(Error::Busy { path: self.path().to_owned() })
    }
}

fn is_still(file: &Path, stop: &str) -> Result<bool, Error> {
    if stop == "FROZEN" {
        return Ok(read(file)?.trim() == stop);
    }
    Ok(read(&file.with_file_name("cgroup.events"))?.lines().any(|line| line == "frozen 1"))
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io { operation: "read", path: path.to_owned(), source })
}

impl Drop for Still {
    fn drop(&mut self) {
        // A group that is gone has nobody to let go.
        let _ = fs::write(&self.file, self.go);
    }
}
