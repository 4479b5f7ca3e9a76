//! What init gives up before it executes the command.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, ResolveFlags, Uid, fchown, fstat, makedev};
use rustix::io::Errno;
use rustix::process::{Gid, Signal, ioctl_tiocsctty, set_parent_process_death_signal};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_thread_res_gid,
    set_thread_res_uid,
};

use super::path::open_in;
use super::{Child, write_file};
use crate::container::step::Label;
use crate::container::sync;
use crate::container::syscall::{self, close_from, descriptor, dup_to, set_groups};
use crate::seccomp::Program;

/// The kernel has capabilities below this number.
const CAPABILITIES: u32 = 64;

/// Drops all but `keep` from the bounding set.
pub(super) fn bounding(keep: CapabilitySet) -> Result<(), Errno> {
    for capability in every_capability().filter(|capability| !keep.contains(*capability)) {
        match remove_capability_from_bounding_set(capability) {
            // The kernel has no more.
            Err(Errno::INVAL) => return Ok(()),
            result => result?,
        }
    }
    Ok(())
}

pub(super) fn capabilities(sets: CapabilitySets, ambient: CapabilitySet) -> Result<(), Errno> {
    set_capabilities(None, sets)?;
    clear_ambient_capability_set()?;
    for capability in every_capability().filter(|capability| ambient.contains(*capability)) {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

pub(super) fn die_with_parent() -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))
}

/// Asks for a label from the next execution on.
pub(super) fn label(label: &Label) -> Result<(), Errno> {
    let mut result = Err(Errno::NOENT);
    for file in label.files {
        result = write_file(rustix::fs::CWD, file, &label.text);
        if !matches!(result, Err(Errno::NOENT)) {
            break;
        }
    }
    result
}

fn every_capability() -> impl Iterator<Item = CapabilitySet> {
    (0..CAPABILITIES).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

impl Child<'_> {
    pub(super) fn stdio(&mut self, streams: Option<&[OwnedFd; 3]>) -> Result<(), Errno> {
        let terminal = self.terminal.take();
        match (streams, &terminal) {
            (Some([input, output, error]), _) => {
                for (number, stream) in [(0, input), (1, output), (2, error)] {
                    dup_to(stream.as_fd(), number, false)?;
                }
            }
            (None, Some(terminal)) => {
                ioctl_tiocsctty(&terminal.slave)?;
                for number in 0..3 {
                    dup_to(terminal.slave.as_fd(), number, false)?;
                }
            }
            (None, None) => return Err(Errno::BADF),
        }
        [stdin(), stdout(), stderr()].into_iter().try_for_each(|stream| give(stream, self.uid))
    }

    /// Changes to the working directory without leaving the root by way of a link in /proc.
    pub(super) fn workdir(&mut self, path: &CStr) -> Result<(), Errno> {
        let directory = open_in(self.root()?, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty())?;
        rustix::process::fchdir(directory)
    }

    /// Keeps the permitted capabilities, from which the configured ones are then taken.
    pub(super) fn become_user(&mut self) -> Result<(), Errno> {
        set_groups(self.groups.get(..self.group_count).unwrap_or_default())?;
        let gid = Gid::from_raw(self.gid);
        set_thread_res_gid(gid, gid, gid)?;
        set_keep_capabilities(true)?;
        let uid = Uid::from_raw(self.uid);
        set_thread_res_uid(uid, uid, uid)?;
        set_keep_capabilities(false)
    }

    /// What is needed until exec stays, behind the descriptors that are passed on; exec closes it.
    pub(super) fn close_others(&mut self, preserved: u32) -> Result<(), Errno> {
        let first = 3 + preserved;
        let mut held = self.held();
        // Out of the way of each other first.
        let high = i32::try_from(first).map_err(|_| Errno::BADF)? + 4;
        for fd in held.iter_mut().flatten() {
            *fd = syscall::inherited_owned(rustix::io::fcntl_dupfd_cloexec(*fd, high)?);
        }
        let mut next = first;
        for fd in held.iter_mut().flatten() {
            let number = next.cast_signed();
            dup_to(*fd, number, true)?;
            *fd = descriptor(number);
            next += 1;
        }
        let [socket, start, started, created_state] = held;
        self.socket = socket.ok_or(Errno::BADF)?;
        (self.start, self.started, self.created_state) = (start, started, created_state);
        (self.creating_state, self.root, self.proc) = (None, None, None);
        for number in 3..first {
            rustix::io::fcntl_setfd(descriptor(number.cast_signed()), rustix::io::FdFlags::empty())?;
        }
        close_from(next)
    }

    /// Installs a filter, and tells the parent where it asks.
    pub(super) fn listening_filter(&mut self, program: &Program) -> Result<(), Errno> {
        let listener = syscall::seccomp(program, true)?;
        sync::tell_listener(self.socket, listener.cast_unsigned())?;
        sync::await_packet(self.socket, &mut [0; 16])?;
        // The parent has its own by now, and the command must not have one.
        syscall::close(descriptor(listener));
        Ok(())
    }

    /// A parent that is gone never says so: then this ends with an error, and so does init.
    pub(super) fn fence(&mut self) -> Result<(), Errno> {
        sync::tell_created(self.socket)?;
        sync::await_packet(self.socket, &mut [0; 16]).map(drop)
    }

    /// The parent may go. From here on failures are told to who opens the fence.
    pub(super) fn lasting_fence(&mut self) -> Result<(), Errno> {
        let (start, started) = (self.start.ok_or(Errno::BADF)?, self.started.ok_or(Errno::BADF)?);
        sync::tell_created(self.socket)?;
        syscall::close(self.socket);
        self.socket = started;
        sync::await_packet(start, &mut [0; 16]).map(drop)
    }
}

/// Gives a standard stream to the container's user, so that /dev/stdout can be opened. The null device is everybody's,
/// and a file belongs to somebody already.
fn give(stream: BorrowedFd<'_>, uid: u32) -> Result<(), Errno> {
    let stat = fstat(stream)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let null = kind == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3);
    if stat.st_uid == uid || null || kind == FileType::RegularFile {
        return Ok(());
    }
    match fchown(stream, Some(Uid::from_raw(uid)), None) {
        // A socket or a file system without owners.
        Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => Ok(()),
        result => result,
    }
}
