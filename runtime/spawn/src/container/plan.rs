//! From an OCI configuration to a list of steps, with nothing left to decide for the child.

mod command;
mod confine;
mod copy;
mod hooks;
mod made;
mod member;
mod mounts;
mod namespaces;
mod options;
mod root;
mod schedule;

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use oci_spec::runtime::{Linux, Process, Spec};
use rustix::fs::{Mode, OFlags, open};

pub(super) use command::{Command, Strings};
pub(super) use confine::Limit;
pub(crate) use confine::{has_apparmor, has_selinux};
pub(super) use hooks::HookStates;
pub(super) use namespaces::same_file;
pub(crate) use options::MOUNT_OPTIONS;
pub(super) use schedule::{Affinity, Scheduling};

use super::identity_map::IdentityMap;
use super::landlock::{self, Ruleset};
use super::step::{Op, Step, Target};
use super::terms::{Fence, Terms};
use super::user::{Wanted, named_groups};
use super::{Error, INIT, NetNs, Rootfs, Stdio, sync};
use crate::cgroup::Cgroup;
use crate::seccomp::Program;

/// Everything the child needs.
#[derive(Debug)]
pub(super) struct Plan {
    /// `CLONE_*`.
    pub(super) clone_flags: u64,
    /// The cgroup2 group init is born in.
    pub(super) cgroup: Option<OwnedFd>,
    pub(super) steps: Vec<Step>,
    /// How many of the steps are done by a process between parent and child, which joins what only children enter.
    pub(super) stage: usize,
    /// The maps of a new user namespace, for the parent to write.
    pub(super) identity_map: Option<IdentityMap>,
    /// What hooks read.
    pub(super) hook_states: Option<HookStates>,
    pub(super) fence: Option<Fence>,
    /// The first step that needs to know who the container's user is.
    pub(super) confine_from: usize,
    pub(super) user: Wanted,
    pub(super) command: Command,
    /// What the parent sets, as a process in a user namespace may not raise them.
    pub(super) limits: Vec<Limit>,
    /// An init of ours stays before the command.
    pub(super) init: bool,
}

impl Plan {
    pub(super) fn new(
        spec: &Spec,
        rootfs: &Rootfs,
        stdio: Stdio,
        netns: NetNs,
        cgroup: &Cgroup,
        terms: Terms,
    ) -> Result<Self, Error> {
        let process = spec.process().as_ref().ok_or_else(|| Error::config("process is missing"))?;
        let linux = spec.linux().as_ref().ok_or_else(|| Error::config("linux is missing"))?;
        check(spec, process, linux, &terms)?;
        let mut namespaces = namespaces::Namespaces::new(linux, netns)?;
        let mut steps = Vec::with_capacity(96);
        join_cgroup(cgroup, &mut steps)?;
        let mut identity_map = IdentityMap::new(linux, namespaces.new_user(), namespaces.has_user())?;
        match &mut identity_map {
            // Init may not lower it in a user namespace.
            Some(map) => map.oom_score = process.oom_score_adj(),
            None => oom_score(process, &mut steps)?,
        }
        // Before it can be seen in another process id namespace.
        steps.push(hide());
        let stage = namespaces.stage(linux, &mut steps)?;
        if let Some(map) = &identity_map {
            let op = Op::AwaitIdentityMap { root: map.has_root() };
            steps.push(Step::new("become root of the user namespace", op));
        }
        namespaces.steps(spec, terms.keyring, &mut steps)?;
        schedule::steps(process, &mut steps)?;
        schedule::personality(linux, &mut steps)?;
        steps.push(Step::new("make a session", Op::Session));
        // Sources need not be the user namespace's to open.
        let makes_mounts = namespaces.has_user();
        root::steps(rootfs, linux, makes_mounts, &mut steps)?;
        mounts::steps(spec, linux, cgroup, &namespaces, rootfs, &mut steps)?;
        root::finish(spec, linux, process, &namespaces, &mut steps)?;
        let hook_states = if terms.hooks { hooks::container(spec, &mut steps)? } else { None };
        confine::labels(process, &mut steps)?;
        root::enter(spec, linux, terms.pivot, &mut steps)?;
        let confine_from = steps.len();
        let at_start = if terms.hooks { hooks::start(spec)? } else { Vec::new() };
        let walls = confine::Walls {
            landlock: landlock::of(spec.annotations().as_ref())?,
            filter: confine::filter(linux.seccomp().as_ref())?,
        };
        confine::steps(process, walls, namespaces.has_user(), stdio, &terms, &mut steps)?;
        steps.extend(at_start);
        let annotation = spec.annotations().as_ref().and_then(|annotations| annotations.get(INIT));
        Ok(Self {
            clone_flags: namespaces.clone_flags,
            cgroup: cgroup.open_v2_fd()?,
            steps,
            stage,
            identity_map,
            hook_states,
            fence: terms.fence,
            confine_from,
            limits: confine::limits(process, namespaces.has_user()),
            user: Wanted::new(process, named_groups(spec.annotations().as_ref())),
            command: Command::new(process)?,
            init: annotation.is_some_and(|value| value == "true"),
        })
    }

