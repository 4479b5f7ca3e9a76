//! Why a container could not be made.

use std::io;
use std::path::PathBuf;

use super::user::UserError;
use crate::cgroup;
use crate::seccomp;

/// A container that could not be made, or whose command could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The OCI configuration lacks something, or contradicts itself.
    #[error("config.json: {reason}")]
    Config {
        /// What is wrong.
        reason: String,
    },
    /// The OCI configuration asks for what is not implemented.
    #[error("config.json: {what} is not supported")]
    Unsupported {
        /// The field or its value.
        what: String,
    },
    /// A file that the container needs from the host cannot be used.
    #[error("{operation} {}", path.display())]
    Host {
        /// What was tried.
        operation: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// The container's group is missing.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// The seccomp profile cannot be compiled.
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
    /// The process could not be cloned.
    #[error("clone the container's init")]
    Clone(#[source] io::Error),
    /// A step of building the container failed.
    #[error("{what}{}", detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
    Step {
        /// The operation and its object: "mount proc on /proc".
        what: String,
        /// What the kernel says beyond the number, if it does.
        detail: Option<String>,
        /// The system call's error.
        source: io::Error,
    },
    /// The container's user cannot be determined.
    #[error(transparent)]
    User(#[from] UserError),
    /// The command cannot be executed.
    #[error("exec {path:?}")]
    Exec {
        /// The command, as the configuration has it.
        path: String,
        /// The system call's error.
        source: io::Error,
    },
    /// Init was killed before it was ready: for want of memory, if the group's limit is very low.
    #[error("the container's init was killed while it was set up: is its memory limit too low?")]
    Died,
    /// What the caller has to do while init is made failed.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
    /// Talking to init failed.
    #[error("talk to the container's init")]
    Sync(#[source] io::Error),
}

impl Error {
    /// The exit code Docker's clients give: 127 when the command does not exist, 126 when it cannot be executed, 125
    /// for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exec { source, .. } => match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => 127,
                _ => 126,
            },
            _ => 125,
        }
    }

    pub(super) fn config(reason: impl Into<String>) -> Self {
        Self::Config { reason: reason.into() }
    }

    pub(crate) fn caller(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Caller(Box::new(error))
    }

    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}
