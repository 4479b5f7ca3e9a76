//! A further process of a container: it joins the namespaces and groups of its init, and gives up what that has.

use std::path::Path;

use oci_spec::runtime::{Linux, Process};
use rustix::fs::OFlags;
use rustix::process::Pid;
use rustix::thread::LinkNameSpaceType as Kind;

use super::landlock::Ruleset;
use super::plan::Plan;
use super::{Attendant, Cloned, Created, Error, Stdio, Terms};
use crate::cgroup::Cgroup;

/// A container that another process is to run in.
#[derive(Debug)]
pub(crate) struct ExecTarget<'a> {
    /// Its init, which has to be there for the whole call.
    pub(crate) init: Pid,
    /// What the container's configuration says about confinement.
    pub(crate) linux: &'a Linux,
    /// Its Landlock rules.
    pub(crate) landlock: Option<Ruleset>,
    pub(crate) cgroup: &'a Cgroup,
}

/// The namespaces of a process, the user and process id namespaces last: what is joined before needs the caller's own
/// privileges, and what comes last holds for children.
pub(super) const NAMESPACES: [(&str, Kind); 8] = [
    ("ipc", Kind::InterProcessCommunication),
    ("uts", Kind::HostNameAndNISDomainName),
    ("net", Kind::Network),
    ("cgroup", Kind::ControlGroup),
    ("time", Kind::Time),
    ("mnt", Kind::Mount),
    ("pid", Kind::ProcessID),
    ("user", Kind::User),
];

/// Builds the process, up to but without executing its command.
///
/// # Errors
/// The configuration asks for what is not supported, init is gone, or a step failed.
pub(crate) fn exec(
    target: &ExecTarget<'_>,
    process: &Process,
    stdio: Stdio,
    terms: &Terms,
    attendant: &mut dyn Attendant,
) -> Result<Created, Error> {
    Cloned::new(Plan::exec(target, process, stdio, terms)?)?.attended(attendant)
}

/// What of `/proc/PID/ns` of the container's init is not the caller's own, opened.
pub(super) fn namespaces_apart(init: Pid) -> Result<Vec<(std::os::fd::OwnedFd, Kind)>, Error> {
    let mut found = Vec::new();
    for (name, kind) in NAMESPACES {
        let theirs = format!("/proc/{}/ns/{name}", init.as_raw_nonzero());
        let (theirs, ours) = (Path::new(&theirs), format!("/proc/self/ns/{name}"));
        if !super::plan::same_file(theirs, Path::new(&ours)) {
            found.push((super::plan::open_host(theirs, OFlags::RDONLY)?, kind));
        }
    }
    Ok(found)
}
