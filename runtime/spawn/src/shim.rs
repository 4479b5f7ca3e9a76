//! The shim: the process that stays with one container, keeps its standard streams, its log and its exit code, and
//! answers daemons over a socket. It outlives them.
//!
//! A shim that is killed takes its container along, because init asks the kernel for that (`PR_SET_PDEATHSIG`): a
//! container whose output nobody reads would stop at the next line, and its exit code would be lost.

mod asking;
mod client;
mod exec;
mod exit;
mod failure;
mod input;
mod life;
mod output;
mod request;
mod requests;
mod setup;
mod socket;
mod supervisor;
mod terminal;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigHandler, Signal};
use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;

pub use request::{
    FileLog, LogConfig, LogFormat, Network, RemoteLog, ShimRequest, SyslogAddress, SyslogFormat, SyslogLog,
};
pub use socket::connect as connect_shim;

use crate::memory;
use crate::protocol::{self, Event, Failure, FailureKind};
use supervisor::Supervisor;

/// How long making a container may take, in seconds. A hung file system must not leave a shim that nobody can reach:
/// the alarm ends it, and its end of the control connection tells the daemon.
const CREATE_LIMIT: u32 = 120;

/// Signals that would end a shim by default. It ends when its container does.
const IGNORED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGPIPE,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// What a forked spawner does from here on: one container, then exit.
pub(crate) fn run(request: Vec<u8>, mut fds: Vec<OwnedFd>) -> ! {
    let netns = if fds.len() > 1 { fds.pop() } else { None };
    let control = fds.pop().map(UnixStream::from);
    drop(fds);
    let ended = control.is_some_and(|control| supervise(request, control, netns).is_ok());
    std::process::exit(i32::from(!ended))
}

fn supervise(message: Vec<u8>, mut control: UnixStream, netns: Option<OwnedFd>) -> io::Result<()> {
    detach()?;
    let request: ShimRequest = match serde_json::from_slice(&message) {
        Ok(request) => request,
        Err(error) => return refuse(&mut control, "", &failure::of_setup(&error)),
    };
    // It would take up memory as long as the container lives.
    drop(message);
    set_alarm(CREATE_LIMIT);
    let made = setup::make(&request, netns);
    set_alarm(0);
    // Only now: init would have inherited it.
    for signal in IGNORED {
        set_handler(signal, SigHandler::SigIgn)?;
    }
    match made {
        Ok(made) => {
            let supervisor = Supervisor::new(request, control, made)?;
            // A shim's own memory is what it has written to since the fork.
            memory::release_heap();
            supervisor.run();
            Ok(())
        }
        Err(setup::Error::Container(error)) => {
            refuse(&mut control, &request.id, &failure::of_container(&error))
        }
        Err(error) => refuse(&mut control, &request.id, &failure::of_setup(&error)),
    }
}

/// Leaves the spawner's session and its descriptors, and takes a name of its own.
fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::thread::set_name(c"beeline-shim")?;
    // Neither this process nor its copies on their way into a container can be traced or looked at through /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // The daemon's standard error may be a pipe, whose reader waits for all writers to go.
    rustix::stdio::dup2_stderr(null)?;
    // The spawner ignores its children; a shim waits for its own.
    set_handler(Signal::SIGCHLD, SigHandler::SigDfl)
}

/// Answers the daemon that there will be no container.
pub(crate) fn refuse(control: &mut UnixStream, id: &str, failure: &Failure) -> io::Result<()> {
    control.write_all(&protocol::encode(&hello(id))?)?;
    control.write_all(&protocol::encode(&Event::Failed(failure.clone()))?)
}

/// Answers the daemon that no shim could be made.
pub(crate) fn refuse_fork(control: OwnedFd, errno: i32) -> io::Result<()> {
    let error = io::Error::from_raw_os_error(errno);
    let message = format!("fork a shim: {error}");
    let failure = Failure { kind: FailureKind::Setup, message, errno: Some(errno) };
    refuse(&mut UnixStream::from(control), "", &failure)
}

fn hello(id: &str) -> Event {
    Event::Hello { v: protocol::VERSION, id: id.to_owned(), shim: std::process::id() }
}

pub(crate) fn set_handler(signal: Signal, handler: SigHandler) -> io::Result<()> {
    // SAFETY: the handlers given are the kernel's own: ignore and default.
    unsafe { nix::sys::signal::signal(signal, handler) }?;
    Ok(())
}

pub(crate) fn set_alarm(seconds: u32) {
    // SAFETY: the call takes a number and touches no memory.
    unsafe { libc::alarm(seconds) };
}
