//! Files from an archive into a tree that others may change meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timestamps, Uid};
use rustix::io::Errno;
use tar::{Archive, EntryType, Header};

use super::{DIRECTORY, Owners, Root, remove::remove};
use crate::layer::extract::{Failure, Metadata, device, id, link_name};
use crate::layer::pax::Pax;
use crate::layer::tape::Tape;
use crate::layer::tree::{clean, join, open_in, split_path};
use crate::{Error, compression};

const WHAT: &str = "archive";
/// Directories that an archive does not list, but puts files in.
const IMPLIED_MODE: Mode = Mode::from_raw_mode(0o755);

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unpack {
    /// Refuse to replace a directory by anything else, or the other way round.
    pub keep_kinds: bool,
    /// Who owns everything, as user and group; the archive says if not given.
    pub owner: Option<(u32, u32)>,
}

impl Root {
    /// Unpacks an archive, plain or compressed, into the directory at `path`.
    ///
    /// # Errors
    /// [`Error::NoFile`] or [`Error::NotADirectory`] if there is no such directory; the archive is broken, or one of its
    /// files cannot be made. Those before it stay.
    pub fn unpack(&self, path: &str, archive: impl Read, options: Unpack) -> Result<(), Error> {
        self.check_directory(path)?;
        let tape = Tape::unrecorded();
        let mut archive = Archive::new(tape.reader(compression::decompress(archive, WHAT)?));
        let broken = |source: io::Error| Error::tar(WHAT, source);
        let directory = path.trim_matches('/').as_bytes().to_vec();
        let (root, owners) = (self.fd(), &self.owners);
        let mut target = Target { root, owners, directory, options, times: Vec::new(), parent: None };
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let (start, raw) = tape.take_headers();
            let pax = Pax::read(&raw, start, entry.raw_header_position()).unwrap_or_default();
            tape.other();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            target.entry(&mut entry, &pax).map_err(|failure| named(failure, name))?;
            tape.headers();
        }
        target.finish().map_err(|source| Error::Entry { path: path.to_owned(), source })
    }

    fn check_directory(&self, path: &str) -> Result<(), Error> {
        match open_in(self.fd(), path.as_bytes(), DIRECTORY) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
                Err(Error::NotADirectory(path.to_owned()))
            }
            Err(error) => Err(super::missing(path, error)),
        }
    }
}

fn named(failure: Failure, name: String) -> Error {
    match failure {
        Failure::Make(error) if error.raw_os_error() == Some(Errno::ROFS.raw_os_error()) => {
            Error::ReadOnly(name)
        }
        Failure::Make(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Error::Overwrite(error.to_string())
        }
        failure => failure.named(name, WHAT),
    }
}

struct Target<'a> {
    root: BorrowedFd<'a>,
    owners: &'a Owners,
    /// Where entries go. It is resolved for each parent anew, always inside of the root.
    directory: Vec<u8>,
    options: Unpack,
    /// Times of directories, set when nothing more is put in them.
    times: Vec<(Vec<u8>, Timestamps)>,
    /// The last parent: archives list a directory's files one after another.
    parent: Option<(Vec<u8>, OwnedFd)>,
}

