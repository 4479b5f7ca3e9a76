//! User namespaces: which of the host's users and groups a container's are.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceType};
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::{Error, syscall};

/// Who the kernel shows for an identity that a namespace does not have.
const NOBODY: u32 = 65_534;

/// Which of the host's users and groups those of a user namespace are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    /// Ranges of users.
    pub users: Vec<LinuxIdMapping>,
    /// Ranges of groups.
    pub groups: Vec<LinuxIdMapping>,
}

/// Namespaces that no process lives in yet: a user namespace, and a network namespace that is its.
#[derive(Debug)]
pub struct UserNamespace {
    /// The user namespace.
    pub user: OwnedFd,
    /// The network namespace, whose loopback device is down.
    pub net: OwnedFd,
}

impl Identities {
    /// Who on the host the namespace's root is.
    #[must_use]
    pub fn root(&self) -> (u32, u32) {
        let root = |ranges: &[LinuxIdMapping]| root_of(ranges).unwrap_or(NOBODY);
        (root(&self.users), root(&self.groups))
    }

    /// Those of a process' user namespace, given its directory in /proc.
    ///
    /// # Errors
    /// It has ended.
    pub fn of_process(process: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { users: ranges(process, "uid_map")?, groups: ranges(process, "gid_map")? })
    }

    /// A user namespace with these identities, and a network namespace that is its.
    ///
    /// # Errors
    /// The kernel makes no more of them, or does not take the ranges.
    pub fn namespaces(&self) -> Result<UserNamespace, Error> {
        let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
        self.idle(flags, |pid| Ok(UserNamespace { user: of(pid, "user")?, net: of(pid, "net")? }))
    }

    /// A user namespace with these identities, for an idmapped mount.
    pub(crate) fn namespace(&self) -> Result<OwnedFd, Error> {
        self.idle(libc::CLONE_NEWUSER, |pid| of(pid, "user"))
    }

    /// Opens namespaces of a process that does nothing and ends then.
    fn idle<T>(&self, flags: libc::c_int, open: impl FnOnce(Pid) -> Result<T, Error>) -> Result<T, Error> {
        let (hold, held) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| Error::Sync(error.into()))?;
        let idle = || {
            syscall::close(held.as_fd());
            // Ends when the parent ends this process, or itself.
            let _ = rustix::io::read(&hold, &mut [0_u8; 1]);
        };
        let flags = u64::from(flags.cast_unsigned());
        let cloned = syscall::clone(flags, None, idle).map_err(|error| Error::Clone(error.into()))?;
        let opened = self.write(cloned.pid).and_then(|()| open(cloned.pid));
        // It is this process' child, which nobody else waits for.
        let _ = pidfd_send_signal(&cloned.pidfd, Signal::KILL);
        let waited =
            rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED));
        waited.map_err(|error| Error::Sync(io::Error::from(error)))?;
        opened
    }

    /// Writes the maps of the namespace that `pid` is in.
    fn write(&self, pid: Pid) -> Result<(), Error> {
        put(pid, "uid_map", &text(&self.users))?;
        put(pid, "gid_map", &text(&self.groups))
    }

    fn have_root(&self) -> bool {
        root_of(&self.users).is_some() && root_of(&self.groups).is_some()
    }
}

/// Who on the host the root of a map is, if it has one.
fn root_of(ranges: &[LinuxIdMapping]) -> Option<u32> {
    let first = ranges.iter().find(|range| range.container_id() == 0 && range.size() > 0);
    first.map(LinuxIdMapping::host_id)
}

fn of(pid: Pid, namespace: &str) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{}/ns/{namespace}", pid.as_raw_nonzero());
    open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|source| Error::Host {
        operation: "open",
        path: path.into(),
        source: source.into(),
    })
}

fn put(pid: Pid, file: &str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    fs::write(&path, text).map_err(|source| Error::Host { operation: "write", path: path.into(), source })
}

fn text(ranges: &[LinuxIdMapping]) -> String {
    let mut text = String::new();
    for range in ranges {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {}", range.container_id(), range.host_id(), range.size());
    }
    text
}

/// The ranges of a map, as the kernel shows them.
fn ranges(process: BorrowedFd<'_>, file: &str) -> io::Result<Vec<LinuxIdMapping>> {
    let opened = openat(process, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    File::from(opened).read_to_string(&mut text)?;
    text.lines().map(|line| range(line).ok_or_else(|| io::ErrorKind::InvalidData.into())).collect()
}

fn range(line: &str) -> Option<LinuxIdMapping> {
    let mut numbers = line.split_whitespace().map(str::parse::<u32>);
    let mut number = || numbers.next()?.ok();
    let (inside, outside, size) = (number()?, number()?, number()?);
    LinuxIdMappingBuilder::default().container_id(inside).host_id(outside).size(size).build().ok()
}

/// The maps of a new user namespace.
#[derive(Debug)]
pub(super) struct IdentityMap {
    identities: Identities,
    /// Set by the parent, too: it takes a privilege that a process in the namespace lacks.
    pub(super) oom_score: Option<i32>,
}

impl IdentityMap {
    /// The configuration's, if it has a new user namespace. One that is joined has its maps: what the configuration says
    /// is for mounts then.
    pub(super) fn new(
        linux: &Linux,
        new_user_namespace: bool,
        has_user_namespace: bool,
    ) -> Result<Option<Self>, Error> {
        let identities = identities(linux);
        match (new_user_namespace, identities == Identities::default()) {
            (false, true) => Ok(None),
            (false, false) if has_user_namespace => Ok(None),
            (false, false) => Err(Error::config("linux.uidMappings need a user namespace")),
            (true, true) => {
                Err(Error::config("a new user namespace needs linux.uidMappings and linux.gidMappings"))
            }
            (true, false) => Ok(Some(Self { identities, oom_score: None })),
        }
    }

    /// Whether the namespace has a user and a group 0.
    pub(super) fn has_root(&self) -> bool {
        self.identities.have_root()
    }

    /// Writes the maps of the namespace that `pid` is in.
    pub(super) fn write(&self, pid: Pid) -> Result<(), Error> {
        if let Some(score) = self.oom_score {
            put(pid, "oom_score_adj", &score.to_string())?;
        }
        self.identities.write(pid)
    }
}

/// The configuration's identities.
pub(super) fn identities(linux: &Linux) -> Identities {
    Identities {
        users: linux.uid_mappings().clone().unwrap_or_default(),
        groups: linux.gid_mappings().clone().unwrap_or_default(),
    }
}

/// Who the container's root is on the host, as the configuration says, if it has a user namespace of its own.
pub(crate) fn root_on_host(linux: &Linux) -> Option<(u32, u32)> {
    let kinds = linux.namespaces().iter().flatten().map(oci_spec::runtime::LinuxNamespace::typ);
    let apart = kinds.into_iter().any(|kind| kind == LinuxNamespaceType::User);
    apart.then(|| identities(linux).root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_as_it_is_written() {
        let line = "         0     100000      65536";
        let read = range(line).unwrap();
        assert_eq!((read.container_id(), read.host_id(), read.size()), (0, 100_000, 65_536));
        assert_eq!(text(&[read]), "0 100000 65536\n");
        assert_eq!(range("0 100000"), None);
        let own = File::open("/proc/self").unwrap();
        assert!(!Identities::of_process(own.as_fd()).unwrap().users.is_empty());
    }

    #[test]
    fn a_namespace_without_root_has_nobody_for_it() {
        let users = vec![range("1 100000 10").unwrap(), range("0 5000 1").unwrap()];
        assert_eq!(Identities { users, groups: Vec::new() }.root(), (5000, NOBODY));
    }
}
