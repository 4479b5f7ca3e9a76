//! A container's directory below the runtime's root.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, flock, mknodat, open};

use super::record::{Record, Status};
use super::{Error, Runtime, process};
use crate::container::Fence;

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const START: &str = "start";
const STARTED: &str = "started";

/// How long an operation waits for another one on the same container.
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

/// A container's directory.
#[derive(Debug)]
pub(super) struct Entry {
    id: String,
    directory: PathBuf,
}

/// Keeps other operations off a container.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: OwnedFd,
}

impl Runtime {
    /// A container's directory, which exists.
    pub(super) fn entry(&self, id: &str) -> Result<Entry, Error> {
        check(id)?;
        let entry = Entry { id: id.to_owned(), directory: self.root.join(id) };
        if entry.path(STATE).exists() {
            return Ok(entry);
        }
        Err(Error::Missing { id: entry.id })
    }

    /// A new container's directory, locked.
    pub(super) fn reserve(&self, id: &str) -> Result<(Entry, Lock), Error> {
        check(id)?;
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder.recursive(true).create(&self.root).map_err(|error| Error::io("create", &self.root, error))?;
        let entry = Entry { id: id.to_owned(), directory: self.root.join(id) };
        match builder.recursive(false).create(&entry.directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists { id: entry.id });
            }
            Err(error) => return Err(Error::io("create", &entry.directory, error)),
        }
        let lock = entry.lock()?;
        Ok((entry, lock))
    }

    /// The ids of all containers, in order.
    pub(super) fn ids(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.root, error)),
        };
        let mut ids: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Removes what a `create` has left that was ended before it could say what it makes.
    pub(super) fn remove_remains(&self, id: &str) -> Result<(), Error> {
        check(id)?;
        let directory = self.root.join(id);
        match fs::remove_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &directory, error))
            }
            _ => Ok(()),
        }
    }
}

/// runc's ids: they name a directory and, by default, a group.
fn check(id: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id == "." || id == ".." || id.len() > 255 || !id.bytes().all(plain) {
        return Err(Error::Id { id: id.to_owned() });
    }
    Ok(())
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits for other operations to end.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let missing = || Error::Missing { id: self.id.clone() };
        let directory = open(&self.directory, flags, Mode::empty()).map_err(|_| missing())?;
        let begin = Instant::now();
        while flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
            if begin.elapsed() > PATIENCE {
                return Err(Error::Busy { id: self.id.clone() });
            }
            sleep(STEP);
        }
        // Who held the lock may have removed the container.
        if rustix::fs::fstat(&directory).map_or(0, |stat| stat.st_nlink) == 0 {
            return Err(missing());
        }
        Ok(Lock { _directory: directory })
    }

    pub(super) fn record(&self) -> Result<Record, Error> {
        self.read(STATE)
    }

    /// The configuration at the time of `create`.
    pub(super) fn spec(&self) -> Result<Spec, Error> {
        self.read(CONFIG)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let path = self.path(name);
        let text = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing { id: self.id.clone() },
            _ => Error::io("read", &path, error),
        })?;
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(STATE);
        let text = serde_json::to_vec(record).map_err(|source| Error::Json { path: path.clone(), source })?;
        replace(&path, &text)
    }

    pub(super) fn write_config(&self, text: &[u8]) -> Result<(), Error> {
        replace(&self.path(CONFIG), text)
    }

    /// Makes the FIFOs that a container waits at.
    pub(super) fn make_fence(&self) -> Result<Fence, Error> {
        Ok(Fence { start: self.make_fifo(START)?, started: self.make_fifo(STARTED)? })
    }

    fn make_fifo(&self, name: &str) -> Result<OwnedFd, Error> {
        let path = self.path(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(|error| Error::io("create", &path, error))?;
        let fifo = open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        fifo.map_err(|error| Error::io("open", &path, error))
    }

    /// The FIFOs' paths: the one to write to, and the one to read.
    pub(super) fn fence(&self) -> (PathBuf, PathBuf) {
        (self.path(START), self.path(STARTED))
    }

    /// Forgets the fence: the container is started.
    pub(super) fn remove_fence(&self) -> Result<(), Error> {
        let (start, started) = self.fence();
        // What counts is the one that says that nothing was started.
        let _ = fs::remove_file(started);
        fs::remove_file(&start).map_err(|error| Error::io("remove", &start, error))
    }

    pub(super) fn status(&self, record: &Record) -> Status {
        if record.pid == 0 {
            return Status::Creating;
        }
        if process::born(record.pid) != Some(record.born) {
            return Status::Stopped;
        }
        if record.creating {
            return Status::Creating;
        }
        if self.path(START).exists() {
            return Status::Created;
        }
        let frozen = record.cgroup().is_ok_and(|cgroup| cgroup.is_frozen());
        if frozen { Status::Paused } else { Status::Running }
    }

    /// Forgets the container.
    pub(super) fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.directory, error))
            }
            _ => Ok(()),
        }
    }
}

/// Writes a file as a whole or not at all.
pub(super) fn replace(path: &Path, text: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    let written = File::options().write(true).create(true).truncate(true).mode(0o644).open(&new);
    written
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| Error::io("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_no_other_directory() {
        for id in ["a", "a-b_c.d+1", "0123"] {
            assert!(check(id).is_ok(), "{id:?}");
        }
        for id in ["", ".", "..", "a/b", "../a", "a b", "ä", "a\n"] {
            assert!(check(id).is_err(), "{id:?}");
        }
    }
}
