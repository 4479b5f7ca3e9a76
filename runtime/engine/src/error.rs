//! What can go wrong in the domain. Texts that Docker's clients show or decide by are Docker's.

use std::path::PathBuf;

use beeline_spawn::fault::{self, Point};

/// What kind of failure an error is; the API turns it into a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The object does not exist.
    NotFound,
    /// The request does not fit the object's present state.
    Conflict,
    /// The request is wrong in itself.
    InvalidParameter,
    /// The object is already as requested.
    NotModified,
    /// The request is understood and refused.
    Forbidden,
    /// What is needed for the request cannot be had at present.
    Unavailable,
    /// Beeline does not do this.
    NotImplemented,
    /// The engine or the kernel failed.
    Internal,
}

/// A request that could not be fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this id, id prefix or name.
    #[error("No such container: {reference}")]
    NoSuchContainer {
        /// What the user gave.
        reference: String,
    },
    /// No exec has this id, or it ended some time ago.
    #[error("No such exec instance: {id}")]
    NoSuchExec {
        /// What the user gave.
        id: String,
    },
    /// Several containers' ids begin with this.
    #[error("Multiple IDs found with provided prefix: {prefix}")]
    AmbiguousId {
        /// What the user gave.
        prefix: String,
    },
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove \
         (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name, without a slash.
        name: String,
        /// The container that has it.
        id: String,
    },
    /// No network has this id or name.
    #[error("network {reference} not found")]
    NoSuchNetwork {
        /// What the user gave.
        reference: String,
    },
    /// There is no driver of this name.
    #[error("plugin \"{name}\" not found: Beeline's networks have the driver bridge")]
    NoSuchPlugin {
        /// What the user gave.
        name: String,
    },
    /// The container has no such file.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchFile {
        /// What the user gave.
        path: String,
        /// The container's name.
        container: String,
    },
    /// No volume has this name.
    #[error("get {name}: no such volume")]
    NoSuchVolume {
        /// What the user gave.
        name: String,
    },
    /// There is no driver of volumes of this name.
    #[error(
        "error looking up volume plugin {name}: plugin \"{name}\" not found: Beeline's volumes have the driver local"
    )]
    NoSuchVolumeDriver {
        /// What the user gave.
        name: String,
    },
    /// The request is wrong in itself.
    #[error("{0}")]
    Invalid(String),
    /// The request does not fit the object's state.
    #[error("{0}")]
    Conflict(String),
    /// The object is already as requested.
    #[error("{0}")]
    NotModified(String),
    /// Beeline does not do this.
    #[error("{0}")]
    NotImplemented(String),
    /// The request is refused.
    #[error("{0}")]
    Forbidden(String),
    /// The container's command could not be executed, or the container not be built.
    #[error("{message}")]
    Start {
        /// The operation, the object and the reason.
        message: String,
        /// The exit code Docker gives for it: 125, 126 or 127.
        code: u8,
    },
    /// Published ports cannot be had.
    #[error("driver failed programming external connectivity on endpoint {name} ({id}): {reason}")]
    Publish {
        /// The container's name.
        name: String,
        /// The container's id.
        id: String,
        /// Which port, and why.
        reason: String,
    },
    /// The daemon is shutting down, or another one owns what is needed.
    #[error("{0}")]
    Unavailable(String),
    /// A file operation failed.
    #[error("{operation} {}", path.display())]
    File {
        /// What was attempted, as in "create directory".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The state database failed.
    #[error("{operation} in the state database")]
    Database {
        /// What was attempted.
        operation: &'static str,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// A stored record or a file of ours cannot be understood.
    #[error("read {what}")]
    Decode {
        /// Which.
        what: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The image store refused or failed.
    #[error(transparent)]
    Image(#[from] beeline_image::Error),
    /// Something beneath failed.
    #[error("{operation}: {message}")]
    Internal {
        /// What was attempted, with the object.
        operation: String,
        /// Why it failed, with all causes.
        message: String,
    },
}

impl Error {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer { .. }
            | Self::NoSuchExec { .. }
            | Self::NoSuchNetwork { .. }
            | Self::NoSuchPlugin { .. }
            | Self::NoSuchFile { .. }
            | Self::NoSuchVolume { .. }
            | Self::NoSuchVolumeDriver { .. } => Kind::NotFound,
            Self::AmbiguousId { .. } | Self::Invalid(_) => Kind::InvalidParameter,
            Self::NameTaken { .. } | Self::Conflict(_) => Kind::Conflict,
            Self::NotModified(_) => Kind::NotModified,
            Self::NotImplemented(_) => Kind::NotImplemented,
            Self::Forbidden(_) => Kind::Forbidden,
            // Docker answers 400 for a command that cannot be executed, 500 for anything else.
            Self::Start { code: 126 | 127, .. } => Kind::InvalidParameter,
            Self::Unavailable(_) => Kind::Unavailable,
            Self::Image(error) => match error.kind() {
                beeline_image::ErrorKind::NotFound => Kind::NotFound,
                beeline_image::ErrorKind::Conflict => Kind::Conflict,
                beeline_image::ErrorKind::InvalidParameter => Kind::InvalidParameter,
                beeline_image::ErrorKind::Forbidden => Kind::Forbidden,
                beeline_image::ErrorKind::Unavailable => Kind::Unavailable,
                beeline_image::ErrorKind::Internal => Kind::Internal,
            },
            Self::Start { .. }
            | Self::Publish { .. }
            | Self::File { .. }
            | Self::Database { .. }
            | Self::Decode { .. }
            | Self::Internal { .. } => Kind::Internal,
        }
    }

    /// An internal failure of `operation`, with the texts of all of the error's causes.
    pub(crate) fn internal(operation: impl Into<String>, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Internal { operation: operation.into(), message: chain(error) }
    }

    /// The message with the messages of all causes, as a person should read it.
    #[must_use]
    pub fn full(&self) -> String {
        chain(self)
    }
}

/// A step at which a test may have something go wrong.
pub(crate) fn fault(point: Point) -> Result<(), Error> {
    fault::fail(point).map_err(|error| Error::internal(format!("{point:?}"), &error))
}

/// The texts of an error and of its causes, joined by colons. A cause whose text the error already ends with (the
/// habit of some libraries) is not repeated.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let source = std::io::Error::other("disk on fire");
        let error = Error::File { operation: "create directory", path: "/x".into(), source };
        assert_eq!(error.full(), "create directory /x: disk on fire");
        let error = Error::internal("start", &error);
        assert_eq!(error.full(), "start: create directory /x: disk on fire");
    }
}
