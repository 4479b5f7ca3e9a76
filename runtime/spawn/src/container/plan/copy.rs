//! Copying a directory's content, by descriptors: no link in it leads out of it.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    fstat, futimens, mkdirat, mknodat, openat, readlinkat, statat, symlinkat,
};

/// Deeper trees are somebody's joke.
const MAX_DEPTH: u32 = 256;

/// Copies all that `from` has into `to`, with owners, modes and times, and those of the directory itself.
pub(super) fn tree(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    directory(from, to, MAX_DEPTH)
}

fn directory(from: &OwnedFd, to: &OwnedFd, depth: u32) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        copy(from, to, name, depth)?;
    }
    finish(to, &fstat(from)?)
}

fn copy(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: u32) -> io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY;
            let below = openat(from, name, flags, Mode::empty())?;
            directory(&below, &openat(to, name, flags, Mode::empty())?, depth - 1)
        }
        FileType::RegularFile => {
            let source = openat(from, name, flags | OFlags::RDONLY, Mode::empty())?;
            let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let copy = openat(to, name, flags | create, Mode::RUSR | Mode::WUSR)?;
            let (mut source, mut copy) = (File::from(source), File::from(copy));
            io::copy(&mut source, &mut copy)?;
            finish(&OwnedFd::from(copy), &stat)
        }
        FileType::Symlink => {
            let target = readlinkat(from, name, Vec::new())?;
            symlinkat(target.as_c_str(), to, name)?;
            own(to, name, &stat)
        }
        kind => {
            mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev)?;
            own(to, name, &stat)
        }
    }
}

fn own(directory: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    Ok(chownat(directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Owner, then mode, as changing the owner takes bits from it; times last.
fn finish(file: &OwnedFd, stat: &Stat) -> io::Result<()> {
    fchown(file, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(file, Mode::from_raw_mode(stat.st_mode))?;
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(futimens(file, &times)?)
}
