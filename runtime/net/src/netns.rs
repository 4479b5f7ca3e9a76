//! Network namespaces without a name: each lives as long as a process or a descriptor holds it.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

use crate::{Error, netlink::Netlink, sysctl};

/// A network namespace.
#[derive(Debug)]
pub struct Netns(OwnedFd);

impl Netns {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub fn current() -> Result<Self, Error> {
        let file = File::open("/proc/thread-self/ns/net")
            .map_err(|source| Error::Namespace { operation: "open the network namespace", source })?;
        Ok(Self(file.into()))
    }

    /// Makes a namespace with its loopback device up, in which unprivileged processes may bind every port and send echo
    /// requests, as in Docker's containers.
    ///
    /// Blocks for a fraction of a millisecond; the calling thread stays where it is.
    ///
    /// # Errors
    /// [`Error::Namespace`] or [`Error::Netlink`].
    pub fn create() -> Result<Self, Error> {
        on_own_thread("beeline-netns", || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Error::Namespace {
                operation: "create a network namespace",
                source: errno.into(),
            })?;
            furnish()?;
            Self::current()
        })
    }

    /// The same with a namespace that somebody else has made.
    ///
    /// # Errors
    /// [`Error::Namespace`] or [`Error::Netlink`].
    pub fn furnish(made: OwnedFd) -> Result<Self, Error> {
        on_own_thread("beeline-netns", || {
            enter(made.as_fd())?;
            furnish()
        })?;
        Ok(Self(made))
    }

    /// The namespace of a process.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub fn of_process(pid: u32) -> Result<Self, Error> {
        let file = File::open(format!("/proc/{pid}/ns/net")).map_err(|source| Error::Namespace {
            operation: "open the container's network namespace",
            source,
        })?;
        Ok(Self(file.into()))
    }

    /// Another handle of the same namespace.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        let fd = self.0.try_clone();
        fd.map(Self)
            .map_err(|source| Error::Namespace { operation: "keep the network namespace open", source })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Netns> for OwnedFd {
    fn from(netns: Netns) -> Self {
        netns.0
    }
}

impl From<OwnedFd> for Netns {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// Raises the loopback device of the calling thread's new namespace, and sets what a container's namespace has set.
fn furnish() -> Result<(), Error> {
    Netlink::open()?.raise_loopback()?;
    for (key, value) in [
        ("ipv4/ip_unprivileged_port_start", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
        // Devices that come later get no IPv6 address of their own accord.
        ("ipv6/conf/default/disable_ipv6", "1"),
    ] {
        sysctl::set(key, value);
    }
    Ok(())
}

/// Moves the calling thread into a namespace, for good: the thread must be one that ends soon.
pub(crate) fn enter(netns: BorrowedFd<'_>) -> Result<(), Error> {
    setns(netns, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::Namespace {
        operation: "enter the container's network namespace",
        source: errno.into(),
    })
}

/// Runs a function on a thread of its own, which may move between namespaces, and waits for it.
pub(crate) fn on_own_thread<T: Send>(
    name: &'static str,
    function: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name(name.into())
            .spawn_scoped(scope, function)
            .map_err(|source| Error::Namespace { operation: "start a thread", source })?
            .join()
            .unwrap_or(Err(Error::Task { task: name }))
    })
}
