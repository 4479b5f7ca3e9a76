//! Further processes of a container.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{Capabilities, Process, Spec};
use rustix::process::Pid;

use super::entry::replace;
use super::foreground::Foreground;
use super::record::{Record, Status, Summary};
use super::{Error, Runtime, console, create, listener, process};
use crate::container::{self, Attendant, ExecTarget, Terms};

/// What `exec` is asked.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// The container's id.
    pub id: String,
    /// A file with the process as JSON; otherwise it is the configuration's with what follows changed.
    pub process: Option<PathBuf>,
    /// The command.
    pub args: Vec<String>,
    /// The working directory.
    pub cwd: Option<PathBuf>,
    /// Further variables.
    pub env: Vec<String>,
    /// A terminal.
    pub tty: bool,
    /// Numbers of user and group.
    pub user: Option<(u32, u32)>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// Further capabilities.
    pub capabilities: Capabilities,
    /// No privileges by execution.
    pub no_new_privileges: bool,
    /// An AppArmor profile.
    pub apparmor: Option<String>,
    /// An SELinux label.
    pub label: Option<String>,
    /// Do not wait for its end.
    pub detach: bool,
    /// A file to write the process id to.
    pub pid_file: Option<PathBuf>,
    /// A Unix socket to send the terminal to.
    pub console_socket: Option<PathBuf>,
    /// How many descriptors from number 3 on are the process'.
    pub preserve_fds: u32,
    /// In a paused container, too, where it will wait.
    pub ignore_paused: bool,
}

impl Runtime {
    /// Runs a further process in a container and, unless it is detached, waits for its end and returns its exit code.
    ///
    /// # Errors
    /// The container does not run, or the process cannot be made.
    pub fn exec(&self, request: &ExecRequest) -> Result<u8, Error> {
        let entry = self.entry(&request.id)?;
        let (record, spec) = (entry.record()?, entry.spec()?);
        let status = entry.status(&record);
        match status {
            Status::Running | Status::Created => {}
            Status::Paused if request.ignore_paused => {}
            _ => return Err(Error::State { operation: "exec in", id: request.id.clone(), status }),
        }
        let process = describe(request, &spec)?;
        let linux = spec.linux().clone().unwrap_or_default();
        let foreground = if request.detach { None } else { Some(Foreground::new()?) };
        let terminal = process.terminal().unwrap_or(false);
        let (stdio, socket) = create::stdio(terminal, request.console_socket.as_deref(), !request.detach)?;
        let gone = || Error::State { operation: "exec in", id: request.id.clone(), status: Status::Stopped };
        // Held until the namespaces were joined, so that the number stays init's.
        let _init = process::open(record.pid, record.born).ok_or_else(gone)?;
        let target = ExecTarget {
            init: Pid::from_raw(record.pid).ok_or_else(gone)?,
            linux: &linux,
            landlock: container::ruleset(&spec)?,
            cgroup: &record.cgroup()?,
        };
        let terms = Terms { lives_on: true, preserved: request.preserve_fds, ..Terms::default() };
        let mut caller = Caller { record: &record, spec: &spec, status };
        let created = container::exec(&target, &process, stdio, &terms, &mut caller)?;
        if let (Some(socket), Some(terminal), Some(path)) =
            (&socket, created.console(), &request.console_socket)
        {
            console::send(socket, terminal, path)?;
        }
        if let Some(file) = &request.pid_file {
            replace(file, created.pid().as_raw_nonzero().to_string().as_bytes())?;
        }
        let running = created.start()?;
        let Some(foreground) = foreground else { return Ok(0) };
        let terminal = if request.console_socket.is_none() { running.console } else { None };
        foreground.accompany(&running.pidfd, terminal)
    }
}

/// The process to run.
fn describe(request: &ExecRequest, spec: &Spec) -> Result<Process, Error> {
    let mut process = match &request.process {
        Some(path) => {
            let text = fs::read(path).map_err(|error| Error::io("read", path, error))?;
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.clone(), source })?
        }
        None => from_arguments(request, spec)?,
    };
    process.user_mut().set_username(None);
    if process.exec_cpu_affinity().is_none() {
        let own = spec.process().as_ref().and_then(|process| process.exec_cpu_affinity().clone());
        process.set_exec_cpu_affinity(own);
    }
    Ok(process)
}

fn from_arguments(request: &ExecRequest, spec: &Spec) -> Result<Process, Error> {
    if request.args.is_empty() {
        return Err(Error::Request("exec needs a command, or --process".to_owned()));
    }
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(request.args.clone())).set_terminal(Some(request.tty));
    if let Some(cwd) = &request.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(request.env.iter().cloned());
    process.set_env(Some(env));
    if let Some((uid, gid)) = request.user {
        process.user_mut().set_uid(uid).set_gid(gid);
    }
    if !request.additional_gids.is_empty() {
        process.user_mut().set_additional_gids(Some(request.additional_gids.clone()));
    }
    if request.no_new_privileges {
        process.set_no_new_privileges(Some(true));
    }
    if request.apparmor.is_some() {
        process.set_apparmor_profile(request.apparmor.clone());
    }
    if request.label.is_some() {
        process.set_selinux_label(request.label.clone());
    }
    if !request.capabilities.is_empty() {
        let mut sets = process.capabilities().clone().unwrap_or_default();
        let more = |set: &Option<Capabilities>| {
            Some(set.iter().flatten().chain(&request.capabilities).copied().collect::<Capabilities>())
        };
        let (bounding, permitted) = (more(sets.bounding()), more(sets.permitted()));
        let effective = more(sets.effective());
        sets.set_bounding(bounding).set_permitted(permitted).set_effective(effective);
        process.set_capabilities(Some(sets));
    }
    Ok(process)
}

/// The runtime's part while the process is made.
struct Caller<'a> {
    record: &'a Record,
    spec: &'a Spec,
    status: Status,
}

impl Attendant for Caller<'_> {
    fn state(&self, _: Pid, _: bool) -> Vec<u8> {
        Summary::new(self.record, self.status).to_json()
    }

    fn filter_listens(&mut self, pid: Pid, fd: OwnedFd) -> Result<(), container::Error> {
        let profile = self.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let Some(profile) = profile else { return Ok(()) };
        let state = Summary::new(self.record, self.status);
        listener::send(profile, &fd, pid, &state).map_err(container::Error::caller)
    }
}
