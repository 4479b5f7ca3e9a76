//! Making a container, and leaving or accompanying it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources, Spec};
use rustix::process::Pid;

use super::bundle::Bundle;
use super::entry::{Entry, Lock, replace};
use super::foreground::Foreground;
use super::record::{Record, Status, Summary};
use super::{Error, Runtime, console, hooks, listener, process};
use crate::cgroup::Hierarchy;
use crate::container::{self, Attendant, Created, Names, Rootfs, Stdio, Terms, create_on, defaults};

/// What `create` and `run` are asked.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The container's id.
    pub id: String,
    /// The directory with `config.json`.
    pub bundle: PathBuf,
    /// A Unix socket to send the terminal to.
    pub console_socket: Option<PathBuf>,
    /// A file to write init's process id to.
    pub pid_file: Option<PathBuf>,
    /// Change the root without `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from number 3 on are the container's.
    pub preserve_fds: u32,
}

/// What becomes of a container that `run` has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is removed when it ends.
    No,
    /// It is kept.
    Yes,
    /// It is kept, and not waited for.
    Detached,
}

/// A container that waits for its start.
struct Made {
    entry: Entry,
    _lock: Lock,
    record: Record,
    spec: Spec,
    created: Created,
}

impl Runtime {
    /// Makes a container, which then waits for [`Runtime::start`] without this process.
    ///
    /// # Errors
    /// The id is taken, the configuration cannot be honoured, a hook or a step failed. Then nothing is left.
    pub fn create(&self, request: &CreateRequest) -> Result<(), Error> {
        let made = self.make(request, true)?;
        made.created.leave()?;
        Ok(())
    }

    /// Makes and starts a container and, unless it is detached, waits for its end and returns its exit code.
    ///
    /// # Errors
    /// As [`Runtime::create`]'s and [`Runtime::start`]'s.
    pub fn run(&self, request: &CreateRequest, keep: Keep) -> Result<u8, Error> {
        let detached = keep == Keep::Detached;
        let foreground = if detached { None } else { Some(Foreground::new()?) };
        let Made { entry, _lock, record, spec, created } = self.make(request, false)?;
        let id = record.id.clone();
        let running = match created.start() {
            Ok(running) => running,
            Err(error) => {
                self.destroy(&entry, &record, &spec)?;
                return Err(error.into());
            }
        };
        if let Err(error) = self.after_start(&entry, &record, &spec) {
            self.destroy(&entry, &record, &spec)?;
            return Err(error);
        }
        let Some(foreground) = foreground else { return Ok(0) };
        drop((entry, _lock));
        let terminal = if request.console_socket.is_none() { running.console } else { None };
        let code = foreground.accompany(&running.pidfd, terminal)?;
        if keep == Keep::No {
            self.delete(&id, true)?;
        }
        Ok(code)
    }

    fn make(&self, request: &CreateRequest, lasting: bool) -> Result<Made, Error> {
        let bundle = Bundle::load(&request.bundle)?;
        let (entry, lock) = self.reserve(&request.id)?;
        let mut record = Record {
            oci_version: bundle.spec.version().clone(),
            id: request.id.clone(),
            pid: 0,
            born: 0,
            creating: true,
            bundle: bundle.path.clone(),
            rootfs: bundle.rootfs.clone(),
            created: Timestamp::now(),
            annotations: bundle.spec.annotations().clone().unwrap_or_default().into_iter().collect(),
            cgroup: String::new(),
            names: Names::default(),
        };
        let built = build(request, &bundle, &entry, &mut record, lasting);
        match built {
            Ok(created) => Ok(Made { entry, _lock: lock, record, spec: bundle.spec, created }),
            Err(error) => {
                // Why it could not be made says more than why something of it stays.
                if let Ok(cgroup) = record.cgroup() {
                    let _ = cgroup.kill().and_then(|()| cgroup.remove());
                }
                let _ = entry.remove();
                Err(error)
            }
        }
    }
}

fn build(
    request: &CreateRequest,
    bundle: &Bundle,
    entry: &Entry,
    record: &mut Record,
    lasting: bool,
) -> Result<Created, Error> {
    let path = bundle.cgroup(&request.id)?;
    let (hierarchy, resources) = (Hierarchy::detect()?, resources(&bundle.spec));
    hierarchy.features().check(&resources)?;
    let cgroup = hierarchy.cgroup(&path)?;
    if !cgroup.processes()?.is_empty() {
        return Err(Error::Request(format!(
            "cgroup {path} has processes already: is it another container's?"
        )));
    }
    // From here on it is this container's to remove.
    record.cgroup = path;
    entry.write_config(&bundle.text)?;
    entry.write_record(record)?;
    std::env::set_current_dir(&bundle.path).map_err(|error| Error::io("change to", &bundle.path, error))?;
    cgroup.create(&resources)?;
    let (stdio, socket) = streams(request, &bundle.spec, !lasting)?;
    let terms = Terms {
        lives_on: true,
        fence: if lasting { Some(entry.make_fence()?) } else { None },
        preserved: request.preserve_fds,
        pivot: !request.no_pivot,
        keyring: !request.no_new_keyring,
        hooks: true,
    };
    let rootfs = Rootfs::Directory(bundle.rootfs.clone());
    let mut caller = Caller { entry, record, spec: &bundle.spec };
    let created = create_on(&bundle.spec, &rootfs, stdio, &cgroup, terms, &mut caller)?;
    if let (Some(socket), Some(terminal)) = (&socket, created.console()) {
        console::send(socket, terminal, request.console_socket.as_deref().unwrap_or(Path::new("")))?;
    }
    record.names = created.names();
    record.pid = created.pid().as_raw_nonzero().get();
    record.born = process::born(record.pid).ok_or(container::Error::Died)?;
    record.creating = false;
    entry.write_record(record)?;
    if let Some(file) = &request.pid_file {
        replace(file, record.pid.to_string().as_bytes())?;
    }
    Ok(created)
}

