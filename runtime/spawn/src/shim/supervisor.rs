//! The shim's loop.
//!
//! ```text
//! Created --start--> Running --init exits--> Draining --output at its end--> Exited --clients served--> (gone)
//!    |  \--exec fails: init exits------------^
//!    \-creator's connection closed: init is killed, nothing is recorded------------------------------> (gone)
//! ```
//! Draining ends when all of the container's output has been read: at once, unless a process outside of the container
//! holds its pipes. Then the exit is recorded and the cgroup removed, and only then anyone is told.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::asking::Asking;
use super::client::Client;
use super::exec::{Ended, Exec, Part, STRAY_PAUSE};
use super::input::Input;
use super::output::{Output, Source};
use super::request::ShimRequest;
use super::setup::Made;
use super::socket::Listener;
use super::terminal::Terminal;
use crate::cgroup::Cgroup;
use crate::container::{Created, Ruleset};
use crate::fault::{self, Point};
use crate::log::Writer;
use crate::protocol::{Event, Exit, Stream};
use crate::seccomp::Program;

/// How much output is read at a time, in bytes.
const CHUNK: usize = 32 * 1024;

/// How many connections a shim keeps.
const MAX_CLIENTS: usize = 128;

/// How long new connections wait when the machine is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Where in its life the container is.
#[derive(Debug)]
pub(super) enum Phase {
    Created(Box<Created>),
    Running,
    Draining { exit: Exit, until: Instant },
    Exited(Exit),
}

/// A shim and its container.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) request: ShimRequest,
    pub(super) phase: Phase,
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    pub(super) cgroup: Cgroup,
    /// How many processes the kernel had killed in the group before this container.
    pub(super) oom_kills: u64,
    pub(super) terminal: Option<Terminal>,
    pub(super) listener: Listener,
    pub(super) accept_after: Option<Instant>,
    pub(super) clients: Vec<Client>,
    pub(super) sources: Vec<Source>,
    pub(super) input: Input,
    pub(super) log: Option<Writer>,
    /// Who its root is on the host, if it has a user namespace of its own.
    pub(super) root: Option<(u32, u32)>,
    /// What its further processes are confined with, as init is.
    pub(super) filter: Option<Program>,
    pub(super) asking: Option<Asking>,
    pub(super) landlock: Option<Ruleset>,
    pub(super) execs: Vec<Exec>,
    /// Execs that have ended, the oldest first.
    pub(super) ended: VecDeque<Ended>,
    /// Until when children are looked for that a failed runner left.
    pub(super) strays_until: Option<Instant>,
    /// What the log could not take, once it is closed.
    pub(super) log_dropped: u64,
    /// The code of an exec that failed; init's own would say nothing.
    pub(super) failed: Option<u8>,
    /// The creator has gone before it said start.
    pub(super) abandoned: bool,
}

/// What a descriptor in the poll set belongs to.
#[derive(Debug, Clone, Copy)]
enum Token {
    Init,
    Listener,
    Source(Stream),
    Input,
    /// A log that was full takes more.
    Log,
    Client(usize),
    Exec(usize, Part),
}

impl Supervisor {
    /// A supervisor that tells `control` that the container is created.
    pub(super) fn new(request: ShimRequest, control: UnixStream, made: Made) -> io::Result<Self> {
        let pid = made.created.pid().as_raw_nonzero().get().unsigned_abs();
        let creator = Client::new(control, made.terminal.is_some(), true)?;
        let mut supervisor = Self {
            request,
            pid,
            root: made.root,
            filter: made.created.filter().cloned(),
            asking: made.asking,
            landlock: made.created.landlock().cloned(),
            execs: Vec::new(),
            ended: VecDeque::new(),
            strays_until: None,
            pidfd: made.created.pidfd().try_clone_to_owned()?,
            phase: Phase::Created(Box::new(made.created)),
            cgroup: made.cgroup,
            oom_kills: made.oom_kills,
            terminal: made.terminal,
            listener: made.listener,
            accept_after: None,
            clients: Vec::new(),
            sources: made.sources,
            input: Input::new(made.input),
            log: made.log,
            log_dropped: 0,
            failed: None,
            abandoned: false,
        };
        supervisor.greet(creator);
        fault::pass(Point::ShimCreated);
        if let Some(creator) = supervisor.clients.first_mut() {
            creator.send(&Event::Created { pid });
        }
        Ok(supervisor)
    }

    /// Serves until the container has exited and everyone who was to know, knows.
    pub(super) fn run(mut self) {
        let mut buffer = vec![0; CHUNK];
        while !self.is_done() {
            let Ok(ready) = self.wait() else {
                // Nothing is wrong with what is polled: the kernel is short of memory. Go on a little later.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            for (token, flags) in ready {
                match token {
                    Token::Init => self.init_exited(),
                    Token::Listener => self.accept(),
                    Token::Source(stream) => drop(self.read_output(stream, &mut buffer)),
                    Token::Input => self.input.flush(),
                    Token::Log => self.log_has_room(),
                    Token::Client(index) => self.serve(index, flags, &mut buffer),
                    Token::Exec(index, part) => self.serve_exec(index, part, flags, &mut buffer),
                }
            }
            self.tidy_execs(&mut buffer);
            self.drain(&mut buffer);
            self.tidy(&mut buffer);
        }
    }

