//! A further process in a container that runs ("exec").

use std::os::fd::BorrowedFd;

use oci_spec::runtime::Process;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::landlock::Ruleset;
use super::plan::Plan;
use super::{Cloned, Error, Stdio};
use crate::cgroup::Cgroup;
use crate::seccomp::Program;

/// A container that runs.
#[derive(Debug, Clone, Copy)]
pub struct Membership<'a> {
    /// The pidfd of its init.
    pub init: BorrowedFd<'a>,
    /// Its group.
    pub cgroup: &'a Cgroup,
    /// Who its root is on the host, if it has a user namespace of its own.
    pub root: Option<(u32, u32)>,
    /// The seccomp filter of its init, which is everybody's in it.
    pub filter: Option<&'a Program>,
    /// The filter asks at a descriptor of each process' own.
    pub listens: bool,
    /// Its init's Landlock rules.
    pub(crate) landlock: Option<&'a Ruleset>,
}

/// Clones a process into the container, confined as `process` says: the same steps as init's, without those that build.
///
/// `groups` are more of its user's, by name or number.
///
/// The caller must be a process that does this alone: what it clones from here on is born in the container's pid
/// namespace. The new process is a child of the caller's *parent*, which has to wait for it. It dies with that parent.
///
/// The process is born with all of the caller's privileges where the container's can see it. They cannot trace it, nor
/// look at it through /proc, if the caller is not dumpable (`PR_SET_DUMPABLE`): then it is not either, until it executes.
///
/// # Errors
/// `process` asks for what is not supported, or init is gone.
pub fn join(
    process: &Process,
    groups: Vec<String>,
    stdio: Stdio,
    membership: Membership<'_>,
) -> Result<Cloned, Error> {
    let init = membership.init.try_clone_to_owned().map_err(Error::Sync)?;
    let plan = Plan::member(process, groups, stdio, init, &membership)?;
    move_into_thread_name_spaces(membership.init, ThreadNameSpaceType::PROCESS_ID).map_err(|source| {
        Error::Step { what: "join the container's pid namespace".into(), detail: None, source: source.into() }
    })?;
    Cloned::new(plan)
}
