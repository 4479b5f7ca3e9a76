//! Why an operation of the runtime failed.

use std::io;
use std::path::{Path, PathBuf};

use super::Status;
use crate::{cgroup, container};

/// A failed operation. The words are those that containerd and podman look for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an id that a directory can be named after.
    #[error("invalid container id {id:?}: it may have letters, digits and _ + - . only")]
    Id {
        /// The id.
        id: String,
    },
    /// The id is taken.
    #[error("container with id {id} exists already")]
    Exists {
        /// The id.
        id: String,
    },
    /// There is no such container.
    #[error("container {id} does not exist")]
    Missing {
        /// The id.
        id: String,
    },
    /// Another process works on the container.
    #[error("container {id} is busy: another operation on it has not ended")]
    Busy {
        /// The id.
        id: String,
    },
    /// The operation needs a container in another state.
    #[error("cannot {operation} container {id}: it is {status}")]
    State {
        /// What was tried.
        operation: &'static str,
        /// The id.
        id: String,
        /// What it is.
        status: Status,
    },
    /// A signal for a container without a process.
    #[error("container not running: {id} is {status}")]
    NotRunning {
        /// The id.
        id: String,
        /// What it is.
        status: Status,
    },
    /// The configuration cannot be read.
    #[error("read {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The request contradicts itself or the configuration.
    #[error("{0}")]
    Request(String),
    /// A file operation failed.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// A hook failed.
    #[error("{kind} hook {} {reason}", path.display())]
    Hook {
        /// `prestart`, `createRuntime`, …
        kind: &'static str,
        /// Its program.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The container's group cannot be made, changed or removed.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// The container cannot be made, or its command not be executed.
    #[error(transparent)]
    Container(#[from] container::Error),
}

impl Error {
    pub(super) fn io(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { operation, path: path.to_owned(), source: source.into() }
    }
}
