//! The digest of everything the object is made from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{Error, build};

/// Files and folders, relative to the repository's root, that the object is made from.
pub const INPUTS: [&str; 6] = [
    "ebpf/Cargo.lock",
    "ebpf/Cargo.toml",
    "ebpf/abi/Cargo.toml",
    "ebpf/abi/src",
    "ebpf/programs/Cargo.toml",
    "ebpf/programs/src",
];

/// The SHA-256, in hexadecimal, of the sources under `root` and the flags they are built with.
///
/// # Errors
/// [`Error::Read`] when a file cannot be read.
pub fn sources_digest(root: &Path) -> Result<String, Error> {
    let mut files = Vec::new();
    for input in INPUTS {
        collect(&root.join(input), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for flag in build::FLAGS {
        hasher.update(flag);
        hasher.update([0]);
    }
    for file in files {
        let content = fs::read(&file).map_err(|source| Error::Read { path: file.clone(), source })?;
        let name = file.strip_prefix(root).unwrap_or(&file);
        hasher.update(name.as_os_str().as_encoded_bytes());
        hasher.update([0]);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    Ok(hex::encode(hasher.finalize()))
}

/// The SHA-256 of one file in hexadecimal.
///
/// # Errors
/// [`Error::Read`] when the file cannot be read.
pub fn file_digest(path: &Path) -> Result<String, Error> {
    let content = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    Ok(hex::encode(Sha256::digest(content)))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let read = |source: io::Error| Error::Read { path: path.into(), source };
    if !path.is_dir() {
        files.push(path.into());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?.path();
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "rs") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