    /// Whether a filter among the steps has a supervisor.
    pub(super) fn listens(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.op, Op::ListeningSeccomp(_)))
    }

    /// The Landlock rules among the steps.
    pub(super) fn landlock(&self) -> Option<&Ruleset> {
        self.steps.iter().find_map(|step| match &step.op {
            Op::Landlock(rules) => Some(rules),
            _ => None,
        })
    }

    /// The seccomp filter among the steps.
    pub(super) fn filter(&self) -> Option<&Program> {
        self.steps.iter().find_map(|step| match &step.op {
            Op::Seccomp(filter) | Op::ListeningSeccomp(filter) => Some(filter),
            _ => None,
        })
    }
}

/// Refuses by name what the configuration asks for and is not done, so that nothing is silently missing.
fn check(spec: &Spec, process: &Process, linux: &Linux, terms: &Terms) -> Result<(), Error> {
    check_process(process)?;
    let refused = [
        (spec.hooks().is_some() && !terms.hooks, "hooks"),
        (spec.uid_mappings().is_some() || spec.gid_mappings().is_some(), "uidMappings outside of linux"),
        (spec.vm().is_some(), "vm"),
        (text(linux.mount_label()) && !has_selinux(), "linux.mountLabel (this kernel has no SELinux)"),
        (linux.intel_rdt().is_some(), "linux.intelRdt"),
        (linux.memory_policy().is_some(), "linux.memoryPolicy"),
        (linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()), "linux.netDevices"),
    ];
    refuse(&refused)
}

/// The same, of a process.
fn check_process(process: &Process) -> Result<(), Error> {
    refuse(&[
        (text(process.command_line()), "process.commandLine"),
        (
            text(process.apparmor_profile()) && !has_apparmor(),
            "process.apparmorProfile (this kernel has no AppArmor)",
        ),
        (
            text(process.selinux_label()) && !has_selinux(),
            "process.selinuxLabel (this kernel has no SELinux)",
        ),
    ])
}

fn text(value: &Option<String>) -> bool {
    value.as_ref().is_some_and(|value| !value.is_empty())
}

fn refuse(refused: &[(bool, &str)]) -> Result<(), Error> {
    match refused.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(Error::unsupported(*what)),
        None => Ok(()),
    }
}

/// Keeps other processes from looking at this one, and at what is open here.
fn hide() -> Step {
    Step::new("hide from other processes", Op::NotDumpable)
}

/// What v1 hierarchies need: in cgroup2 the process is born in its group.
fn join_cgroup(cgroup: &Cgroup, steps: &mut Vec<Step>) -> Result<(), Error> {
    for tasks in cgroup.open_v1_tasks()? {
        steps.push(Step::new(format!("join cgroup {}", cgroup.path()), Op::JoinCgroup(tasks)));
    }
    Ok(())
}

/// Lowering the score needs a privilege, so it is written only when it changes.
fn oom_score(process: &Process, steps: &mut Vec<Step>) -> Result<(), Error> {
    let Some(score) = process.oom_score_adj() else { return Ok(()) };
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    if own.trim().parse() != Ok(score) {
        let what = format!("set the OOM score adjustment to {score}");
        steps.push(Step::new(what, Op::OomScore(c_string(score.to_string(), "process.oomScoreAdj")?)));
    }
    Ok(())
}

/// A C string, or an error that names the field of the configuration.
fn c_string(text: impl Into<Vec<u8>>, field: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::config(format!("{field} has a zero byte")))
}

fn c_path(path: &Path, field: &str) -> Result<CString, Error> {
    c_string(path.as_os_str().as_bytes(), field)
}

impl Target {
    /// The target at `path` in the container.
    fn new(path: &Path, file: bool, field: &str) -> Result<Self, Error> {
        let mut prefixes = Vec::new();
        let mut prefix = Vec::new();
        for name in path.as_os_str().as_bytes().split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(Error::config(format!("{field} {} has '..'", path.display()))),
                _ => {}
            }
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            prefix.extend_from_slice(name);
            prefixes.push((c_string(prefix.clone(), field)?, c_string(name, field)?));
        }
        Ok(Self { prefixes, file, ..Self::default() })
    }

    /// The same, and the path is not the root.
    fn below_root(path: &Path, file: bool, field: &str) -> Result<Self, Error> {
        let target = Self::new(path, file, field)?;
        if target.prefixes.is_empty() {
            return Err(Error::config(format!("{field} is the root")));
        }
        Ok(target)
    }
}

/// A descriptor that does not keep one of the numbers 0 to 2, which the container's streams will get.
fn stream(fd: OwnedFd) -> Result<OwnedFd, Error> {
    sync::above_stdio(fd).map_err(Error::Sync)
}

pub(super) fn open_host(path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
    open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(|source| Error::Host {
        operation: "open",
        path: path.to_owned(),
        source: source.into(),
    })
}
