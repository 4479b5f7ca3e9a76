//! Attaching to devices and to the root cgroup.
//!
//! At devices that stay, a program is behind a TCX link where the kernel has them. Making or ending one, the kernel waits
//! for all readers (RCU), ten milliseconds and more, with all of networking locked. At containers' devices, which come and
//! go by the hundred, a program is a clsact filter therefore: it is there at once.

use std::{
    fs::File,
    hash::{DefaultHasher, Hasher as _},
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact},
};
use aya_obj::generated::bpf_attach_type as at;

use super::{Error, load::Programs, pins::Pins, programs, syscall};

/// Which way packets go through the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Ingress,
    Egress,
}

/// Attaches one of the packet programs to a device; a link that is there already is left alone.
pub(super) struct Attacher<'a> {
    pub(super) pins: &'a Pins,
    pub(super) programs: &'a Programs,
    /// Where the programs are pinned: the clsact way opens them from there.
    pub(super) folder: &'a Path,
    pub(super) instance: &'a str,
}

impl Attacher<'_> {
    pub(super) fn attach(
        &self,
        program: &'static str,
        ifindex: u32,
        ifname: &str,
        way: Way,
    ) -> Result<(), Error> {
        let path = self.pins.device_link(program, ifindex);
        let fd = self
            .programs
            .get(program)
            .ok_or_else(|| Error::Missing { what: format!("program {program}") })?;
        if let Ok(link) = syscall::open_pinned(&path) {
            match syscall::update_link(link.as_fd(), fd.as_fd()) {
                Ok(()) => return Ok(()),
                // An earlier device had this index.
                Err(_) => Pins::remove(&path)?,
            }
        }
        let failed = |source| Error::Attach { program, target: format!("device {ifname}"), source };
        if program == programs::CONTAINER_INGRESS {
            return match self.attach_clsact(program, ifname, way) {
                // A kernel may have been built without, if it has TCX.
                Err(error) => self.attach_tcx(fd.as_fd(), ifindex, way, &path).map_err(|_| failed(error)),
                Ok(()) => Ok(()),
            };
        }
        match self.attach_tcx(fd.as_fd(), ifindex, way, &path) {
            Err(error) if is_unsupported(&error) => self.attach_clsact(program, ifname, way),
            other => other,
        }
        .map_err(failed)
    }

    fn attach_tcx(&self, program: BorrowedFd<'_>, ifindex: u32, way: Way, path: &Path) -> io::Result<()> {
        if force_clsact() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let attach_type = match way {
            Way::Ingress => at::BPF_TCX_INGRESS,
            Way::Egress => at::BPF_TCX_EGRESS,
        };
        let link = syscall::create_link(program, syscall::Target::Device(ifindex), attach_type as u32)?;
        syscall::pin(link.as_fd(), path)
    }

    /// The filter has a priority of the instance's own, so that attaching again replaces it and leaves others alone.
    fn attach_clsact(&self, program: &'static str, ifname: &str, way: Way) -> io::Result<()> {
        let is_new = match qdisc_add_clsact(ifname) {
            Ok(()) => true,
            Err(TcError::AlreadyAttached) => false,
            Err(error) if is_present(&error) => false,
            Err(error) => return Err(io::Error::other(error)),
        };
        let mut classifier =
            SchedClassifier::from_pin(self.folder.join(program)).map_err(io::Error::other)?;
        let options = || {
            TcAttachOptions::Netlink(NlOptions {
                priority: self.priority(),
                handle: TcHandle::new(0, 1),
                classid: None,
            })
        };
        let replaced = match self.filter(ifname, way) {
            Ok(filter) if !is_new => classifier.attach_to_link(filter).ok(),
            _ => None,
        };
        let link = match replaced {
            Some(replaced) => replaced,
            None => {
                classifier.attach_with_options(ifname, way.into(), options()).map_err(io::Error::other)?
            }
        };
        let link = classifier.take_link(link).map_err(io::Error::other)?;
        // Dropping it would take the filter away; the filter is to outlive the daemon.
        std::mem::forget(link);
        Ok(())
    }

    /// Detaches a program from a device; one that is gone, or has none, is fine.
    pub(super) fn detach(
        &self,
        program: &'static str,
        ifindex: u32,
        ifname: &str,
        way: Way,
    ) -> Result<(), Error> {
        let path = self.pins.device_link(program, ifindex);
        if path.exists() {
            return Pins::remove(&path);
        }
        self.detach_clsact(ifname, way);
        Ok(())
    }

    fn detach_clsact(&self, ifname: &str, way: Way) {
        // There is no filter, no clsact or no device: nothing is attached, which is what was asked for.
        if let Ok(filter) = self.filter(ifname, way) {
            drop(aya::programs::links::Link::detach(filter));
        }
    }

    /// This instance's filter at a device, whether it is there or not.
    fn filter(&self, ifname: &str, way: Way) -> io::Result<SchedClassifierLink> {
        SchedClassifierLink::attached(ifname, way.into(), self.priority(), TcHandle::new(0, 1), None)
    }

    fn priority(&self) -> u16 {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.instance.as_bytes());
        0x4000 | (hasher.finish() as u16 & 0x3fff)
    }
}

impl From<Way> for TcAttachType {
    fn from(way: Way) -> Self {
        match way {
            Way::Ingress => Self::Ingress,
            Way::Egress => Self::Egress,
        }
    }
}

/// Tests of the older way run on newer kernels too.
fn force_clsact() -> bool {
    cfg!(debug_assertions) && std::env::var_os("BEELINE_FORCE_CLSACT").is_some()
}

/// Before 6.6 the attach types of TCX are unknown.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

fn is_present(error: &TcError) -> bool {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error() == Some(libc::EEXIST),
        TcError::IoError(error) => error.raw_os_error() == Some(libc::EEXIST),
        _ => false,
    }
}

/// Attaches the programs at the sockets to the root cgroup; links that are there already are left alone.
pub(super) fn attach_cgroup(pins: &Pins, loaded: &Programs, cgroup2: &Path) -> Result<(), Error> {
    let root = File::open(cgroup2).map_err(|source| Error::Pins {
        operation: "open",
        path: cgroup2.into(),
        source,
    })?;
    for (name, attach_type) in programs::SOCKET_PROGRAMS {
        let path = pins.cgroup_link(name);
        if path.exists() {
            continue;
        }
        let program = loaded.get(name).ok_or_else(|| Error::Missing { what: format!("program {name}") })?;
        let target = syscall::Target::Cgroup(root.as_fd());
        let link =
            syscall::create_link(program.as_fd(), target, attach_type as u32).map_err(
                |source| match source.raw_os_error() {
                    Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Error::Unsupported {
                        missing: format!("BPF programs at cgroups ({name}): it needs CONFIG_CGROUP_BPF"),
                    },
                    Some(libc::EBADF) => Error::Unsupported {
                        missing: format!("{} is not a cgroup2 file system: mount one", cgroup2.display()),
                    },
                    _ => Error::Attach {
                        program: name,
                        target: format!("cgroup {}", cgroup2.display()),
                        source,
                    },
                },
            )?;
        Pins::pin(link.as_fd(), &path)?;
    }
    Ok(())
}
