//! Turns a layer's archive into a directory that overlayfs takes as a lower layer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Archive, EntryType, Header};

use super::pax::Pax;
use super::tape::{Finished, Tape};
use super::tree::{self, Tree};
use super::{Replaced, split};
use crate::Error;

const BUFFER: usize = 128 * 1024;
/// The prefix by which a layer marks a name of the layers below as deleted.
const WHITEOUT: &[u8] = b".wh.";
/// Marks its directory as hiding the same directory of the layers below.
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// An archive must not steer overlayfs itself.
const OVERLAY_XATTRS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// What came out of an archive.
pub(super) struct Extracted {
    pub(super) tape: Finished,
    /// Bytes of the files.
    pub(super) content: u64,
    pub(super) replaced: Vec<Replaced>,
    pub(super) end_marker: bool,
}

/// Extracts the uncompressed `archive` to `diff`, and what is needed to write it again to `record`. Files that a later
/// entry replaces go to `aside`.
pub(super) fn extract(
    archive: impl Read,
    diff: &Path,
    record: File,
    aside: &Path,
    what: &str,
) -> Result<Extracted, Error> {
    let store = |source| Error::Entry { path: diff.to_string_lossy().into_owned(), source };
    let tape = Tape::new(split::Writer::new(record).map_err(store)?);
    let mut extraction = Extraction::new(diff, aside).map_err(store)?;
    let mut archive = Archive::new(tape.reader(archive));
    let broken = |source: io::Error| Error::tar(what, source);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let (start, raw) = tape.take_headers();
        let pax = Pax::read(&raw, start, entry.raw_header_position()).unwrap_or_default();
        tape.other();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        extraction.entry(&mut entry, &pax, &tape).map_err(|failure| failure.named(path, what))?;
        tape.headers();
    }
    let end_marker = tape.at_end_marker();
    tape.other();
    // Archives are padded to their block size; the digest covers the padding.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    let (content, replaced) = extraction.finish().map_err(store)?;
    Ok(Extracted { tape: tape.finish().map_err(store)?, content, replaced, end_marker })
}

