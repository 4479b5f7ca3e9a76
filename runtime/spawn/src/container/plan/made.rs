//! Mounts that the parent makes for init, because only it may: sources that a user namespace cannot reach, idmapped
//! mounts, and a tmpfs that begins with what it covers.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Linux, Mount};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::options::Options;
use super::stream;
use crate::container::{Error, Identities, identity_map, syscall};
use crate::view::{self, Overlay};

/// A copy of the mount at `path`, or of what is at `subdir` below it, attached nowhere.
pub(super) fn tree(path: &Path, subdir: Option<&str>, recursive: bool) -> Result<OwnedFd, Error> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    let made = match subdir {
        Some(subdir) => {
            below(path, subdir).and_then(|part| open_tree(part, c"", flags | OpenTreeFlags::AT_EMPTY_PATH))
        }
        None => open_tree(CWD, path, flags),
    };
    stream(made.map_err(|error| failed("bind", path, error))?)
}

/// What is at `subdir` below a directory, as seen from inside of it.
pub(super) fn below(directory: &Path, subdir: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let whole = open(directory, flags | OFlags::DIRECTORY, Mode::empty())?;
    openat2(whole, subdir, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

fn failed(operation: &'static str, path: &Path, error: Errno) -> Error {
    Error::Host { operation, path: path.to_owned(), source: error.into() }
}

/// How an idmapped mount maps.
pub(super) struct MountMap {
    identities: Identities,
    recursive: bool,
}

/// The mount's own map, or the container's if it only says that it has one.
pub(super) fn identity_map(
    mount: &Mount,
    options: &Options,
    linux: &Linux,
) -> Result<Option<MountMap>, Error> {
    let own = Identities {
        users: mount.uid_mappings().clone().unwrap_or_default(),
        groups: mount.gid_mappings().clone().unwrap_or_default(),
    };
    let has_own = own != Identities::default();
    if !has_own && options.identity_map.is_none() {
        return Ok(None);
    }
    let identities = if has_own { own } else { identity_map::identities(linux) };
    if identities.users.is_empty() || identities.groups.is_empty() {
        let at = mount.destination().display();
        return Err(Error::config(format!("the idmapped mount on {at} lacks uidMappings or gidMappings")));
    }
    Ok(Some(MountMap { identities, recursive: options.identity_map.unwrap_or(false) }))
}

impl MountMap {
    /// Maps identities of a copy of the mount at `path`.
    pub(super) fn map(&self, mount: OwnedFd, path: &Path) -> Result<OwnedFd, Error> {
        let namespace = self.identities.namespace()?;
        syscall::map_identities(mount.as_fd(), namespace.as_fd(), self.recursive)
            .map_err(|error| failed("map identities of", path, error))?;
        Ok(mount)
    }
}

/// The root's overlay, whose layers have on the disk the owners that the container sees.
pub(super) fn overlay(overlay: &Overlay, linux: &Linux) -> Result<OwnedFd, Error> {
    stream(view::mapped(overlay, &identity_map::identities(linux))?)
}

/// A tmpfs with a copy of what the image has at `destination`.
pub(super) fn filled_tmpfs(
    root: &Path,
    destination: &Path,
    options: &[(String, Option<String>)],
) -> Result<OwnedFd, Error> {
    let made = (|| {
        let fs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            match value {
                Some(value) => fsconfig_set_string(&fs, key.as_str(), value.as_str())?,
                None => fsconfig_set_flag(&fs, key.as_str())?,
            }
        }
        fsconfig_create(&fs)?;
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    })();
    let made = stream(made.map_err(|error| failed("make a tmpfs for", destination, error))?)?;
    let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed("open", root, error))?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(&root, destination, flags, Mode::empty(), resolve) {
        Ok(covered) => fill(&covered, &made).map_err(|error: io::Error| Error::Host {
            operation: "copy",
            path: destination.to_owned(),
            source: error,
        })?,
        Err(Errno::NOENT | Errno::NOTDIR) => {}
        Err(error) => return Err(failed("open", destination, error)),
    }
    Ok(made)
}

fn fill(covered: &OwnedFd, made: &OwnedFd) -> io::Result<()> {
    // A mount's own descriptor only names it.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    super::copy::tree(covered, &openat(made, c".", flags, Mode::empty())?)
}
