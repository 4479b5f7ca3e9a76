//! An archive of a part of a tree, in the form that Docker's clients and GNU tar read (ustar with PAX records).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use tar::{EntryType, Header};

use super::{Owners, Place, Root, attributes, names};
use crate::Error;

const BLOCK: usize = 512;
const BUFFER: usize = 128 << 10;
/// The most that a field of the header holds in octal digits: sizes and times, owners.
const LONG: u64 = 0o777_7777_7777;
const SHORT: u64 = 0o777_7777;
const NAME: usize = 100;
/// File systems whose files are the kernel's: they have no contents that could be copied. /proc, /sys, the control
/// groups' two, devpts, mqueue, debugfs, tracefs, securityfs, bpf.
const KERNELS: [i64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
];

impl Root {
    /// Writes an archive of the file or directory at `path`, whose name in it is the path's last component.
    ///
    /// # Errors
    /// [`Error::NoFile`] if there is no such file; what reading it or `out` says.
    pub fn pack(&self, path: &str, out: impl Write) -> Result<(), Error> {
        let place = self.place(path)?;
        let mut packer = Packer::new(out, &self.owners);
        let packed = packer.resource(&place).and_then(|()| packer.finish());
        packed.map_err(|source| Error::Read { what: format!("pack {path}"), source })
    }

    /// Writes an archive of the whole tree, whose names are relative to it.
    ///
    /// # Errors
    /// What reading it or `out` says.
    pub fn export(&self, out: impl Write) -> Result<(), Error> {
        let mut packer = Packer::new(out, &self.owners);
        let packed = packer.tree(self.fd(), b"", false).and_then(|()| packer.finish());
        packed.map_err(|source| Error::Read { what: "export the files".to_owned(), source })
    }
}