/// Why an entry failed: the archive, the file system, or what the entry asks for.
pub(crate) enum Failure {
    Read(io::Error),
    Make(io::Error),
    Refused(&'static str),
}

impl Failure {
    pub(crate) fn named(self, path: String, what: &str) -> Error {
        match self {
            Self::Read(source) => Error::tar(what, source),
            Self::Make(source) => Error::Entry { path, source },
            Self::Refused(reason) => Error::Refused { path, reason },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Make(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Make(error.into())
    }
}

/// Who owns an entry, what is allowed and when it was changed.
pub(crate) struct Metadata<'a> {
    pub(crate) owner: Option<(Uid, Gid)>,
    pub(crate) mode: Mode,
    pub(crate) times: Timestamps,
    pub(crate) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

struct Extraction {
    tree: Tree,
    aside: OwnedFd,
    /// Times of directories, set when nothing more is put in them.
    directories: Vec<(Vec<u8>, Timestamps)>,
    replaced: Vec<Replaced>,
    /// Files with contents so far.
    payloads: u64,
    content: u64,
    /// Only root may give files away.
    set_owner: bool,
    buffer: Vec<u8>,
}

impl Extraction {
    fn new(diff: &Path, aside: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            tree: Tree::open(diff)?,
            aside: fs::openat(fs::CWD, aside, flags, Mode::empty())?,
            directories: Vec::new(),
            replaced: Vec::new(),
            payloads: 0,
            content: 0,
            set_owner: rustix::process::geteuid().is_root(),
            buffer: vec![0; BUFFER],
        })
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        pax: &Pax,
        tape: &Tape,
    ) -> Result<(), Failure> {
        if entry.header().entry_type().is_pax_global_extensions() {
            return Ok(());
        }
        let path =
            tree::clean(&entry.path_bytes()).ok_or(Failure::Refused("the name leads out of the layer"))?;
        let metadata = self.metadata(entry.header(), pax).map_err(Failure::Read)?;
        if path.is_empty() {
            return self.root(entry.header().entry_type(), &metadata);
        }
        let (directory, name) = tree::split_path(&path);
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.whiteout(directory, name, hidden);
        }
        let header = entry.header();
        match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                self.file(directory, name, entry, &metadata, Some(tape))
            }
            // Its holes are not in the archive, so its contents do not stand for what the archive holds.
            EntryType::GNUSparse => self.file(directory, name, entry, &metadata, None),
            EntryType::Directory => self.directory(directory, name, &metadata),
            EntryType::Symlink => self.symlink(directory, name, &link_name(entry)?, &metadata),
            EntryType::Link => self.hard_link(directory, name, &link_name(entry)?),
            EntryType::Fifo => self.node(directory, name, FileType::Fifo, 0, &metadata),
            EntryType::Char => {
                self.node(directory, name, FileType::CharacterDevice, device(header)?, &metadata)
            }
            EntryType::Block => self.node(directory, name, FileType::BlockDevice, device(header)?, &metadata),
            _ => Err(Failure::Refused("entries of this type are not supported")),
        }
    }

    fn metadata<'a>(&self, header: &Header, pax: &'a Pax) -> io::Result<Metadata<'a>> {
        let time = pax.mtime(header.mtime()?);
        Ok(Metadata {
            owner: if self.set_owner {
                Some((Uid::from_raw(id(header.uid()?)?), Gid::from_raw(id(header.gid()?)?)))
            } else {
                None
            },
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            times: Timestamps { last_access: time, last_modification: time },
            xattrs: &pax.xattrs,
        })
    }

    /// The layer's own directory, which archives list as `./`.
    fn root(&mut self, entry_type: EntryType, metadata: &Metadata<'_>) -> Result<(), Failure> {
        if entry_type != EntryType::Directory {
            return Err(Failure::Refused("the root of a layer is a directory"));
        }
        metadata.apply(self.tree.root())?;
        self.directories.push((Vec::new(), metadata.times.clone()));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        directory: &[u8],
        name: &[u8],
        entry: &mut tar::Entry<'_, R>,
        metadata: &Metadata<'_>,
        tape: Option<&Tape>,
    ) -> Result<(), Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = |parent: BorrowedFd<'_>| fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let (file, parent) = self.make(directory, name, make)?;
        let size = entry.size();
        if let Some(tape) = tape.filter(|_| size > 0) {
            self.payloads += 1;
            tape.payload(&tree::join(&parent, name), size)?;
        }
        let mut file = File::from(file);
        let copied = self.copy(entry, &mut file)?;
        if copied != size {
            return Err(Failure::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        self.content += copied;
        metadata.apply(file.as_fd())?;
        fs::futimens(&file, &metadata.times)?;
        Ok(())
    }

    fn copy(&mut self, from: &mut impl Read, to: &mut File) -> Result<u64, Failure> {
        let mut copied = 0;
        loop {
            let count = match from.read(&mut self.buffer) {
                Ok(0) => return Ok(copied),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Read(error)),
            };
            to.write_all(&self.buffer[..count])?;
            copied += count as u64;
        }
    }

    fn directory(&mut self, directory: &[u8], name: &[u8], metadata: &Metadata<'_>) -> Result<(), Failure> {
        let parent = self.tree.parent(directory)?;
        let path = tree::join(&parent.path, name);
        let existing = match fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let is_directory = existing
            .as_ref()
            .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        if !is_directory {
            self.make(directory, name, |parent| fs::mkdirat(parent, name, Mode::RWXU))?;
        }
        let parent = self.tree.parent(directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(&parent.fd, name, flags, Mode::empty())?;
        if existing.as_ref().is_some_and(tree::is_whiteout) {
            // The whiteout hid the directory below; the new one goes on hiding it.
            set_opaque(made.as_fd())?;
        }
        metadata.apply(made.as_fd())?;
        self.directories.push((path, metadata.times.clone()));
        Ok(())
    }

    fn symlink(
        &mut self,
        directory: &[u8],
        name: &[u8],
        target: &[u8],
        metadata: &Metadata<'_>,
    ) -> Result<(), Failure> {
        self.make(directory, name, |parent| fs::symlinkat(target, parent, name))?;
        let parent = &self.tree.parent(directory)?.fd;
        if let Some((uid, gid)) = metadata.owner {
            fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        fs::utimensat(parent, name, &metadata.times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn hard_link(&mut self, directory: &[u8], name: &[u8], target: &[u8]) -> Result<(), Failure> {
        let target =
            tree::clean(target).ok_or(Failure::Refused("the link's target leads out of the layer"))?;
        let (target_directory, target_name) = tree::split_path(&target);
        let missing = "the hard link's target is not in the layer";
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let Ok(source) = tree::open_in(self.tree.root(), target_directory, flags) else {
            return Err(Failure::Refused(missing));
        };
        let link = |parent: BorrowedFd<'_>| fs::linkat(&source, target_name, parent, name, AtFlags::empty());
        match self.make(directory, name, link) {
            Err(Failure::Make(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::Refused(missing))
            }
            result => result.map(drop),
        }
    }

    fn node(
        &mut self,
        directory: &[u8],
        name: &[u8],
        kind: FileType,
        device: u64,
        metadata: &Metadata<'_>,
    ) -> Result<(), Failure> {
        let mode = Mode::RUSR | Mode::WUSR;
        self.make(directory, name, |parent| fs::mknodat(parent, name, kind, mode, device))?;
        let parent = &self.tree.parent(directory)?.fd;
        if let Some((uid, gid)) = metadata.owner {
            fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // The name was made just now, and nobody else writes here: it is no link that could be followed.
        fs::chmodat(parent, name, metadata.mode, AtFlags::empty())?;
        fs::utimensat(parent, name, &metadata.times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Marks `hidden` as deleted, or the whole directory as opaque. It concerns the layers below only: what this layer
    /// has of that name stays.
    fn whiteout(&mut self, directory: &[u8], name: &[u8], hidden: &[u8]) -> Result<(), Failure> {
        let parent = self.tree.parent(directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if name == OPAQUE {
            return set_opaque(fs::openat(&parent.fd, ".", flags, Mode::empty())?.as_fd());
        }
        if hidden.starts_with(WHITEOUT) {
            // Book-keeping of aufs, which wrote the first layers.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Failure::Refused("a whiteout names what it hides"));
        }
        match fs::mknodat(&parent.fd, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => {}
            result => return Ok(result?),
        }
        match fs::openat(&parent.fd, hidden, flags, Mode::empty()) {
            Ok(existing) => set_opaque(existing.as_fd()),
            // No directory: it hides what is below by being there.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes `name`, in place of what an earlier entry put there; returns where that is, without links.
    fn make<T>(
        &mut self,
        directory: &[u8],
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<(T, Vec<u8>), Failure> {
        let parent = self.tree.parent(directory)?;
        match make(parent.fd.as_fd()) {
            Err(Errno::EXIST) => {}
            result => return Ok((result?, parent.path.clone())),
        }
        let path = tree::join(&parent.path, name);
        fs::renameat(&parent.fd, name, &self.aside, self.replaced.len().to_string())?;
        self.replaced.push(Replaced { path: hex::encode(path), payloads: self.payloads });
        self.tree.forget();
        let parent = self.tree.parent(directory)?;
        Ok((make(parent.fd.as_fd())?, parent.path.clone()))
    }

    fn finish(self) -> io::Result<(u64, Vec<Replaced>)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        for (path, times) in self.directories.iter().rev() {
            match tree::open_in(self.tree.root(), path, flags) {
                Ok(directory) => fs::futimens(directory, times)?,
                // A later entry replaced it.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((self.content, self.replaced))
    }
}

impl Metadata<'_> {
    /// Owner first: a change of owner clears set-id bits and capabilities.
    pub(crate) fn apply(&self, file: BorrowedFd<'_>) -> Result<(), Failure> {
        if let Some((uid, gid)) = self.owner {
            fs::fchown(file, Some(uid), Some(gid))?;
        }
        fs::fchmod(file, self.mode)?;
        for (name, value) in self.xattrs {
            if OVERLAY_XATTRS.iter().any(|reserved| name.starts_with(reserved)) {
                continue;
            }
            match fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
                // The file system or our privileges have no room for it, as for SELinux labels of elsewhere.
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn set_opaque(directory: BorrowedFd<'_>) -> Result<(), Failure> {
    fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty()).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("set {OPAQUE_XATTR}: {error}")).into()
    })
}

pub(crate) fn link_name<R: Read>(entry: &tar::Entry<'_, R>) -> Result<Vec<u8>, Failure> {
    let name = entry.link_name_bytes().filter(|name| !name.is_empty() && !name.contains(&0));
    name.map(std::borrow::Cow::into_owned).ok_or(Failure::Refused("the link has no target"))
}

pub(crate) fn device(header: &Header) -> Result<u64, Failure> {
    let major = header.device_major().map_err(Failure::Read)?.unwrap_or(0);
    let minor = header.device_minor().map_err(Failure::Read)?.unwrap_or(0);
    Ok(fs::makedev(major, minor))
}

pub(crate) fn id(id: u64) -> io::Result<u32> {
    // The highest value means "leave as it is" to the kernel.
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{id} is not a user or group id")))
}
