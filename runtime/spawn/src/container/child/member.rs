//! Becoming a member of a container that runs.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags, ResolveFlags, fstat, fstatfs, major, minor};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::path::open_in;
use super::{Child, Terminal, become_root};

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: i64 = 0x1cd1;
/// The device number of every ptmx.
const PTMX: (u32, u32) = (5, 2);

impl Child<'_> {
    /// Joins the namespaces of a container's init, and with its mounts its root. The pid namespace was joined before
    /// the clone; a user namespace that is this process' own already could not be joined.
    pub(super) fn member(&mut self, init: BorrowedFd<'_>, user: bool) -> Result<(), Errno> {
        let mut all = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::NETWORK
            | ThreadNameSpaceType::CONTROL_GROUP;
        all.set(ThreadNameSpaceType::USER, user);
        move_into_thread_name_spaces(init, all)?;
        if user {
            become_root()?;
        }
        self.open_root()
    }

    /// Opens a terminal of the container's own devpts. What has the name in a container that runs may be anything: only
    /// the multiplexer of a devpts is taken, and its other end is had from it, not by a name.
    pub(super) fn open_terminal(&mut self, size: Option<Winsize>) -> Result<(), Errno> {
        let path = open_in(self.root()?, c"dev/pts/ptmx", OFlags::PATH, ResolveFlags::NO_SYMLINKS)?;
        let stat = fstat(&path)?;
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if !is_device || device != PTMX || fstatfs(&path)?.f_type as i64 != DEVPTS {
            return Err(Errno::NODEV);
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let master = open_in(self.root()?, c"dev/pts/ptmx", flags, ResolveFlags::NO_SYMLINKS)?;
        unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        if let Some(size) = size {
            tcsetwinsize(&slave, size)?;
        }
        self.terminal = Some(Terminal { master, slave });
        Ok(())
    }
}
