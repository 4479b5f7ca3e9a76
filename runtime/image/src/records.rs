//! The store's record of images and their names: one file, replaced atomically.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::error::at;
use crate::layer::sync_directory;
use crate::{Error, ImageId, ImageRef};

/// Every image with its names, and where the embedded one came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Records {
    pub(crate) images: BTreeMap<ImageId, BTreeSet<ImageRef>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) embedded: Option<Embedded>,
}

/// The binary that the embedded image was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Embedded {
    pub(crate) binary: Binary,
    pub(crate) image: ImageId,
}

/// What tells one binary from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binary {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: u128,
}

impl Binary {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified_ns: modified.map_or(0, |time| time.as_nanos()),
        }
    }
}

impl Records {
    /// Adds an image; the names it is given leave the images that had them.
    pub(crate) fn add(&mut self, id: ImageId, references: impl IntoIterator<Item = ImageRef>) {
        self.images.entry(id).or_default();
        for reference in references {
            for names in self.images.values_mut() {
                names.remove(&reference);
            }
            self.images.entry(id).or_default().insert(reference);
        }
    }

    /// Reads the file; a store without one is new.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(at("read", path)(error)),
        };
        serde_json::from_slice(&text).map_err(|source| Error::Record { path: path.to_owned(), source })
    }

    /// Replaces the file: after a crash it is the old one or the new one.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::Record { path: path.to_owned(), source })?;
        write_atomically(path, &text)
    }
}

/// Writes a file durably under its name, or leaves what was there.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).map_err(at("create", &temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at("write", &temporary))?;
    fs::rename(&temporary, path).map_err(at("replace", path))?;
    sync_directory(&directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn id(content: &str) -> ImageId {
        ImageId(Digest::of(content.as_bytes()))
    }

    #[test]
    fn a_name_belongs_to_one_image() {
        let mut records = Records::default();
        let name: ImageRef = "app".parse().unwrap();
        records.add(id("old"), [name.clone()]);
        records.add(id("new"), [name.clone()]);
        assert!(records.images[&id("old")].is_empty());
        assert!(records.images[&id("new")].contains(&name));
    }

    #[test]
    fn records_read_back_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("images.json");
        let mut records = Records::default();
        records.add(id("a"), ["a:1".parse().unwrap(), "localhost:5000/b".parse().unwrap()]);
        records.write(&path).unwrap();
        assert_eq!(Records::read(&path).unwrap(), records);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("images.json");
        fs::write(&path, "{\n\"images\": 3}").unwrap();
        let message = Records::read(&path).unwrap_err().to_string();
        assert!(message.contains("line 2"), "{message}");
    }
}
