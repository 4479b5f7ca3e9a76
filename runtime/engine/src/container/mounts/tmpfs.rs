//! Temporary file systems.

use super::{MountKind, UserMount, destination};
use crate::error::Error;

/// What every one has, unless it says otherwise.
const DEFAULTS: [&str; 3] = ["noexec", "nosuid", "nodev"];

/// Options that the kernel knows, alone and with a value.
const FLAGS: [&str; 20] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "defaults",
    "noswap",
    "sync",
    "async",
];
const KEYS: [&str; 8] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"];

/// Reads `path` and its options.
///
/// # Errors
/// An option is not a tmpfs'.
pub(super) fn parse(path: &str, options: &str) -> Result<UserMount, Error> {
    let destination = destination(path, path)?;
    let mut all = defaults();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        all.push(check(option)?);
    }
    let writable = !all.iter().any(|option| option == "ro");
    // These are the propagation's and the driver's words, which the kernel's own do not have.
    all.retain(|option| !matches!(option.as_str(), "defaults" | "sync" | "async"));
    Ok(UserMount { destination, kind: MountKind::Tmpfs(all), writable, mode: options.to_owned() })
}

pub(super) fn defaults() -> Vec<String> {
    DEFAULTS.map(Into::into).into()
}

/// An option, if it is a tmpfs'.
///
/// # Errors
/// It is not.
pub(super) fn check(option: &str) -> Result<String, Error> {
    let known = match option.split_once('=') {
        Some((key, value)) => KEYS.contains(&key) && !value.is_empty(),
        None => FLAGS.contains(&option),
    };
    if known {
        Ok(option.to_owned())
    } else {
        Err(Error::Invalid(format!("invalid tmpfs option [\"{option}\"]")))
    }
}
