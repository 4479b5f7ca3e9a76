//! Which namespaces are new, joined or shared, and what is set in the new ones.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespaceType as Type, Spec};
use rustix::fs::OFlags;
use rustix::thread::LinkNameSpaceType as Kind;

use super::{c_string, open_host};
use crate::container::step::{Op, Step};
use crate::container::{Error, NetNs};

/// The container's namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    pub(super) clone_flags: u64,
    /// cgroup namespaces are made after the groups were joined, not by clone.
    pub(super) own_cgroup: bool,
    /// All but the user and the process id namespace.
    join: Vec<(OwnedFd, Kind)>,
    join_pid: Option<OwnedFd>,
    join_user: Option<OwnedFd>,
    /// The types that are not the caller's.
    apart: Vec<Type>,
    /// Joined by the process between parent and child.
    staged: bool,
}

impl Namespaces {
    /// The network namespace is the caller's choice, unless that is the configuration's.
    pub(super) fn new(linux: &Linux, netns: NetNs) -> Result<Self, Error> {
        let mut own = Self {
            clone_flags: 0,
            own_cgroup: false,
            join: Vec::new(),
            join_pid: None,
            join_user: None,
            apart: Vec::new(),
            staged: false,
        };
        for namespace in linux.namespaces().iter().flatten() {
            let kind = namespace.typ();
            if kind == Type::Network && !matches!(netns, NetNs::Configured) {
                continue;
            }
            if own.apart.contains(&kind) {
                return Err(Error::config(format!("linux.namespaces has {kind} twice")));
            }
            match namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
                None => own.add_new(kind),
                Some(path) => own.add_existing(kind, path)?,
            }
        }
        match netns {
            NetNs::New => own.add_new(Type::Network),
            NetNs::Host | NetNs::Configured => {}
            NetNs::Fd(fd) => {
                own.apart.push(Type::Network);
                own.join.push((fd, Kind::Network));
            }
        }
        if !own.is_new(libc::CLONE_NEWNS) {
            return Err(Error::unsupported("a container without a mount namespace of its own"));
        }
        Ok(own)
    }

    fn add_new(&mut self, kind: Type) {
        self.apart.push(kind);
        match kind {
            Type::Cgroup => self.own_cgroup = true,
            Type::Mount => self.clone_flags |= flag(libc::CLONE_NEWNS),
            Type::Pid => self.clone_flags |= flag(libc::CLONE_NEWPID),
            Type::Ipc => self.clone_flags |= flag(libc::CLONE_NEWIPC),
            Type::Uts => self.clone_flags |= flag(libc::CLONE_NEWUTS),
            Type::Network => self.clone_flags |= flag(libc::CLONE_NEWNET),
            Type::User => self.clone_flags |= flag(libc::CLONE_NEWUSER),
            Type::Time => self.clone_flags |= flag(libc::CLONE_NEWTIME),
        }
    }

    fn add_existing(&mut self, kind: Type, path: &Path) -> Result<(), Error> {
        let open = || open_host(path, OFlags::RDONLY);
        match kind {
            Type::Mount => return Err(Error::unsupported("joining a namespace of type mount")),
            // The kernel lets nobody join the user namespace that they are in.
            Type::User if same_file(path, Path::new("/proc/self/ns/user")) => return Ok(()),
            Type::User => self.join_user = Some(open()?),
            Type::Pid => self.join_pid = Some(open()?),
            Type::Ipc => self.join.push((open()?, Kind::InterProcessCommunication)),
            Type::Uts => self.join.push((open()?, Kind::HostNameAndNISDomainName)),
            Type::Cgroup => self.join.push((open()?, Kind::ControlGroup)),
            Type::Network => self.join.push((open()?, Kind::Network)),
            Type::Time => self.join.push((open()?, Kind::Time)),
        }
        self.apart.push(kind);
        Ok(())
    }

    fn is_new(&self, of: libc::c_int) -> bool {
        self.clone_flags & flag(of) != 0
    }

    pub(super) fn new_user(&self) -> bool {
        self.is_new(libc::CLONE_NEWUSER)
    }

    /// Whether init is in another user namespace than the caller.
    pub(super) fn has_user(&self) -> bool {
        self.new_user() || self.join_user.is_some()
    }

    /// Whether the container's namespace of the type is not the caller's.
    pub(super) fn has_apart(&self, kind: Type) -> bool {
        self.apart.contains(&kind)
    }

    /// What a process between parent and child joins: a process id namespace and offsets of clocks are for its children
    /// only, and other namespaces may be out of reach of the user namespace. Returns how many steps are the stage's, all
    /// that there are included; none if it is not needed.
    pub(super) fn stage(&mut self, linux: &Linux, steps: &mut Vec<Step>) -> Result<usize, Error> {
        let offsets = self.clock_offsets(linux)?;
        self.staged = self.join_pid.is_some()
            || self.join_user.is_some()
            || offsets.is_some()
            || self.new_user() && !self.join.is_empty();
        if !self.staged {
            return Ok(0);
        }
        for (fd, kind) in self.join.drain(..) {
            steps.push(enter(fd, kind));
        }
        if let Some(offsets) = offsets {
            self.clone_flags &= !flag(libc::CLONE_NEWTIME);
            let op = Op::UnshareTime(c_string(offsets, "linux.timeOffsets")?);
            steps.push(Step::new("make a time namespace", op));
        }
        if let Some(fd) = self.join_pid.take() {
            steps.push(enter(fd, Kind::ProcessID));
        }
        // Still an option to the questions above.
        if let Some(fd) = &self.join_user {
            steps.push(enter(fd.try_clone().map_err(Error::Sync)?, Kind::User));
            steps.push(Step::new("become root of the user namespace", Op::BecomeRoot));
        }
        Ok(steps.len())
    }

    /// The lines for `/proc/self/timens_offsets`.
    fn clock_offsets(&self, linux: &Linux) -> Result<Option<String>, Error> {
        let offsets = linux.time_offsets().iter().flatten();
        let mut text = String::new();
        for (clock, offset) in offsets {
            let (secs, nanosecs) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{clock} {secs} {nanosecs}");
        }
        if !text.is_empty() && !self.is_new(libc::CLONE_NEWTIME) {
            return Err(Error::config("linux.timeOffsets need a new time namespace"));
        }
        Ok((!text.is_empty()).then_some(text))
    }

    /// Joins namespaces, and names what is in the new ones. The cgroups have to be joined before.
    pub(super) fn steps(&self, spec: &Spec, keyring: bool, steps: &mut Vec<Step>) -> Result<(), Error> {
        for (fd, kind) in &self.join {
            steps.push(enter(fd.try_clone().map_err(Error::Sync)?, *kind));
        }
        if self.own_cgroup {
            steps.push(Step::new("make a cgroup namespace", Op::UnshareCgroup));
        }
        if keyring {
            steps.push(Step::new("make a session keyring", Op::NewKeyring(c"beeline".to_owned())));
        }
        if self.is_new(libc::CLONE_NEWNET) {
            steps.push(Step::new("set the loopback device up", Op::LoopbackUp));
        }
        let names = [(spec.hostname(), "hostname"), (spec.domainname(), "domainname")];
        for (name, field) in names {
            let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else { continue };
            if !self.has_apart(Type::Uts) {
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

pub(super) fn enter(fd: OwnedFd, kind: Kind) -> Step {
    Step::new(format!("join the {kind:?} namespace"), Op::EnterNamespace(fd, kind))
}

fn flag(of: libc::c_int) -> u64 {
    u64::from(of.cast_unsigned())
}

/// Whether both paths lead to the same file, such as a namespace's.
pub(in crate::container) fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