    fn is_done(&self) -> bool {
        self.has_exited() && self.clients.is_empty() && self.execs.is_empty()
    }

    /// Waits until something can be done or is due.
    fn wait(&self) -> io::Result<Vec<(Token, PollFlags)>> {
        let now = Instant::now();
        let mut fds = Vec::with_capacity(8 + self.clients.len());
        let mut tokens = Vec::with_capacity(8 + self.clients.len());
        let mut add = |token, fd, flags| {
            tokens.push(token);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if matches!(self.phase, Phase::Created(_) | Phase::Running) {
            add(Token::Init, self.pidfd.as_fd(), PollFlags::IN);
        }
        if self.accept_after.is_none_or(|after| now >= after) {
            add(Token::Listener, self.listener.socket.as_fd(), PollFlags::IN);
        }
        let log_full = self.log.as_ref().is_some_and(Writer::is_full);
        if log_full && let Some(room) = self.log.as_ref().and_then(Writer::room) {
            add(Token::Log, room, PollFlags::IN);
        }
        if !log_full && !self.clients.iter().any(Client::holds_back) {
            for source in &self.sources {
                add(Token::Source(source.stream), source.fd.as_fd(), PollFlags::IN);
            }
        }
        if let Some(sink) = self.input.pending() {
            add(Token::Input, sink.as_fd(), PollFlags::OUT);
        }
        for (index, client) in self.clients.iter().enumerate() {
            if let Some(flags) = self.interest(client) {
                add(Token::Client(index), client.stream.as_fd(), flags);
            }
        }
        for (index, exec) in self.execs.iter().enumerate() {
            exec.watch(&mut |part, fd, flags| add(Token::Exec(index, part), fd, flags));
        }
        let timeout = self.deadline().map(|deadline| timespec(deadline.saturating_duration_since(now)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = tokens.into_iter().zip(fds).map(|(token, fd)| (token, fd.revents()));
        Ok(ready.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    /// What to wait for at a client; none if even its end cannot be acted upon at present.
    fn interest(&self, client: &Client) -> Option<PollFlags> {
        let mut flags = PollFlags::empty();
        let full = client.wants_input() && self.input.room() == 0;
        flags.set(PollFlags::IN, !client.read_closed() && !full);
        flags.set(PollFlags::OUT, client.has_unsent());
        (!flags.is_empty() || !client.write_closed()).then_some(flags)
    }

    /// When something is due without anything happening.
    fn deadline(&self) -> Option<Instant> {
        let draining = match &self.phase {
            Phase::Draining { until, .. } => Some(*until),
            _ => None,
        };
        let clients = self.clients.iter().filter_map(|client| client.deadline(self.has_exited()));
        let strays = self.strays_until.map(|_| Instant::now() + STRAY_PAUSE);
        let execs = self.execs.iter().filter_map(Exec::deadline).chain(strays);
        clients.chain(draining).chain(self.accept_after).chain(execs).min()
    }

    pub(super) fn has_exited(&self) -> bool {
        matches!(self.phase, Phase::Exited(_))
    }

    fn accept(&mut self) {
        self.accept_after = None;
        match self.listener.accept() {
            Ok(stream) if self.clients.len() < MAX_CLIENTS => {
                if let Ok(client) = Client::new(stream, self.terminal.is_some(), false) {
                    self.greet(client);
                }
            }
            // One too many is closed; one that has gone, or a spurious wake-up, is none.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => self.accept_after = Some(Instant::now() + ACCEPT_PAUSE),
        }
    }

    fn greet(&mut self, mut client: Client) {
        client.send(&super::hello(&self.request.id));
        self.clients.push(client);
    }

    /// Takes the wake-up; what the log says itself decides.
    fn log_has_room(&self) {
        if let Some(room) = self.log.as_ref().and_then(Writer::room) {
            let _ = rustix::io::read(room, &mut [0; 8]);
        }
    }

    /// Reads one chunk of output and passes it on. Whether there may be more.
    pub(super) fn read_output(&mut self, stream: Stream, buffer: &mut [u8]) -> bool {
        let Some(source) = self.sources.iter().find(|source| source.stream == stream) else { return false };
        match source.read(buffer) {
            Output::Data(data) => {
                if let Some(log) = &mut self.log {
                    log.write(stream, data, Timestamp::now());
                }
                for client in &mut self.clients {
                    client.output(stream, data);
                }
                true
            }
            Output::Nothing => false,
            Output::End => {
                self.sources.retain(|source| source.stream != stream);
                false
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up by the kernel to its clock's resolution, so a deadline is over when the wait is.
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
