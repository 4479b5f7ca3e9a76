//! From an OCI configuration to a list of steps, with nothing left to decide for the child.

mod command;
mod confine;
mod member;
mod mounts;
mod namespaces;
mod options;
mod root;

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use oci_spec::runtime::{Linux, Process, Spec};
use rustix::fs::{Mode, OFlags, open};

pub(super) use command::{Command, Strings};

use super::step::{Op, Step, Target};
use super::user::Wanted;
use super::{Error, INIT, NetNs, Rootfs, Stdio, sync};
use crate::cgroup::Cgroup;
use crate::seccomp::{self, Program};

/// Everything the child needs.
#[derive(Debug)]
pub(super) struct Plan {
    /// `CLONE_*`.
    pub(super) clone_flags: u64,
    /// The PID namespace of others that init is born in.
    pub(super) pid_namespace: Option<OwnedFd>,
    /// The cgroup2 group init is born in.
    pub(super) cgroup: Option<OwnedFd>,
    pub(super) steps: Vec<Step>,
    /// The first step that needs to know who the container's user is.
    pub(super) confine_from: usize,
    pub(super) user: Wanted,
    pub(super) command: Command,
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
    ) -> Result<Self, Error> {
        let process = spec.process().as_ref().ok_or_else(|| Error::config("process is missing"))?;
        let linux = spec.linux().as_ref().ok_or_else(|| Error::config("linux is missing"))?;
        check_process(process)?;
        check(spec, linux)?;
        let namespaces = namespaces::Namespaces::new(linux, netns)?;
        let mut steps = Vec::with_capacity(96);
        join_cgroup(cgroup, &mut steps)?;
        namespaces.steps(spec, &mut steps)?;
        oom_score(process, &mut steps)?;
        steps.push(Step::new("make a session", Op::Session));
        root::steps(rootfs, linux, &mut steps)?;
        mounts::steps(spec, linux, cgroup, namespaces.own_cgroup, &mut steps)?;
        root::finish(spec, linux, process, &mut steps)?;
        let confine_from = steps.len();
        let filter = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
        confine::steps(process, filter, stdio, &mut steps)?;
        Ok(Self {
            clone_flags: namespaces.clone_flags,
            pid_namespace: namespaces.pid,
            cgroup: cgroup.open_v2_fd()?,
            steps,
            confine_from,
            user: Wanted::new(process, spec.annotations().as_ref()),
            command: Command::new(process)?,
            init: annotations(spec).any(|(key, value)| key == INIT && value == "true"),
        })
    }

    /// The seccomp filter among the steps.
    pub(super) fn filter(&self) -> Option<&Program> {
        self.steps.iter().find_map(|step| match &step.op {
            Op::Seccomp(filter) => Some(filter),
            _ => None,
        })
    }
}

fn annotations(spec: &Spec) -> impl Iterator<Item = (&String, &String)> {
    spec.annotations().iter().flatten()
}

/// Refuses by name what a process is to have and is not done, so that nothing is silently missing.
fn check_process(process: &Process) -> Result<(), Error> {
    refuse(&[
        (text(process.apparmor_profile()), "process.apparmorProfile"),
        (text(process.selinux_label()), "process.selinuxLabel"),
        (process.io_priority().is_some(), "process.ioPriority"),
        (process.scheduler().is_some(), "process.scheduler"),
        (process.exec_cpu_affinity().is_some(), "process.execCPUAffinity"),
    ])
}

/// The same for everything else of the configuration.
fn check(spec: &Spec, linux: &Linux) -> Result<(), Error> {
    fn any<T>(list: Option<&Vec<T>>) -> bool {
        list.is_some_and(|list| !list.is_empty())
    }
    refuse(&[
        (spec.hooks().is_some(), "hooks"),
        (any(linux.uid_mappings().as_ref()), "linux.uidMappings"),
        (any(linux.gid_mappings().as_ref()), "linux.gidMappings"),
        (text(linux.mount_label()), "linux.mountLabel"),
        (linux.intel_rdt().is_some(), "linux.intelRdt"),
        (linux.memory_policy().is_some(), "linux.memoryPolicy"),
        (linux.personality().is_some(), "linux.personality"),
        (linux.time_offsets().is_some(), "linux.timeOffsets"),
        (linux.net_devices().is_some(), "linux.netDevices"),
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

fn open_host(path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
    open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(|source| Error::Host {
        operation: "open",
        path: path.to_owned(),
        source: source.into(),
    })
}
