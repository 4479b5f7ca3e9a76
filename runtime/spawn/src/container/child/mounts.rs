//! Mounts, devices and links in the container's root.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fstat, fstatfs, mknodat, open,
    statat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, open_tree, unmount,
};
use rustix::termios::Winsize;

use super::Child;
use super::path::open_in;
use crate::container::step::{Attributes, Bind, Device, NewMount, Propagation, Source, Target};
use crate::container::syscall::mount_setattr;

/// libc has no constant for it.
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;

const READ_ONLY: Attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0 };

/// Keeps what is mounted from here on out of the host.
pub(super) fn propagation(propagation: Propagation) -> Result<(), Errno> {
    match propagation {
        Propagation::Slave => {
            mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        }
        // All but the mount that the container's root goes on.
        Propagation::Shared => mount_change(c"/", MountPropagationFlags::PRIVATE),
    }
}

/// Attaches a detached mount on an open directory or file.
fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// A copy of the mount an open file is on, with the file as its root.
fn clone_mount(of: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(of, c"", flags)
}

impl Child<'_> {
    /// Keeps what the kernel says about a failed configuration of a file system.
    pub(super) fn explain<T>(&mut self, fs: &OwnedFd, result: Result<T, Errno>) -> Result<T, Errno> {
        if result.is_err() {
            // Messages are "e FILESYSTEM: TEXT"; without one there is nothing to read.
            if let Ok(length) = rustix::io::read(fs, &mut self.detail) {
                self.detail_length = length;
            }
        }
        result
    }

    /// Keeps what an error is about, beyond its step.
    pub(super) fn note(&mut self, detail: &[u8]) {
        let length = detail.len().min(self.detail.len());
        if let (Some(room), Some(detail)) = (self.detail.get_mut(..length), detail.get(..length)) {
            room.copy_from_slice(detail);
            self.detail_length = length;
        }
    }

    pub(super) fn mount(&mut self, new: &NewMount) -> Result<(), Errno> {
        let mount = self.new_mount(new)?;
        let target = self.place(&new.target)?;
        attach(mount.as_fd(), target.as_fd())?;
        if new.is_proc && self.proc.is_none() {
            self.proc = Some(mount);
        }
        Ok(())
    }

    fn new_mount(&mut self, new: &NewMount) -> Result<OwnedFd, Errno> {
        let fs = fsopen(new.fstype.as_c_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        let configured = (|| {
            fsconfig_set_string(&fs, c"source", new.source.as_c_str())?;
            for (key, value) in &new.options {
                match value {
                    Some(value) => fsconfig_set_string(&fs, key.as_c_str(), value.as_c_str())?,
                    None => fsconfig_set_flag(&fs, key.as_c_str())?,
                }
            }
            fsconfig_create(&fs)
        })();
        self.explain(&fs, configured)?;
        let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, new.attributes)?;
        if let Some(propagation) = new.propagation {
            propagate(mount.as_fd(), propagation)?;
        }
        Ok(mount)
    }

    pub(super) fn bind(&mut self, bind: &Bind) -> Result<(), Errno> {
        let made;
        let mount = match &bind.source {
            Source::Path(path) => {
                let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                flags.set(OpenTreeFlags::AT_RECURSIVE, bind.recursive);
                made = open_tree(CWD, path.as_c_str(), flags)?;
                &made
            }
            Source::Below { whole, subdir } => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let whole = open(whole.as_c_str(), flags, Mode::empty())?;
                let part = open_in(whole.as_fd(), subdir, OFlags::PATH, ResolveFlags::empty())?;
                made = clone_mount(part.as_fd(), bind.recursive)?;
                &made
            }
            Source::Made(mount) => mount,
        };
        if !bind.attributes.is_empty() {
            mount_setattr(mount.as_fd(), bind.attributes, 0, false)?;
        }
        propagate(mount.as_fd(), bind.propagation)?;
        if !bind.recursive_attributes.is_empty() {
            mount_setattr(mount.as_fd(), bind.recursive_attributes, 0, true)?;
        }
        let target = self.place(&bind.target)?;
        attach(mount.as_fd(), target.as_fd())
    }

    /// Where a mount goes. A link in a volume, which another container may have put there, leads to no file system of the
    /// kernel's.
    fn place(&mut self, target: &Target) -> Result<OwnedFd, Errno> {
        let place = self.target(target)?;
        let kind = fstatfs(&place)?.f_type;
        let refused = (kind == libc::PROC_SUPER_MAGIC && !target.kernels.proc)
            || (kind == SYSFS_MAGIC && !target.kernels.sys);
        if refused {
            self.note(b"its path leads to a file system of the kernel's");
            return Err(Errno::PERM);
        }
        Ok(place)
    }

    pub(super) fn device(&mut self, device: &Device) -> Result<(), Errno> {
        let parent = self.target(&device.parent)?;
        let kind = FileType::from_raw_mode(device.mode);
        let mode = Mode::from_raw_mode(device.mode);
        match mknodat(&parent, device.name.as_c_str(), kind, mode, device.device) {
            // A root that has the very device is fine.
            Err(Errno::EXIST) => {
                let stat = statat(&parent, device.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
                let same = FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == device.device;
                return if same { Ok(()) } else { Err(Errno::EXIST) };
            }
            result => result?,
        }
        if (device.uid, device.gid) == (0, 0) {
            return Ok(());
        }
        let owner = (Some(Uid::from_raw(device.uid)), Some(Gid::from_raw(device.gid)));
        chownat(&parent, device.name.as_c_str(), owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn link(&mut self, parent: &Target, name: &CStr, to: &CStr) -> Result<(), Errno> {
        let parent = self.target(parent)?;
        match symlinkat(to, &parent, name) {
            Err(Errno::EXIST) => Ok(()),
            result => result,
        }
    }

    /// Opens a pseudo terminal of the container's devpts. The other end comes from the kernel, not by a path that a
    /// container sharing a volume could have changed, and so does what is mounted on /dev/console.
    pub(super) fn console(&mut self, size: Option<Winsize>, target: &Target) -> Result<(), Errno> {
        self.open_terminal(size)?;
        let terminal = self.terminal.as_ref().ok_or(Errno::NOENT)?;
        let mount = clone_mount(terminal.slave.as_fd(), false)?;
        let target = self.place(target)?;
        attach(mount.as_fd(), target.as_fd())
    }

    /// Hides a directory under an empty read-only one, anything else under the host's /dev/null. The container's own
    /// null device is not used, as a container sharing its /dev could have put something else in its place.
    pub(super) fn mask(&mut self, path: &CStr) -> Result<(), Errno> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        let stat = fstat(&target)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let null = open(c"/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let mount = clone_mount(null.as_fd(), false)?;
            return attach(mount.as_fd(), target.as_fd());
        }
        if let Some(mask) = &self.mask {
            let mount = clone_mount(mask.as_fd(), false)?;
            return attach(mount.as_fd(), target.as_fd());
        }
        let fs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, c"source", c"tmpfs")?;
        fsconfig_set_string(&fs, c"nr_inodes", c"1")?;
        fsconfig_set_string(&fs, c"mode", c"555")?;
        fsconfig_create(&fs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        attach(mount.as_fd(), target.as_fd())?;
        self.mask = Some(mount);
        Ok(())
    }

    pub(super) fn readonly(&mut self, path: &CStr) -> Result<(), Errno> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        let mount = clone_mount(target.as_fd(), true)?;
        mount_setattr(mount.as_fd(), READ_ONLY, 0, true)?;
        attach(mount.as_fd(), target.as_fd())
    }

    pub(super) fn readonly_root(&mut self) -> Result<(), Errno> {
        mount_setattr(self.root()?, READ_ONLY, 0, false)
    }

    /// Makes the container's root this process' root, stacks the host's on it and detaches that.
    pub(super) fn pivot(&mut self) -> Result<(), Errno> {
        let host = open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::process::fchdir(self.root()?)?;
        rustix::process::pivot_root(c".", c".")?;
        rustix::process::fchdir(&host)?;
        // Detaching must not reach the host's own mounts, should they have stayed shared.
        mount_change(c".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    }

    /// The container's root is on top of the host's already.
    pub(super) fn change_root(&mut self) -> Result<(), Errno> {
        rustix::process::fchdir(self.root()?)?;
        rustix::process::chroot(c".")?;
        rustix::process::chdir(c"/")
    }

    /// The root that came with the container's mount namespace.
    pub(super) fn open_root(&mut self) -> Result<(), Errno> {
        self.root = Some(open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        Ok(())
    }

    fn existing(&self, path: &CStr) -> Result<Option<OwnedFd>, Errno> {
        match open_in(self.root()?, path, OFlags::PATH, ResolveFlags::empty()) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn propagate(mount: BorrowedFd<'_>, propagation: MountPropagationFlags) -> Result<(), Errno> {
    let recursive = propagation.contains(MountPropagationFlags::REC);
    let kind = (propagation - MountPropagationFlags::REC).bits();
    mount_setattr(mount, Attributes::default(), kind.into(), recursive)
}
