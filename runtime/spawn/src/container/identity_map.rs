//! User namespaces: which of the host's users and groups a container's are.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::{Error, syscall};

/// Who the kernel shows for an identity that a namespace does not have.
const NOBODY: u32 = 65_534;

/// The maps of a user namespace.
#[derive(Debug)]
pub(super) struct IdentityMap {
    users: Vec<LinuxIdMapping>,
    groups: Vec<LinuxIdMapping>,
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
        let users = linux.uid_mappings().clone().unwrap_or_default();
        let groups = linux.gid_mappings().clone().unwrap_or_default();
        match (new_user_namespace, users.is_empty() && groups.is_empty()) {
            (false, true) => Ok(None),
            (false, false) if has_user_namespace => Ok(None),
            (false, false) => Err(Error::config("linux.uidMappings need a user namespace")),
            (true, true) => {
                Err(Error::config("a new user namespace needs linux.uidMappings and linux.gidMappings"))
            }
            (true, false) => Ok(Some(Self { users, groups, oom_score: None })),
        }
    }

    /// Whether the namespace has a user and a group 0.
    pub(super) fn has_root(&self) -> bool {
        let has =
            |map: &[LinuxIdMapping]| map.iter().any(|range| range.container_id() == 0 && range.size() > 0);
        has(&self.users) && has(&self.groups)
    }

    /// Writes the maps of the namespace that `pid` is in.
    pub(super) fn write(&self, pid: Pid) -> Result<(), Error> {
        let put = |file: &str, text: &str| {
            let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
            fs::write(&path, text).map_err(|source| Error::Host {
                operation: "write",
                path: path.into(),
                source,
            })
        };
        if let Some(score) = self.oom_score {
            put("oom_score_adj", &score.to_string())?;
        }
        put("uid_map", &text(&self.users))?;
        put("gid_map", &text(&self.groups))
    }
}

/// Who the container's root is on the host, as the configuration says, if it has a user namespace of its own.
pub(crate) fn root_on_host(linux: &Linux) -> Option<(u32, u32)> {
    let namespaces = linux.namespaces().iter().flatten();
    let root = |map: &Option<Vec<LinuxIdMapping>>| {
        let first = map.iter().flatten().find(|range| range.container_id() == 0);
        first.map_or(NOBODY, LinuxIdMapping::host_id)
    };
    namespaces
        .map(oci_spec::runtime::LinuxNamespace::typ)
        .any(|kind| kind == LinuxNamespaceType::User)
        .then(|| (root(linux.uid_mappings()), root(linux.gid_mappings())))
}

fn text(ranges: &[LinuxIdMapping]) -> String {
    let mut text = String::new();
    for range in ranges {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {}", range.container_id(), range.host_id(), range.size());
    }
    text
}

/// A user namespace with the given maps that no process lives in, for an idmapped mount.
pub(super) fn namespace(users: &[LinuxIdMapping], groups: &[LinuxIdMapping]) -> Result<OwnedFd, Error> {
    let (hold, held) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| Error::Sync(error.into()))?;
    let idle = || {
        syscall::close(held.as_fd());
        // Ends when the parent ends this process, or itself.
        let _ = rustix::io::read(&hold, &mut [0_u8; 1]);
    };
    let flags = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let cloned = syscall::clone(flags, None, idle).map_err(|error| Error::Clone(error.into()))?;
    let map = IdentityMap { users: users.to_vec(), groups: groups.to_vec(), oom_score: None };
    let opened = map.write(cloned.pid).and_then(|()| {
        let path = format!("/proc/{}/ns/user", cloned.pid.as_raw_nonzero());
        open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|source| Error::Host {
            operation: "open",
            path: path.into(),
            source: source.into(),
        })
    });
    // It is this process' child, which nobody else waits for.
    let _ = pidfd_send_signal(&cloned.pidfd, Signal::KILL);
    let waited =
        rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED));
    waited.map_err(|error| Error::Sync(io::Error::from(error)))?;
    opened
}
