//! Layers: each extracted once, kept under the digest of its uncompressed archive.

mod durability;
pub(crate) mod extract;
pub(crate) mod pax;
mod split;
pub(crate) mod tape;
pub(crate) mod tree;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use self::durability::WriteBack;
use self::split::Frame;
use crate::error::at;
use crate::{Digest, Error};

/// Characters of the digest in a layer's path: overlayfs takes all of an image's paths in one page of options.
const SHORT: usize = 16;
const DIFF: &str = "diff";
const ASIDE: &str = "aside";
const RECORD: &str = "archive.zst";
const INFO: &str = "layer.json";

/// A file that a later entry of the same archive replaced: its contents are still part of the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Replaced {
    /// Its path in the layer, in hexadecimal: names in archives are bytes.
    path: String,
    /// Files with contents that the archive had before the replacement.
    payloads: u64,
}

/// What the store remembers of a layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) diff_id: Digest,
    /// Bytes of the uncompressed archive.
    pub(crate) archive_size: u64,
    /// Bytes of the files.
    pub(crate) content_size: u64,
    replaced: Vec<Replaced>,
    /// The boot in which it was extracted, until it is known to be on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsynced_in_boot: Option<String>,
}

/// An extracted layer that is not in the store yet; dropping it removes it.
pub(crate) struct Prepared {
    directory: TempDir,
    pub(crate) info: Info,
    /// Whether the archive said where it ends: without, it may have been cut between two entries.
    pub(crate) complete: bool,
}

/// The layers of a store.
pub(crate) struct Layers {
    directory: PathBuf,
    temporary: PathBuf,
    write_back: WriteBack,
}

impl Layers {
    pub(crate) fn open(directory: PathBuf, temporary: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        Ok(Self { directory, temporary, write_back: WriteBack::default() })
    }

    fn place(&self, diff_id: &Digest) -> PathBuf {
        self.directory.join(&diff_id.hex()[..SHORT])
    }

    /// The directory for overlayfs.
    pub(crate) fn diff(&self, diff_id: &Digest) -> PathBuf {
        self.place(diff_id).join(DIFF)
    }

