//! An overlay whose files have other owners than on the disk, for a container with a user namespace of its own.
//!
//! Layers and changes lie on the disk with the owners that the container sees. The overlay is made of idmapped copies of
//! their mounts: nothing is chowned, and layers are everybody's.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::CWD;
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, move_mount, open_tree,
};
use rustix::thread::{capabilities, set_capabilities};

use super::{Overlay, apart, layered, legacy};
use crate::container::{Error, Identities, map_identities};

/// The overlay as the user namespace with these identities is to see it, attached nowhere.
///
/// # Errors
/// Something cannot be mounted, or the kernel cannot map the identities of its file system.
pub fn mapped(overlay: &Overlay, identities: &Identities) -> Result<OwnedFd, Error> {
    let namespace = identities.namespace()?;
    let (overlay, root) = (overlay.clone(), identities.root());
    apart(move || Ok(make(&overlay, namespace.as_fd(), root))).map_err(Error::Sync)?
}

/// Does `work` as somebody whose new files are of the given user and group of the host, with all privileges.
///
/// # Errors
/// There is no such identity.
pub fn acting_as<T: Send + 'static>(
    root: (u32, u32),
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    apart(move || {
        act_as(root)?;
        Ok(work())
    })
}

fn make(overlay: &Overlay, namespace: BorrowedFd<'_>, root: (u32, u32)) -> Result<OwnedFd, Error> {
    let mut copies = Copies { namespace, mounts: Vec::new() };
    let apart = unshare(CloneFlags::CLONE_NEWNS)
        .map_err(std::io::Error::from)
        .and_then(|()| Ok(mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?));
    apart.map_err(failed("keep mounts apart for", Path::new("/")))?;
    let lower = overlay.lower.iter().map(|layer| copies.of(layer)).collect::<Result<Vec<_>, _>>()?;
    let upper = overlay.upper.as_ref().map(|(upper, work)| copies.of_both(upper, work)).transpose()?;
    let place = overlay.upper.as_ref().map_or(Path::new("/"), |(upper, _)| upper);
    let mapped = Overlay { lower, upper, read_only: overlay.read_only };
    let mounted = (|| {
        // The overlay makes files as who mounts it, and the host's root is nobody in the copies.
        act_as(root)?;
        if let Some(detached) = layered(&mapped, mapped.read_only)? {
            return Ok(detached);
        }
        let attached = legacy(&mapped)?;
        let flags = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::OPEN_TREE_CLONE;
        Ok(open_tree(&attached, c"", flags | OpenTreeFlags::OPEN_TREE_CLOEXEC)?)
    })();
    mounted.map_err(failed("mount an overlay of idmapped layers on", place))
}

/// Idmapped copies of mounts, which hang on the root of this thread's namespace, where only descriptors reach them: before
/// Linux 6.15 an overlay takes no layers that are attached nowhere.
struct Copies<'a> {
    namespace: BorrowedFd<'a>,
    mounts: Vec<OwnedFd>,
}

impl Copies<'_> {
    /// The path of a directory's copy.
    fn of(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let copy = open_tree(CWD, path, flags).map_err(std::io::Error::from).map_err(failed("bind", path))?;
        map_identities(copy.as_fd(), self.namespace)
            .map_err(failed("map identities of the file system of", path))?;
        move_mount(&copy, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(std::io::Error::from)
            .map_err(failed("attach a copy of", path))?;
        let name = format!("/proc/self/fd/{}", copy.as_raw_fd());
        self.mounts.push(copy);
        Ok(name.into())
    }

    /// Those of the upper and the work directory, which have to be in one mount.
    fn of_both(&mut self, upper: &Path, work: &Path) -> Result<(PathBuf, PathBuf), Error> {
        match (upper.parent(), upper.file_name(), work.parent(), work.file_name()) {
            (Some(parent), Some(upper), other, Some(work)) if other == Some(parent) => {
                let copy = self.of(parent)?;
                Ok((copy.join(upper), copy.join(work)))
            }
            _ => {
                Err(failed("find the work directory beside", upper)(std::io::ErrorKind::InvalidInput.into()))
            }
        }
    }
}

/// Makes files that this thread makes those of a user and a group of the host. Its privileges stay.
fn act_as((user, group): (u32, u32)) -> std::io::Result<()> {
    setfsgid(Gid::from_raw(group));
    setfsuid(Uid::from_raw(user));
    // The change has taken those over files.
    let mut sets = capabilities(None)?;
    sets.effective = sets.permitted;
    Ok(set_capabilities(None, sets)?)
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Host { operation, path, source }
}
