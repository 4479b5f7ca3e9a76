//! Mounting the container's root.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::fd::{IntoRawFd as _, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree,
};

use super::Child;
use crate::container::step::{Overlay, Root};

/// `mount(2)` takes a page of options.
const PAGE: usize = 4096;

/// How a directory is opened that is only to be named.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Child<'_> {
    /// Mounts the root on top of the host's, where only descriptors reach it.
    pub(super) fn mount_root(&mut self, root: &Root) -> Result<(), Errno> {
        let mounted = match root {
            Root::Directory(path) => {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_RECURSIVE;
                attach(open_tree(CWD, path.as_c_str(), flags)?)?
            }
            Root::Mount(mount) => attach(rustix::io::fcntl_dupfd_cloexec(mount, 3)?)?,
            Root::Overlay(overlay) => match self.overlay(overlay)? {
                Some(detached) => attach(detached)?,
                None => self.legacy(overlay)?,
            },
        };
        // What failed first may have worked then.
        self.detail_length = 0;
        self.root = Some(mounted);
        Ok(())
    }

    /// The overlay as a detached mount; none if the kernel does not take layers one by one.
    fn overlay(&mut self, overlay: &Overlay) -> Result<Option<OwnedFd>, Errno> {
        if overlay.always_legacy {
            return Ok(None);
        }
        let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let configured = (|| {
            for layer in &overlay.lower {
                self.overlay_directory(&fs, c"lowerdir+", layer)?;
            }
            self.overlay_directory(&fs, c"upperdir", &overlay.upper)?;
            self.overlay_directory(&fs, c"workdir", &overlay.work)?;
            fsconfig_set_string(&fs, c"source", c"overlay")?;
            fsconfig_create(&fs)
        })();
        match self.explain(&fs, configured) {
            // Linux 6.5 to 6.7 refuse the option by its name, older ones with the whole mount. If it was something else,
            // the older call will say so too.
            Err(Errno::INVAL) => return Ok(None),
            result => result?,
        }
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(Some)
    }

    /// Names one directory, which an error then tells: the kernel does not.
    fn overlay_directory(&mut self, fs: &OwnedFd, key: &CStr, path: &CStr) -> Result<(), Errno> {
        fsconfig_set_string(fs, key, path).inspect_err(|_| self.note(path.to_bytes()))
    }

    /// Before Linux 6.8, and for very long paths: all layers in one page of options. Each is named by a descriptor, so
    /// that 127 of them fit and no character of a path means anything. It is mounted on the upper directory, which
    /// nobody in this mount namespace needs again.
    fn legacy(&mut self, overlay: &Overlay) -> Result<OwnedFd, Errno> {
        let mut options = Page { bytes: [0; PAGE], length: 0 };
        let directories = overlay.lower.iter().chain([&overlay.upper, &overlay.work]);
        for (number, directory) in directories.enumerate() {
            let layers = overlay.lower.len();
            let key = match number {
                0 => "lowerdir=",
                _ if number == layers => ",upperdir=",
                _ if number > layers => ",workdir=",
                _ => ":",
            };
            let opened = openat(CWD, directory.as_c_str(), DIRECTORY, Mode::empty());
            // Left open: everything above the standard streams is closed before exec.
            let fd = opened.inspect_err(|_| self.note(directory.to_bytes()))?.into_raw_fd();
            write!(options, "{key}/proc/self/fd/{fd}").map_err(|_| Errno::NAMETOOLONG)?;
        }
        let upper = overlay.upper.as_c_str();
        mount(c"overlay", upper, c"overlay", MountFlags::empty(), Some(options.as_c_str()?))?;
        openat(CWD, upper, DIRECTORY, Mode::empty())
    }
}

/// Attaches a detached mount on top of the root. The descriptor then is the attached mount's.
fn attach(detached: OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&detached, c"", CWD, c"/", flags)?;
    Ok(detached)
}

/// A buffer to format into without allocating; the last byte stays zero.
struct Page {
    bytes: [u8; PAGE],
    length: usize,
}

impl Page {
    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::INVAL)
    }
}

impl std::fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let Some(room) = self.bytes.get_mut(self.length..end).filter(|_| end < PAGE) else {
            return Err(std::fmt::Error);
        };
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