    /// What is known of a layer; none when the store does not have it.
    pub(crate) fn info(&self, diff_id: &Digest) -> Result<Option<Info>, Error> {
        let path = self.place(diff_id).join(INFO);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("read", &path)(error)),
        };
        let info: Info =
            serde_json::from_slice(&text).map_err(|source| Error::Record { path: path.clone(), source })?;
        if info.diff_id != *diff_id {
            let reason = format!("its place is taken by {}", info.diff_id);
            return Err(Error::LayerChanged { diff_id: *diff_id, reason });
        }
        Ok(Some(info))
    }

    /// Extracts an uncompressed archive; [`Layers::commit`] makes it a layer.
    pub(crate) fn prepare(&self, archive: impl Read, what: &str) -> Result<Prepared, Error> {
        let directory =
            tempfile::tempdir_in(&self.temporary).map_err(at("create a directory in", &self.temporary))?;
        let (diff, aside) = (directory.path().join(DIFF), directory.path().join(ASIDE));
        for path in [&diff, &aside] {
            fs::create_dir(path).map_err(at("create", path))?;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&diff, mode).map_err(at("change the mode of", &diff))?;
        let record = directory.path().join(RECORD);
        let file = File::create_new(&record).map_err(at("create", &record))?;
        let extracted = extract::extract(archive, &diff, file, &aside, what)?;
        let info = Info {
            diff_id: extracted.tape.digest,
            archive_size: extracted.tape.size,
            content_size: extracted.content,
            replaced: extracted.replaced,
            unsynced_in_boot: Some(durability::boot()),
        };
        Ok(Prepared { directory, info, complete: extracted.end_marker })
    }

    /// Puts a layer in its place. A layer that is there already stays, and `prepared` goes.
    pub(crate) fn commit(&self, prepared: Prepared) -> Result<Info, Error> {
        let Prepared { directory, info, .. } = prepared;
        if self.info(&info.diff_id)?.is_some() {
            return Ok(info);
        }
        let path = directory.path().join(INFO);
        let text =
            serde_json::to_vec(&info).map_err(|source| Error::Record { path: path.clone(), source })?;
        fs::write(&path, text).map_err(at("write", &path))?;
        let place = self.place(&info.diff_id);
        match fs::rename(directory.path(), &place) {
            Ok(()) => {
                let _moved = directory.keep();
                self.write_back.request(place);
            }
            // Another import of the same layer was faster.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
                ) && self.info(&info.diff_id)?.is_some() => {}
            Err(error) => return Err(at("put a layer in", &place)(error)),
        }
        Ok(info)
    }

    /// Checks the layers that power may have been lost under, and removes those that are damaged.
    pub(crate) fn check_unsynced(&self) -> Result<(), Error> {
        let boot = durability::boot();
        for diff_id in self.list()? {
            let Some(unsynced_in) = self.info(&diff_id)?.and_then(|info| info.unsynced_in_boot) else {
                continue;
            };
            let place = self.place(&diff_id);
            if unsynced_in == boot && !boot.is_empty() {
                self.write_back.request(place);
                continue;
            }
            match self.write_archive(&diff_id, io::sink()) {
                Ok(()) => durability::settle(&place)?,
                Err(error) => {
                    tracing::error!(layer = %diff_id, %error, "layer did not reach the disk: load its images again");
                    self.take(&diff_id)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the very archive that `diff_id` was extracted from.
    pub(crate) fn write_archive(&self, diff_id: &Digest, mut out: impl Write) -> Result<(), Error> {
        let place = self.place(diff_id);
        let info = self.info(diff_id)?.ok_or_else(|| changed(diff_id, "it is gone"))?;
        let path = place.join(RECORD);
        let record = File::open(&path).map_err(at("open", &path))?;
        let mut frames = split::Reader::new(record).map_err(at("read", &path))?;
        let open = |path: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(rustix::fs::CWD, path, flags, rustix::fs::Mode::empty())
                .map_err(at("open", path))
        };
        let (diff, aside) = (open(&place.join(DIFF))?, open(&place.join(ASIDE))?);
        let mut out = HashingWriter::new(&mut out);
        let written = |source| Error::Read { what: format!("write layer {diff_id}"), source };
        let mut payloads = 0;
        while let Some(frame) = frames.next_frame().map_err(at("read", &path))? {
            match frame {
                Frame::Raw(bytes) => out.write_all(&bytes).map_err(written)?,
                Frame::Payload { path, length } => {
                    payloads += 1;
                    let (root, path) = match info.replaced_location(&path, payloads) {
                        Some(path) => (aside.as_fd(), path),
                        None => (diff.as_fd(), path),
                    };
                    let name = String::from_utf8_lossy(&path);
                    let file = tree::open_in(root, &path, OFlags::RDONLY | OFlags::NOFOLLOW)
                        .map_err(|error| changed(diff_id, format!("{name}: {error}")))?;
                    let copied = io::copy(&mut File::from(file).take(length), &mut out).map_err(written)?;
                    if copied != length {
                        return Err(changed(diff_id, format!("{name} has {copied} of {length} bytes")));
                    }
                }
            }
        }
        match out.finish() {
            found if found == *diff_id => Ok(()),
            found => Err(changed(diff_id, format!("its digest is {found}"))),
        }
    }

    /// Takes a layer out of the store; its files go when the result is dropped. None when it is not there.
    pub(crate) fn take(&self, diff_id: &Digest) -> Result<Option<TempDir>, Error> {
        let place = self.place(diff_id);
        // Moved first, so that a crash leaves no half of a layer.
        let directory =
            tempfile::tempdir_in(&self.temporary).map_err(at("create a directory in", &self.temporary))?;
        match fs::rename(&place, directory.path().join("layer")) {
            Ok(()) => Ok(Some(directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("remove", &place)(error)),
        }
    }

    /// Where what is not finished is put.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The digests of all layers. One whose description did not reach the disk is removed.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, Error> {
        let entries = fs::read_dir(&self.directory).map_err(at("list", &self.directory))?;
        let mut digests = Vec::new();
        for entry in entries {
            let place = entry.map_err(at("list", &self.directory))?.path();
            let text = fs::read(place.join(INFO)).unwrap_or_default();
            match serde_json::from_slice::<Info>(&text) {
                Ok(info) => digests.push(info.diff_id),
                Err(error) => {
                    tracing::error!(layer = %place.display(), %error, "layer without its description is removed");
                    fs::remove_dir_all(&place).map_err(at("remove", &place))?;
                }
            }
        }
        Ok(digests)
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        self.write_back.close();
    }
}

impl Info {
    /// Where the contents of the archive's file number `payload` are, if a later entry replaced it or a directory
    /// above it.
    fn replaced_location(&self, path: &[u8], payload: u64) -> Option<Vec<u8>> {
        self.replaced.iter().enumerate().filter(|(_, replaced)| replaced.payloads >= payload).find_map(
            |(index, replaced)| {
                let rest = path.strip_prefix(hex::decode(&replaced.path).ok()?.as_slice())?;
                let below = rest.is_empty() || rest.starts_with(b"/");
                below.then(|| [index.to_string().as_bytes(), rest].concat())
            },
        )
    }
}

fn changed(diff_id: &Digest, reason: impl Into<String>) -> Error {
    Error::LayerChanged { diff_id: *diff_id, reason: reason.into() }
}

/// Makes names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(at("write back", path))
}

/// Hashes what it passes on.
struct HashingWriter<W> {
    inner: W,
    hasher: sha2::Sha256,
}

impl<W: Write> HashingWriter<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: sha2::Digest::new() }
    }

    fn finish(self) -> Digest {
        Digest::finish(self.hasher)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        sha2::Digest::update(&mut self.hasher, &bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
