//! Reading and writing control files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::Error;

/// Writes a control file in one system call, as the kernel wants it. A control file is never created.
pub(super) fn write(path: &Path, value: &str) -> Result<(), Error> {
    let result =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    result.map_err(|source| Error::Write { path: path.to_owned(), value: value.to_owned(), source })
}

/// As [`write`], for a file that not every kernel has: whether it was there.
pub(super) fn write_if_present(path: &Path, value: &str) -> Result<bool, Error> {
    match write(path, value) {
        Ok(()) => Ok(true),
        Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a control file.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io { operation: "read", path: path.to_owned(), source })
}

/// The value of `key` in a file of lines `key value`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
