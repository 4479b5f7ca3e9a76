//! From a request to a container that waits for its start, and the supervisor around it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};

use super::asking::Asking;
use super::output::Source;
use super::request::{Network, ShimRequest};
use super::socket::Listener;
use super::terminal::Terminal;
use crate::cgroup::{self, Cgroup, Hierarchy};
use crate::container::{self, Created, NetNs, Stdio};
use crate::fault::{self, Point};
use crate::log::Writer;
use crate::protocol::Stream;
use crate::seccomp::{self, Program};

/// Why a shim could not make its container.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("read the OCI configuration {}", path.display())]
    Configuration { path: PathBuf, source: Box<oci_spec::OciSpecError> },
    #[error("{} names no linux.cgroupsPath, which the engine has to set", path.display())]
    NoCgroup { path: PathBuf },
    #[error("make the container's cgroup")]
    Cgroup(#[from] cgroup::Error),
    #[error("make the container's standard streams")]
    Stdio(#[source] io::Error),
    #[error("failed to initialize logging driver")]
    Log(#[source] io::Error),
    #[error("listen on shim.sock in {}", path.display())]
    Listen { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Container(#[from] container::Error),
    #[error("the request names a network namespace but came without its descriptor")]
    NoNetwork,
}

/// A container that waits for its start, and what its shim needs.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) created: Created,
    /// Who its root is on the host, if it has a user namespace of its own.
    pub(super) root: Option<(u32, u32)>,
    pub(super) asking: Option<Asking>,
    pub(super) cgroup: Cgroup,
    /// How many processes the kernel had killed in the group before, if it existed.
    pub(super) oom_kills: u64,
    pub(super) listener: Listener,
    pub(super) terminal: Option<Terminal>,
    pub(super) input: Option<OwnedFd>,
    pub(super) sources: Vec<Source>,
    pub(super) log: Option<Writer>,
}

/// Makes the container. If that fails, nothing of it is left.
pub(super) fn make(request: &ShimRequest, netns: Option<OwnedFd>) -> Result<Made, Error> {
    let path = request.bundle.join("config.json");
    let spec = Spec::load(&path)
        .map_err(|source| Error::Configuration { path: path.clone(), source: Box::new(source) })?;
    let group =
        spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref()).and_then(|path| path.to_str());
    let cgroup = Hierarchy::detect()?.cgroup(group.ok_or(Error::NoCgroup { path })?)?;
    recall_filter(&spec);
    let made = build(request, &spec, &cgroup, netns);
    // Execs are given the container's own program.
    seccomp::forget();
    if made.is_err() {
        // The reason why it could not be made says more than why it could not be removed.
        let _ = cgroup.remove();
    }
    made
}

/// Takes the program that the engine has compiled of the container's seccomp profile. Without it the profile is compiled
/// here.
fn recall_filter(spec: &Spec) {
    let path = spec.annotations().as_ref().and_then(|annotations| annotations.get(seccomp::PROGRAM));
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let program =
        path.and_then(|path| std::fs::read(path).ok()).and_then(|bytes| Program::from_bytes(&bytes));
    if let (Some(profile), Some(program)) = (profile, program) {
        seccomp::remember(profile.clone(), program);
    }
}

fn build(request: &ShimRequest, spec: &Spec, cgroup: &Cgroup, netns: Option<OwnedFd>) -> Result<Made, Error> {
    let netns = match (request.network, netns) {
        (Network::New, _) => NetNs::New,
        (Network::Host, _) => NetNs::Host,
        (Network::Fd, Some(fd)) => NetNs::Fd(fd),
        (Network::Fd, None) => return Err(Error::NoNetwork),
    };
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    fault::fail(Point::ShimGroup).map_err(container::Error::caller)?;
    cgroup.create(&resources)?;
    let oom_kills = cgroup.oom_kills().unwrap_or(0);
    let opened = fault::fail(Point::ShimLog).and_then(|()| Writer::open(&request.log));
    let log = opened.map_err(Error::Log)?;
    let listener = fault::fail(Point::ShimListen)
        .and_then(|()| Listener::bind(&request.run_dir))
        .map_err(|source| Error::Listen { path: request.run_dir.clone(), source })?;
    fault::fail(Point::ShimClone).map_err(container::Error::caller)?;
    let root = spec.linux().as_ref().and_then(container::root_on_host);
    let mut asking = Asking::of(request, spec);
    let process = spec.process().as_ref();
    let create = |stdio| container::create_attended(spec, &request.rootfs, stdio, netns, cgroup, &mut asking);
    let (created, terminal, input, sources) =
        if process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false) {
            let created = create(Stdio::Terminal)?;
            let size = process.and_then(oci_spec::runtime::Process::console_size);
            let (terminal, input, sources) = terminal(&created, size).map_err(Error::Stdio)?;
            (created, Some(terminal), input, sources)
        } else {
            let (stdio, input, sources) = pipes(request.open_stdin, root).map_err(Error::Stdio)?;
            (create(stdio)?, None, input, sources)
        };
    let cgroup = cgroup.clone();
    Ok(Made { created, root, asking, cgroup, oom_kills, listener, terminal, input, sources, log })
}

/// Pipes: the container's ends, then the shim's. They are its root's: in a user namespace nobody could take them over,
/// and open /dev/stdout.
pub(super) fn pipes(
    open_stdin: bool,
    root: Option<(u32, u32)>,
) -> io::Result<(Stdio, Option<OwnedFd>, Vec<Source>)> {
    let pipe = || -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        if let Some((uid, gid)) = root {
            fchown(&read, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok((read, write))
    };
    let (stdin, input) = if open_stdin {
        let (read, write) = pipe()?;
        unblock(&write)?;
        (read, Some(write))
    } else {
        (rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let mut sources = Vec::with_capacity(2);
    let mut output = |stream| -> io::Result<OwnedFd> {
        let (read, write) = pipe()?;
        unblock(&read)?;
        sources.push(Source { fd: read, stream });
        Ok(write)
    };
    let (stdout, stderr) = (output(Stream::Stdout)?, output(Stream::Stderr)?);
    Ok((Stdio::Descriptors { stdin, stdout, stderr }, input, sources))
}

/// The terminal's descriptors: for control, for input, and for output.
fn terminal(
    created: &Created,
    size: Option<oci_spec::runtime::Box>,
) -> io::Result<(Terminal, Option<OwnedFd>, Vec<Source>)> {
    let console = created.console().ok_or_else(|| io::Error::other("the container gave no terminal"))?;
    let master = console.try_clone_to_owned()?;
    unblock(&master)?;
    if let Some(size) = size {
        let cells = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
        let (ws_row, ws_col) = (cells(size.height()), cells(size.width()));
        tcsetwinsize(&master, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?;
    }
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    let source = Source { fd: master.try_clone()?, stream: Stream::Stdout };
    let input = master.try_clone()?;
    Ok((Terminal { master, slave: Some(slave) }, Some(input), vec![source]))
}

pub(super) fn unblock(fd: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}
