//! What an OCI runtime's caller decides about a container beyond its configuration.

use std::os::fd::OwnedFd;

use rustix::process::Pid;

use super::Error;

/// The terms on which init is made. The default's are the engine's: init dies with its parent.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Init stays when its parent goes.
    pub(crate) lives_on: bool,
    /// The fence, if not the parent is to open it.
    pub(crate) fence: Option<Fence>,
    /// How many descriptors from number 3 on the command gets.
    pub(crate) preserved: u32,
    /// `pivot_root`, which a root on an initial ramdisk cannot.
    pub(crate) pivot: bool,
    /// A session keyring of the container's own.
    pub(crate) keyring: bool,
    /// Hooks are run; otherwise a configuration that has them is refused.
    pub(crate) hooks: bool,
}

/// Two FIFOs, opened for reading and writing, so that opening never waits and reading does.
#[derive(Debug)]
pub(crate) struct Fence {
    /// Says when to start.
    pub(crate) start: OwnedFd,
    /// Closed by the command's execution; what is written to it before says why there was none.
    pub(crate) started: OwnedFd,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lives_on: false, fence: None, preserved: 0, pivot: true, keyring: true, hooks: false }
    }
}

/// The caller's part while init is made.
pub(crate) trait Attendant {
    /// The container's state as JSON, which hooks that init runs find on their standard input.
    fn state(&self, _pid: Pid, _created: bool) -> Vec<u8> {
        Vec::new()
    }

    /// The root is mounted, and init waits before it makes it its own.
    fn root_is_built(&mut self, _pid: Pid) -> Result<(), Error> {
        Ok(())
    }

    /// The seccomp filter is installed, and asks at this descriptor.
    fn filter_listens(&mut self, pid: Pid, listener: OwnedFd) -> Result<(), Error>;
}

/// Nobody: neither hooks nor filters that ask are allowed.
impl Attendant for () {
    fn filter_listens(&mut self, _: Pid, _: OwnedFd) -> Result<(), Error> {
        Err(Error::unsupported("SCMP_ACT_NOTIFY"))
    }
}