impl Target<'_> {
    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, pax: &Pax) -> Result<(), Failure> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let path =
            clean(&entry.path_bytes()).ok_or(Failure::Refused("the name leads out of the directory"))?;
        let metadata = self.metadata(entry.header(), pax).map_err(Failure::Read)?;
        if path.is_empty() {
            // The directory itself, whose attributes are not the archive's to set unless it is all there is of it.
            return self.top(kind, &metadata);
        }
        let (directory, name) = split_path(&path);
        if kind == EntryType::Directory {
            return self.subdirectory(directory, name, &metadata);
        }
        self.clear(directory, name, &path)?;
        let header = entry.header();
        let parent = self.parent(directory)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                file(parent, name, entry, &metadata)
            }
            EntryType::Symlink => {
                fs::symlinkat(link_name(entry)?.as_slice(), parent, name)?;
                own(parent, name, &metadata)
            }
            EntryType::Link => self.hard_link(directory, name, &link_name(entry)?),
            EntryType::Fifo => node(parent, name, FileType::Fifo, 0, &metadata),
            EntryType::Char => node(parent, name, FileType::CharacterDevice, device(header)?, &metadata),
            EntryType::Block => node(parent, name, FileType::BlockDevice, device(header)?, &metadata),
            _ => Err(Failure::Refused("entries of this type are not supported")),
        }
    }

    fn metadata<'a>(&self, header: &Header, pax: &'a Pax) -> io::Result<Metadata<'a>> {
        let time = pax.mtime(header.mtime()?);
        let owner = match self.options.owner {
            Some(owner) => owner,
            None => (id(header.uid()?)?, id(header.gid()?)?),
        };
        let (uid, gid) = self.owners.outside(owner)?;
        Ok(Metadata {
            owner: Some((Uid::from_raw(uid), Gid::from_raw(gid))),
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            times: Timestamps { last_access: time, last_modification: time },
            xattrs: &pax.xattrs,
        })
    }

    fn top(&mut self, kind: EntryType, metadata: &Metadata<'_>) -> Result<(), Failure> {
        if kind != EntryType::Directory {
            return Err(Failure::Refused("the destination is a directory"));
        }
        let directory = open_in(self.root, &self.directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
        metadata.apply(directory.as_fd())?;
        self.times.push((Vec::new(), metadata.times.clone()));
        Ok(())
    }

    fn subdirectory(
        &mut self,
        directory: &[u8],
        name: &[u8],
        metadata: &Metadata<'_>,
    ) -> Result<(), Failure> {
        let path = join(directory, name);
        let keep = self.options.keep_kinds;
        let parent = self.parent(directory)?;
        let exists = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        if exists == Some(false) {
            if keep {
                return Err(kept("cannot overwrite non-directory with directory", &path));
            }
            remove(parent, name)?;
        }
        if exists != Some(true) {
            fs::mkdirat(parent, name, Mode::RWXU)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(parent, name, flags, Mode::empty())?;
        metadata.apply(made.as_fd())?;
        self.parent = None;
        self.times.push((path, metadata.times.clone()));
        Ok(())
    }

    /// Removes what is in the way of a file.
    fn clear(&mut self, directory: &[u8], name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let keep = self.options.keep_kinds;
        let parent = self.parent(directory)?;
        let stat = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if keep && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(kept("cannot overwrite directory with non-directory", path));
        }
        Ok(remove(parent, name)?)
    }

    fn hard_link(&mut self, directory: &[u8], name: &[u8], target: &[u8]) -> Result<(), Failure> {
        let target = clean(target).ok_or(Failure::Refused("the link's target leads out of the directory"))?;
        let (target_directory, target_name) = split_path(&target);
        let whole = join(&self.directory, target_directory);
        let source = open_in(self.root, &whole, DIRECTORY)?;
        let parent = self.parent(directory)?;
        Ok(fs::linkat(&source, target_name, parent, name, AtFlags::empty())?)
    }

    /// The directory that an entry is put in, made with what leads to it where the archive did not list it.
    fn parent(&mut self, directory: &[u8]) -> io::Result<BorrowedFd<'_>> {
        if self.parent.as_ref().is_none_or(|(last, _)| last != directory) {
            let opened = self.open_or_make(directory)?;
            self.parent = Some((directory.to_vec(), opened));
        }
        self.parent.as_ref().map(|(_, fd)| fd.as_fd()).ok_or_else(|| Errno::NOENT.into())
    }

    fn open_or_make(&self, directory: &[u8]) -> io::Result<OwnedFd> {
        let whole = join(&self.directory, directory);
        let whole = whole.strip_suffix(b"/").unwrap_or(&whole);
        match open_in(self.root, whole, DIRECTORY) {
            Err(error)
                if !directory.is_empty() && error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
            result => return result,
        }
        let (above, name) = split_path(directory);
        // Names in archives are bounded by PATH_MAX, and so is this recursion: one level a component.
        let above = self.open_or_make(above)?;
        match fs::mkdirat(&above, name, IMPLIED_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        open_in(self.root, whole, DIRECTORY)
    }

    fn finish(self) -> io::Result<()> {
        for (path, times) in self.times.iter().rev() {
            let whole = join(&self.directory, path);
            let whole = whole.strip_suffix(b"/").unwrap_or(&whole);
            match open_in(self.root, whole, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(directory) => fs::futimens(directory, times)?,
                // Replaced meanwhile, by a later entry or by somebody else.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn kept(reason: &str, path: &[u8]) -> Failure {
    let text = format!("{reason}: {}", String::from_utf8_lossy(path));
    Failure::Make(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn file<R: Read>(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &mut tar::Entry<'_, R>,
    metadata: &Metadata<'_>,
) -> Result<(), Failure> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    let size = entry.size();
    let mut from = Marked { inner: entry };
    let copied = io::copy(&mut from, &mut file).map_err(|error| match error.get_ref() {
        Some(inner) if inner.is::<ReadFailure>() => Failure::Read(unmark(error)),
        _ => Failure::Make(error),
    })?;
    if copied != size {
        return Err(Failure::Read(io::ErrorKind::UnexpectedEof.into()));
    }
    metadata.apply(file.as_fd())?;
    fs::futimens(&file, &metadata.times)?;
    Ok(())
}

/// Tells the archive's failures from those of the file.
struct Marked<'a, R> {
    inner: &'a mut R,
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ReadFailure(io::Error);

impl<R: Read> Read for Marked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(io::Error::other(ReadFailure(error)))
            }
            result => result,
        }
    }
}

fn unmark(error: io::Error) -> io::Error {
    error.downcast::<ReadFailure>().map_or_else(|error| error, |failure| failure.0)
}

fn own(parent: BorrowedFd<'_>, name: &[u8], metadata: &Metadata<'_>) -> Result<(), Failure> {
    if let Some((uid, gid)) = metadata.owner {
        fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(fs::utimensat(parent, name, &metadata.times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn node(
    parent: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    device: u64,
    metadata: &Metadata<'_>,
) -> Result<(), Failure> {
    fs::mknodat(parent, name, kind, Mode::empty(), device)?;
    own(parent, name, metadata)?;
    // By descriptor: a change by name would follow a link that somebody put there since.
    let made = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fs::fstat(&made)?.st_mode) != kind {
        return Err(Failure::Refused("it was replaced while it was made"));
    }
    let path = format!("/proc/self/fd/{}", made.as_raw_fd());
    Ok(fs::chmodat(fs::CWD, path, metadata.mode, AtFlags::empty())?)
}
