//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::changes::InvalidChange;
use crate::digest::InvalidDigest;
use crate::{Digest, InvalidReference};

/// A failed operation on the store; the text names the operation and its object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No image has this name or id.
    #[error("No such image: {0}")]
    NotFound(String),
    /// The beginning of an id that several images share.
    #[error("image id {0} is ambiguous: give more of its characters")]
    Ambiguous(String),
    /// A container needs the image.
    #[error("conflict: unable to remove {0} (must force): a container is using the image")]
    InUse(String),
    /// The image has several names, and the id alone does not say which to remove.
    #[error("conflict: unable to delete {0} (must be forced): image is referenced in multiple repositories")]
    ManyReferences(String),
    /// Not an image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// A tag is wanted, not a digest.
    #[error("cannot tag {0}: a digest is not a tag")]
    DigestAsTag(String),
    /// A change of the configuration that is not understood.
    #[error(transparent)]
    Change(#[from] InvalidChange),
    /// The archive ends too early, or what it holds is not what it says.
    #[error("{what}: {reason}")]
    Archive {
        /// The operation and its object.
        what: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The archive cannot be read.
    #[error("{what}: {source}")]
    Read {
        /// The operation and its object.
        what: String,
        /// What the reader said.
        source: io::Error,
    },
    /// An entry of a layer cannot be made.
    #[error("extract {path:?}: {source}")]
    Entry {
        /// The entry's name in the archive.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// An entry that would leave the layer, or is of no kind that a layer holds.
    #[error("refuse archive entry {path:?}: {reason}")]
    Refused {
        /// The entry's name in the archive.
        path: String,
        /// Why it cannot be extracted.
        reason: &'static str,
    },
    /// There is no file of this name.
    #[error("no such file or directory: {0}")]
    NoFile(String),
    /// Files are unpacked into directories only.
    #[error("extraction point is not a directory: {0}")]
    NotADirectory(String),
    /// The archive has a directory where a file is, or the other way round, and may not replace it.
    #[error("{0}")]
    Overwrite(String),
    /// What is mounted there cannot be written to.
    #[error("{0} is marked read-only")]
    ReadOnly(String),
    /// Content that differs from its digest.
    #[error("{what}: its digest is {found}, not {expected}: the archive is damaged")]
    DigestMismatch {
        /// What was read.
        what: String,
        /// The digest it was announced with.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// A layer in the store is not what was extracted.
    #[error("layer {diff_id} was changed in the store: {reason}; remove the image and load it again")]
    LayerChanged {
        /// The layer's digest.
        diff_id: Digest,
        /// What differs.
        reason: String,
    },
    /// Another process has the store open.
    #[error("the image store {0} is in use by another daemon: stop it, or choose another --root")]
    Locked(PathBuf),
    /// A file of the store cannot be used.
    #[error("{operation} {path}: {source}", path = path.display())]
    Store {
        /// What was attempted.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store's own record cannot be read.
    #[error("read {path}: {source}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        source: serde_json::Error,
    },
}

/// The kinds of failure that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// The state of something else forbids it.
    Conflict,
    /// The request or the archive is wrong.
    InvalidParameter,
    /// It may not be changed.
    Forbidden,
    /// Something else has to end first.
    Unavailable,
    /// The machine failed: disk, memory, permissions.
    Internal,
}

impl Error {
    /// Which kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoFile(_) => ErrorKind::NotFound,
            Self::ReadOnly(_) => ErrorKind::Forbidden,
            Self::InUse(_) | Self::ManyReferences(_) => ErrorKind::Conflict,
            Self::Ambiguous(_)
            | Self::Reference(_)
            | Self::DigestAsTag(_)
            | Self::Change(_)
            | Self::Archive { .. }
            | Self::Refused { .. }
            | Self::NotADirectory(_)
            | Self::Overwrite(_)
            | Self::DigestMismatch { .. } => ErrorKind::InvalidParameter,
            Self::Locked(_) => ErrorKind::Unavailable,
            Self::Read { source, .. } if is_machines(source.kind()) => ErrorKind::Internal,
            Self::Read { .. } => ErrorKind::InvalidParameter,
            Self::Entry { .. } | Self::LayerChanged { .. } | Self::Store { .. } | Self::Record { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// Whether what the store holds is wrong, and trying again would not help.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Archive { .. } | Self::DigestMismatch { .. } | Self::LayerChanged { .. } => true,
            Self::Store { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    pub(crate) fn archive(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Archive { what: what.into(), reason: reason.into() }
    }

    /// The tar library's failure to read `what`: it tells by kind whether the archive is at fault.
    pub(crate) fn tar(what: &str, error: io::Error) -> Self {
        let what = format!("read {what}");
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the archive is truncated".to_owned(),
            io::ErrorKind::Other if error.to_string() == "failed to read entire block" => {
                "the archive is truncated".to_owned()
            }
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                format!("not a valid tar archive: {error}")
            }
            _ => return Self::Read { what, source: error },
        };
        Self::Archive { what, reason }
    }

    pub(crate) fn json(what: &str, error: &serde_json::Error) -> Self {
        Self::archive(format!("read {what}"), format!("not the JSON it should be: {error}"))
    }

    pub(crate) fn digest(what: &str, error: &InvalidDigest) -> Self {
        Self::archive(format!("read {what}"), error.to_string())
    }
}

/// Whether a failure while reading is the disk's: what is read is recorded at once.
fn is_machines(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied
    )
}

/// Names the operation and the path of a failed call on the store's own files.
pub(crate) fn at<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |source| Error::Store { operation, path, source: source.into() }
}