/// The container's limits. A configuration that forbids devices means those that it does not give, and not the ones
/// every container has.
fn resources(spec: &Spec) -> LinuxResources {
    let linux = spec.linux().as_ref();
    let mut resources = linux.and_then(|linux| linux.resources().clone()).unwrap_or_default();
    if let Some(rules) = resources.devices_mut().as_mut().filter(|rules| !rules.is_empty()) {
        rules.extend(defaults::device_rules().into_iter().filter(LinuxDeviceCgroup::allow));
    }
    resources
}

/// The container's streams, and where its terminal goes.
fn streams(request: &CreateRequest, spec: &Spec, stays: bool) -> Result<(Stdio, Option<UnixStream>), Error> {
    let process = spec.process().as_ref();
    let terminal = process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false);
    stdio(terminal, request.console_socket.as_deref(), stays)
}

/// The streams of a process, and where its terminal goes; `stays` if this process can hold it.
pub(super) fn stdio(
    terminal: bool,
    console_socket: Option<&Path>,
    stays: bool,
) -> Result<(Stdio, Option<UnixStream>), Error> {
    match (terminal, console_socket) {
        (true, Some(path)) => Ok((Stdio::Terminal, Some(console::connect(path)?))),
        (true, None) if stays => Ok((Stdio::Terminal, None)),
        (true, None) => Err(Error::Request(
            "process.terminal is set: say with --console-socket where the terminal is to go".to_owned(),
        )),
        (false, Some(_)) => {
            Err(Error::Request("--console-socket is for a process with process.terminal".to_owned()))
        }
        (false, None) => {
            let own = console::own_streams()
                .map_err(|error| Error::io("copy", Path::new("standard streams"), error))?;
            let [stdin, stdout, stderr] = own;
            Ok((Stdio::Descriptors { stdin, stdout, stderr }, None))
        }
    }
}

/// Refuses to pass on what is not there.
///
/// # Errors
/// Fewer than `count` descriptors are open from number 3 on.
pub fn check_preserved(count: u32) -> Result<(), Error> {
    let missing = (3..3 + count).find(|fd| !Path::new(&format!("/proc/self/fd/{fd}")).exists());
    match missing {
        Some(fd) => Err(Error::Request(format!("--preserve-fds {count}: descriptor {fd} is not open"))),
        None => Ok(()),
    }
}

/// The runtime's part while init is made.
struct Caller<'a> {
    entry: &'a Entry,
    record: &'a mut Record,
    spec: &'a Spec,
}

impl Caller<'_> {
    fn summary(&self, pid: Pid, status: Status) -> Summary {
        Summary { pid: pid.as_raw_nonzero().get(), ..Summary::new(self.record, status) }
    }

    #[allow(deprecated, reason = "the specification deprecates prestart and asks runtimes to honour it")]
    fn runtime_hooks(&mut self, pid: Pid) -> Result<(), Error> {
        self.record.pid = pid.as_raw_nonzero().get();
        self.record.born = process::born(self.record.pid).ok_or(container::Error::Died)?;
        self.entry.write_record(self.record)?;
        let state = self.summary(pid, Status::Creating);
        let Some(of) = self.spec.hooks() else { return Ok(()) };
        hooks::run(of.prestart().as_ref(), "prestart", &state, &self.record.bundle)?;
        hooks::run(of.create_runtime().as_ref(), "createRuntime", &state, &self.record.bundle)
    }
}

impl Attendant for Caller<'_> {
    fn state(&self, pid: Pid, created: bool) -> Vec<u8> {
        let status = if created { Status::Created } else { Status::Creating };
        self.summary(pid, status).to_json()
    }

    fn root_is_built(&mut self, pid: Pid) -> Result<(), container::Error> {
        self.runtime_hooks(pid).map_err(container::Error::caller)
    }

    fn filter_listens(&mut self, pid: Pid, fd: OwnedFd) -> Result<(), container::Error> {
        let profile = self.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let Some(profile) = profile else { return Ok(()) };
        listener::send(profile, &fd, pid, &self.summary(pid, Status::Creating))
            .map_err(container::Error::caller)
    }
}
