//! What can go wrong with a control group.

use std::io;
use std::path::PathBuf;

/// A failed operation on a control group.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has no control groups mounted.
    #[error("no cgroup file system is mounted: mount cgroup2 at /sys/fs/cgroup")]
    NotMounted,
    /// The path of a group is not absolute, or has `.` or `..` in it.
    #[error("cgroup path {path:?} is not an absolute path of plain names")]
    Path {
        /// The path asked for.
        path: String,
    },
    /// A file system operation failed.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried: "create", "open", "read", "remove".
        operation: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// The kernel refused a setting.
    #[error("write {value:?} to {}", path.display())]
    Write {
        /// The control file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// The system call's error.
        source: io::Error,
    },
    /// A limit was asked for whose controller the host does not have.
    #[error("limit {what}: the host's {controller} cgroup controller is not available")]
    NoController {
        /// The limit.
        what: &'static str,
        /// The controller that has it.
        controller: &'static str,
    },
    /// A limit was asked for that is not implemented.
    #[error("resources.{what} is not supported")]
    Unsupported {
        /// The field of the OCI resources.
        what: &'static str,
    },
    /// Weights were asked for, and no scheduler of block devices has any.
    #[error("resources.blockIO: this host has no {what}: they need the scheduler BFQ, or io.cost on cgroup2")]
    NoWeights {
        /// Which.
        what: &'static str,
    },
    /// Processes in the group did not die in time.
    #[error("processes in cgroup {path} do not die")]
    Busy {
        /// The group's path.
        path: String,
    },
    /// Several operations failed; the others were done.
    #[error("{}", join(.0))]
    Several(Vec<Error>),
}

impl Error {
    /// `Ok` without errors, the error itself when there is one, all of them otherwise.
    pub(super) fn collect(mut errors: Vec<Error>) -> Result<(), Error> {
        match errors.pop() {
            None => Ok(()),
            Some(only) if errors.is_empty() => Err(only),
            Some(last) => {
                errors.push(last);
                Err(Error::Several(errors))
            }
        }
    }
}

fn join(errors: &[Error]) -> String {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
        .collect();
    texts.join("; ")
}
