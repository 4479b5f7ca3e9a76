//! The guard: an XDP program at the uplinks that ask for it, by a pinned link as all others.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya_obj::generated::bpf_attach_type as at;

use super::{Datapath, Error, GuardMode, attach::Attacher, pins::Pins, programs, syscall};

impl GuardMode {
    /// In the order they are tried.
    const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// The flag of the kernel's that asks for it.
    const fn flag(self) -> u32 {
        match self {
            Self::Generic => 1 << 1,
            Self::Native => 1 << 2,
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Native => programs::UPLINK_GUARD,
            Self::Generic => programs::UPLINK_GUARD_GENERIC,
        }
    }
}

impl Datapath {
    /// Attaches the guard to a device towards the outside: in the driver if it can. Returns how, or none if it was
    /// attached already.
    ///
    /// # Errors
    /// [`Error::GuardBusy`], [`Error::Attach`].
    pub fn attach_guard(&self, ifindex: u32, ifname: &str) -> Result<Option<GuardMode>, Error> {
        self.attacher().attach_guard(ifindex, ifname)
    }

    /// Detaches the guard from a device, which may be gone already.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn detach_guard(&self, ifindex: u32) -> Result<(), Error> {
        self.attacher().detach_guard(ifindex)
    }

    /// How the guard is attached to a device, if it is.
    pub fn guard_mode(&self, ifindex: u32) -> Option<GuardMode> {
        self.attacher().guard_mode(ifindex)
    }
}

impl Attacher<'_> {
    /// Attaches the guard to a device: in the driver if it can, else behind it. Returns how, or none if an earlier
    /// daemon attached it.
    pub(super) fn attach_guard(&self, ifindex: u32, ifname: &str) -> Result<Option<GuardMode>, Error> {
        if let Some(mode) = self.guard_mode(ifindex) {
            let path = self.pins.device_link(mode.program(), ifindex);
            let link = syscall::open_pinned(&path);
            match link.and_then(|link| syscall::update_link(link.as_fd(), self.program(mode)?)) {
                Ok(()) => return Ok(None),
                // An earlier device had this index.
                Err(_) => Pins::remove(&path)?,
            }
        }
        let mut failure = None;
        for mode in GuardMode::ALL {
            match self.attach_in(mode, ifindex) {
                Ok(()) => return Ok(Some(mode)),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    return Err(Error::GuardBusy { device: ifname.to_owned() });
                }
                Err(error) => failure = Some((mode, error)),
            }
        }
        match failure {
            Some((mode, source)) => {
                let target = format!("device {ifname}");
                Err(Error::Attach { program: mode.program(), target, source })
            }
            None => Ok(None),
        }
    }

    fn attach_in(&self, mode: GuardMode, ifindex: u32) -> io::Result<()> {
        let target = syscall::Target::Guard { ifindex, flags: mode.flag() };
        let link = syscall::create_link(self.program(mode)?, target, at::BPF_XDP as u32)?;
        syscall::pin(link.as_fd(), &self.pins.device_link(mode.program(), ifindex))
    }

    fn program(&self, mode: GuardMode) -> io::Result<BorrowedFd<'_>> {
        self.programs.get(mode.program()).map(|fd| fd.as_fd()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How the guard is attached to a device, if it is.
    pub(super) fn guard_mode(&self, ifindex: u32) -> Option<GuardMode> {
        let is_pinned = |mode: &GuardMode| self.pins.device_link(mode.program(), ifindex).exists();
        GuardMode::ALL.into_iter().find(is_pinned)
    }

    /// Detaches the guard from a device; one that is gone, or has none, is fine.
    pub(super) fn detach_guard(&self, ifindex: u32) -> Result<(), Error> {
        let Some(mode) = self.guard_mode(ifindex) else { return Ok(()) };
        let path = self.pins.device_link(mode.program(), ifindex);
        // A link without a pin is detached some time later: the sources shall be let in now.
        if let Err(error) = syscall::open_pinned(&path).and_then(|link| syscall::detach_link(link.as_fd())) {
            tracing::debug!(ifindex, %error, "the guard's device is gone");
        }
        Pins::remove(&path)
    }
}