/// Writes entries one after another.
pub(super) struct Packer<'a, W> {
    out: W,
    owners: &'a Owners,
    /// The names of files with several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    pub(super) fn new(out: W, owners: &'a Owners) -> Self {
        Self { out, owners, links: HashMap::new(), buffer: vec![0; BUFFER] }
    }

    /// The end of the archive.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }

    fn resource(&mut self, place: &Place) -> io::Result<()> {
        if FileType::from_raw_mode(place.stat.st_mode) != FileType::Directory {
            return self.file(place.parent.as_fd(), &place.name, &place.shown);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::openat(&place.parent, place.name.as_slice(), flags, Mode::empty())?;
        if is_kernels(directory.as_fd())? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "files of the kernel, as in /proc and /sys, cannot be copied",
            ));
        }
        self.tree(directory.as_fd(), &place.shown, true)
    }

    /// A directory with all that is below it, under the name `top`.
    fn tree(&mut self, base: BorrowedFd<'_>, top: &[u8], with_top: bool) -> io::Result<()> {
        // Each directory is opened anew from the top, so that no depth of the tree takes descriptors or stack.
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let directory = match open_below(base, &path) {
                Ok(directory) => directory,
                // It was removed or replaced meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !path.is_empty() => continue,
                Err(error) => return Err(error.into()),
            };
            let shown = shown(top, &path);
            if with_top || !path.is_empty() {
                self.directory(directory.as_fd(), &shown)?;
            }
            if is_kernels(directory.as_fd())? {
                continue;
            }
            let mut below = Vec::new();
            for name in names(directory.as_fd())? {
                let inside = if path.is_empty() { name.clone() } else { [&path[..], b"/", &name].concat() };
                match fs::statat(&directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                        below.push(inside);
                    }
                    Ok(_) => self.file(directory.as_fd(), &name, &self::shown(top, &inside))?,
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(())
    }

    pub(super) fn directory(&mut self, directory: BorrowedFd<'_>, shown: &[u8]) -> io::Result<()> {
        let stat = fs::fstat(directory)?;
        let attributes = attributes(directory)?;
        let name = if shown.ends_with(b"/") { shown.to_vec() } else { [shown, b"/"].concat() };
        self.header(&name, &stat, EntryType::Directory, 0, b"", &attributes)
    }

    /// Anything but a directory.
    pub(super) fn file(&mut self, parent: BorrowedFd<'_>, name: &[u8], shown: &[u8]) -> io::Result<()> {
        let stat = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if stat.st_nlink > 1 {
            let first =
                self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| shown.to_vec()).clone();
            if first != shown {
                return self.header(shown, &stat, EntryType::Link, 0, &first, &[]);
            }
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.contents(parent, name, shown),
            FileType::Symlink => {
                let target = fs::readlinkat(parent, name, Vec::new())?;
                self.header(shown, &stat, EntryType::Symlink, 0, target.as_bytes(), &[])
            }
            FileType::Fifo => self.header(shown, &stat, EntryType::Fifo, 0, b"", &[]),
            FileType::CharacterDevice => self.header(shown, &stat, EntryType::Char, 0, b"", &[]),
            FileType::BlockDevice => self.header(shown, &stat, EntryType::Block, 0, b"", &[]),
            // A socket is nothing without its process, and an archive has no word for it.
            _ => Ok(()),
        }
    }

    fn contents(&mut self, parent: BorrowedFd<'_>, name: &[u8], shown: &[u8]) -> io::Result<()> {
        // Without blocking: it may have become a pipe since it was looked at.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match fs::openat(parent, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let stat = fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let attributes = attributes(file.as_fd())?;
        self.header(shown, &stat, EntryType::Regular, size, b"", &attributes)?;
        let mut left = size;
        let mut file = File::from(file);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = match file.read(&mut self.buffer[..wanted]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if count == 0 {
                // It became shorter while it was read; the archive has said how long it is.
                io::copy(&mut io::repeat(0).take(left), &mut self.out)?;
                break;
            }
            self.out.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        self.pad(size)
    }

    /// An empty file of this name: a mark for whoever reads the archive as a layer.
    pub(super) fn mark(&mut self, shown: &[u8], stat: &Stat) -> io::Result<()> {
        self.header(shown, stat, EntryType::Regular, 0, b"", &[])
    }

    fn header(
        &mut self,
        name: &[u8],
        stat: &Stat,
        kind: EntryType,
        size: u64,
        link: &[u8],
        attributes: &[(Vec<u8>, Vec<u8>)],
    ) -> io::Result<()> {
        let mut records = Vec::new();
        let mut header = Header::new_ustar();
        {
            let old = header.as_old_mut();
            for (field, value, key) in [(&mut old.name, name, "path"), (&mut old.linkname, link, "linkpath")]
            {
                let fits = value.len().min(NAME);
                field[..fits].copy_from_slice(&value[..fits]);
                if value.len() > NAME {
                    record(&mut records, key.as_bytes(), value);
                }
            }
        }
        let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
        if nanoseconds != 0 && seconds >= 0 {
            record(&mut records, b"mtime", format!("{seconds}.{nanoseconds:09}").as_bytes());
        }
        let (user, group) = self.owners.inside(stat.st_uid, stat.st_gid);
        let mut number = |key: &str, value: u64, most: u64| {
            if value > most {
                record(&mut records, key.as_bytes(), value.to_string().as_bytes());
            }
            value.min(most)
        };
        header.set_uid(number("uid", user.into(), SHORT));
        header.set_gid(number("gid", group.into(), SHORT));
        header.set_size(number("size", size, LONG));
        header.set_mtime(u64::try_from(seconds).unwrap_or(0).min(LONG));
        header.set_mode(stat.st_mode & 0o7777);
        header.set_entry_type(kind);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(fs::major(stat.st_rdev))?;
            header.set_device_minor(fs::minor(stat.st_rdev))?;
        }
        header.set_cksum();
        for (name, value) in attributes {
            record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        if !records.is_empty() {
            self.records(&records)?;
        }
        self.out.write_all(header.as_bytes())
    }

    fn records(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path("PaxHeaders.0/entry")?;
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.out.write_all(&[0; BLOCK][over..]) }
    }
}

/// A PAX record: its own length, the key and the value.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + body.to_string().len();
    length = body + length.to_string().len();
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// The name in the archive of what is at `path` below what is called `top`.
fn shown(top: &[u8], path: &[u8]) -> Vec<u8> {
    match (top, path) {
        (top, b"") => top.to_vec(),
        (b"", path) => path.to_vec(),
        (b"/", path) => [b"/", path].concat(),
        (top, path) => [top, b"/", path].concat(),
    }
}

/// A directory below another. No link is followed: `path` was found by listing directories.
pub(super) fn open_below(base: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::io::retry_on_intr(|| fs::openat2(base, path, flags, Mode::empty(), resolve))
}

fn is_kernels(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let found = fs::fstatfs(directory)?.f_type;
    Ok(KERNELS.contains(&found))
}
