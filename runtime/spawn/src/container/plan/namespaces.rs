//! Which namespaces are new, joined or shared, and what is set in the new ones.

use std::os::fd::OwnedFd;

use oci_spec::runtime::{Linux, LinuxNamespaceType as Type, Spec};
use rustix::fs::OFlags;
use rustix::thread::LinkNameSpaceType;

use super::{c_string, open_host};
use crate::container::step::{Op, Step};
use crate::container::{Error, NetNs};

/// The container's namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    pub(super) clone_flags: u64,
    /// cgroup namespaces are made after the groups were joined, not by clone.
    pub(super) own_cgroup: bool,
    /// The PID namespace to be born in: a process cannot enter one later.
    pub(super) pid: Option<OwnedFd>,
    join: Vec<(OwnedFd, LinkNameSpaceType)>,
    new_network: bool,
}

impl Namespaces {
    /// The network namespace is the caller's choice, whatever the configuration says.
    pub(super) fn new(linux: &Linux, netns: NetNs) -> Result<Self, Error> {
        let mut own =
            Self { clone_flags: 0, own_cgroup: false, pid: None, join: Vec::new(), new_network: false };
        for namespace in linux.namespaces().iter().flatten() {
            let (flag, kind) = match namespace.typ() {
                Type::Network => continue,
                Type::Mount => (libc::CLONE_NEWNS, LinkNameSpaceType::Mount),
                Type::Pid => (libc::CLONE_NEWPID, LinkNameSpaceType::ProcessID),
                Type::Ipc => (libc::CLONE_NEWIPC, LinkNameSpaceType::InterProcessCommunication),
                Type::Uts => (libc::CLONE_NEWUTS, LinkNameSpaceType::HostNameAndNISDomainName),
                Type::Cgroup => (0, LinkNameSpaceType::ControlGroup),
                other => return Err(Error::unsupported(format!("a namespace of type {other}"))),
            };
            match (namespace.path(), namespace.typ()) {
                (None, Type::Cgroup) => own.own_cgroup = true,
                (None, _) => own.clone_flags |= u64::from(flag.cast_unsigned()),
                (Some(path), Type::Pid) => own.pid = Some(open_host(path, OFlags::RDONLY)?),
                (Some(path), Type::Ipc | Type::Uts | Type::Cgroup) => {
                    own.join.push((open_host(path, OFlags::RDONLY)?, kind));
                }
                (Some(_), other) => {
                    return Err(Error::unsupported(format!("joining a namespace of type {other}")));
                }
            }
        }
        if own.clone_flags & libc::CLONE_NEWNS as u64 == 0 {
            return Err(Error::unsupported("a container without a mount namespace of its own"));
        }
        match netns {
            NetNs::New => {
                own.clone_flags |= libc::CLONE_NEWNET as u64;
                own.new_network = true;
            }
            NetNs::Host => {}
            NetNs::Fd(fd) => own.join.push((fd, LinkNameSpaceType::Network)),
        }
        Ok(own)
    }

    /// Joins namespaces, and names what is in the new ones. The cgroups have to be joined before.
    pub(super) fn steps(&self, spec: &Spec, steps: &mut Vec<Step>) -> Result<(), Error> {
        for (fd, kind) in &self.join {
            let fd = fd.try_clone().map_err(Error::Sync)?;
            steps.push(Step::new(format!("join the {kind:?} namespace"), Op::EnterNamespace(fd, *kind)));
        }
        if self.own_cgroup {
            steps.push(Step::new("make a cgroup namespace", Op::UnshareCgroup));
        }
        steps.push(Step::new("make a session keyring", Op::NewKeyring(c"beeline".to_owned())));
        if self.new_network {
            steps.push(Step::new("set the loopback device up", Op::LoopbackUp));
        }
        let names = [(spec.hostname(), "hostname"), (spec.domainname(), "domainname")];
        for (name, field) in names {
            let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else { continue };
            if self.clone_flags & libc::CLONE_NEWUTS as u64 == 0 {
                return Err(Error::config(format!(
                    "{field} is set without a UTS namespace of the container's own"
                )));
            }
            let text = c_string(name.as_str(), field)?;
            let op = if field == "hostname" { Op::Hostname(text) } else { Op::Domainname(text) };
            steps.push(Step::new(format!("set the {field} to {name}"), op));
        }
        Ok(())
    }
}
