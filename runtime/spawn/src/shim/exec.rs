//! Further processes of the container ("exec").
//!
//! ```text
//! Making --started--> Running --exits--> Draining --output at its end--> Ended --client served--> (gone)
//!    \--failed: what there is of it is reaped----------------------------------------------------> (gone)
//! ```
//! A [runner](runner) makes each, so that nothing a container can do to its own files holds up its shim. The process is
//! the shim's child all the same. It ends with the container: with init, the kernel kills its pid namespace.

mod kill;
mod report;
mod runner;
mod stray;
mod streams;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::client::Client;
use super::input::Input;
use super::output::Source;
use super::requests::set_size;
use super::supervisor::{Phase, Supervisor};
use super::{exit, failure};
use crate::container::Membership;
use crate::fault::{self, Point};
use crate::protocol::{Attach, Event, Exec as Wanted, ExecExit, Exit, Failure, FailureKind, Stream};
use report::Report;
use runner::Runner;

/// How many execs may run at a time.
const MOST: usize = 1024;
/// How many exits are remembered, and for how long: as long as the engine knows an exec that has ended.
const REMEMBERED: usize = 64;
const MEMORY: Duration = Duration::from_secs(600);
/// How long after the process' exit output is awaited from what it left behind.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// For how long a child is looked for that a runner left, and how often.
const STRAY_LIMIT: Duration = Duration::from_secs(5);
pub(super) const STRAY_PAUSE: Duration = Duration::from_millis(100);

/// A further process.
#[derive(Debug)]
pub(super) struct Exec {
    wanted: Wanted,
    state: State,
    /// The process' id on the host, and its descriptor, once it is cloned.
    process: Option<(u32, OwnedFd)>,
    /// When it is killed.
    until: Option<Instant>,
    timed_out: bool,
    terminal: Option<OwnedFd>,
    sources: Vec<Source>,
    input: Input,
    client: Option<Client>,
}

#[derive(Debug)]
enum State {
    Making(Runner),
    /// It could not be executed; what is left is to be reaped.
    Failed,
    Running,
    Draining {
        exit: Exit,
        until: Instant,
    },
    Ended,
}

/// An exec that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    id: String,
    exit: ExecExit,
    at: Instant,
}

/// What of an exec is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Runner,
    Process,
    Source(Stream),
    Input,
    Client,
}

impl Exec {
    /// Names every descriptor to wait for.
    pub(super) fn watch<'a>(&'a self, add: &mut dyn FnMut(Part, BorrowedFd<'a>, PollFlags)) {
        if let State::Making(runner) = &self.state {
            add(Part::Runner, runner.socket(), PollFlags::IN);
        }
        if let (Some((_, pidfd)), State::Failed | State::Running) = (&self.process, &self.state) {
            add(Part::Process, pidfd.as_fd(), PollFlags::IN);
        }
        // Before it is a stream, the client cannot take output.
        let making = matches!(self.state, State::Making(_));
        if !making && !self.client.as_ref().is_some_and(Client::holds_back) {
            for source in &self.sources {
                add(Part::Source(source.stream), source.fd.as_fd(), PollFlags::IN);
            }
        }
        if let Some(sink) = self.input.pending() {
            add(Part::Input, sink.as_fd(), PollFlags::OUT);
        }
        if let Some(client) = &self.client {
            let full = client.wants_input() && self.input.room() == 0;
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, client.attached.is_some() && !client.read_closed() && !full);
            flags.set(PollFlags::OUT, client.has_unsent());
            if !flags.is_empty() || !client.write_closed() {
                add(Part::Client, client.stream.as_fd(), flags);
            }
        }
    }

    /// When something is due without anything happening.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Draining { until, .. } => Some(*until),
            State::Ended => self.client.as_ref().and_then(|client| client.deadline(true)),
            _ if self.timed_out => None,
            _ => self.until,
        }
    }

    /// Whether it is the owner of this process.
    fn is_process(&self, pid: u32) -> bool {
        self.process.as_ref().is_some_and(|(own, _)| *own == pid)
    }

    /// Whether it is known by its id.
    fn is(&self, id: &str) -> bool {
        self.wanted.id == id && !matches!(self.state, State::Failed | State::Ended)
    }

    /// The answer to its client that it runs; the connection is its stream then.
    fn started(&mut self) {
        self.state = State::Running;
        let Wanted { stdin, stdout, stderr, raw, .. } = self.wanted;
        let pid = self.process.as_ref().map_or(0, |(pid, _)| *pid);
        let Some(client) = &mut self.client else { return };
        fault::pass(Point::ShimExecStarted);
        client.send(&Event::ExecStarted { pid });
        client.become_stream(Attach { stdin, stdout, stderr }, raw || self.terminal.is_some());
        let early = client.take_inbox();
        if stdin {
            self.input.push(&early);
            if client.read_closed() && self.terminal.is_none() {
                self.input.end();
            }
        }
    }

    fn failed(&mut self, failure: Failure) {
        self.state = State::Failed;
        self.sources.clear();
        self.input.end();
        if let Some(client) = &mut self.client {
            client.send(&Event::Failed(failure));
        }
    }
}

impl Supervisor {
    /// Begins an exec with the client's connection; its answer follows.
    pub(super) fn exec(&mut self, index: usize, wanted: Wanted) -> Result<(), Failure> {
        let refuse = |reason: &str| failure::state("execute in", &self.request.id, reason);
        let known = |exec: &Exec| exec.wanted.id == wanted.id;
        if !matches!(self.phase, Phase::Running) {
            return Err(refuse("it does not run"));
        }
        if wanted.id.is_empty() || !wanted.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(refuse("an exec's id has letters and digits"));
        }
        if self.execs.iter().any(known) || self.ended.iter().any(|ended| ended.id == wanted.id) {
            return Err(refuse("the exec has been started before"));
        }
        if self.execs.len() >= MOST {
            return Err(refuse("it has too many execs"));
        }
        let failed = |error| failure::of_request("fork a process for an exec", &error);
        let membership = Membership {
            init: self.pidfd.as_fd(),
            cgroup: &self.cgroup,
            root: self.root,
            filter: self.filter.as_ref(),
            listens: self.asking.is_some(),
            landlock: self.landlock.as_ref(),
        };
        fault::fail(Point::ShimExec).map_err(failed)?;
        let runner =
            Runner::fork(&self.request.run_dir, &wanted, membership, self.asking.as_ref()).map_err(failed)?;
        let client = self.clients.get_mut(index).map(Client::hand_over).transpose().map_err(failed)?;
        let until = wanted.timeout_ms.map(|timeout| Instant::now() + Duration::from_millis(timeout));
        self.execs.push(Exec {
            wanted,
            state: State::Making(runner),
            process: None,
            until,
            timed_out: false,
            terminal: None,
            sources: Vec::new(),
            input: Input::new(None),
            client,
        });
        Ok(())
    }

    /// Owes a client the exit of an exec; the answer, if it is known.
    pub(super) fn await_exec(&mut self, index: usize, id: String) -> Option<Event> {
        if let Some(ended) = self.ended.iter().find(|ended| ended.id == id) {
            return Some(Event::ExecExited(ended.exit.clone()));
        }
        if !self.execs.iter().any(|exec| exec.is(&id)) {
            return Some(Event::Failed(failure::no_exec(&id)));
        }
        if let Some(client) = self.clients.get_mut(index) {
            client.awaits_exec = Some(id);
        }
        None
    }

    pub(super) fn resize_exec(&self, id: &str, width: u16, height: u16) -> Result<(), Failure> {
        let exec = self.execs.iter().find(|exec| exec.is(id)).ok_or_else(|| failure::no_exec(id))?;
        let Some(terminal) = &exec.terminal else {
            return Err(failure::state("resize the terminal of an exec in", &self.request.id, "it has none"));
        };
        set_size(terminal, width, height, &format!("exec {id}"))
    }

    /// Does what a descriptor of an exec is ready for.
    pub(super) fn serve_exec(&mut self, index: usize, part: Part, flags: PollFlags, buffer: &mut [u8]) {
        let Some(exec) = self.execs.get_mut(index) else { return };
        match part {
            Part::Runner => {
                if exec.hear() {
                    // It may have cloned a process of which it could not tell.
                    self.strays_until = Some(Instant::now() + STRAY_LIMIT);
                }
            }
            Part::Process => exec.exited(),
            Part::Source(stream) => drop(exec.read(stream, buffer)),
            Part::Input => exec.input.flush(),
            Part::Client => exec.serve_client(flags, buffer),
        }
    }

    /// Ends what is due, tells of exits, and lets go of execs that are served.
    pub(super) fn tidy_execs(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        for exec in &mut self.execs {
            if exec.until.is_some_and(|until| until <= now) && !exec.timed_out {
                exec.timed_out = true;
                exec.kill(&self.cgroup);
            }
            let Some(exit) = exec.drain(now, buffer) else { continue };
            let exit = ExecExit { exit, timed_out: exec.timed_out };
            let waiting = |client: &&mut Client| client.awaits_exec.as_ref() == Some(&exec.wanted.id);
            for client in self.clients.iter_mut().filter(waiting) {
                client.awaits_exec = None;
                client.send(&Event::ExecExited(exit.clone()));
            }
            if self.ended.len() == REMEMBERED {
                self.ended.pop_front();
            }
            self.ended.push_back(Ended { id: exec.wanted.id.clone(), exit, at: now });
        }
        self.ended.retain(|ended| now.duration_since(ended.at) < MEMORY);
        self.execs.retain_mut(|exec| !exec.is_over(now, buffer));
        if let Some(until) = self.strays_until {
            self.strays_until = Some(until).filter(|until| now < *until);
            self.reap_strays();
        }
    }
}

impl Exec {
    /// Takes what the runner says. Whether it has gone without saying which process it cloned.
    fn hear(&mut self) -> bool {
        let State::Making(runner) = &mut self.state else { return false };
        match runner.report() {
            Ok(Some((Report::Cloned { pid }, mut fds))) => {
                self.process = fds.pop().map(|pidfd| (pid, pidfd));
            }
            Ok(Some((Report::Streams { stdin, terminal }, fds))) => {
                if let Err(error) = self.take_streams(stdin, terminal, fds) {
                    self.failed(failure::of_request("take the streams of an exec", &error));
                }
            }
            Ok(Some((Report::Started, _))) => {
                runner.wait();
                self.started();
            }
            Ok(Some((Report::Failed(failure), _))) => {
                runner.wait();
                self.failed(failure);
            }
            Ok(None) | Err(_) => {
                runner.wait();
                let unknown = self.process.is_none();
                self.failed(Failure {
                    kind: FailureKind::Setup,
                    message: "the process that was to make the exec has been killed: was it short of memory?"
                        .into(),
                    errno: None,
                });
                return unknown;
            }
        }
        false
    }

    /// Takes note of the process' exit.
    fn exited(&mut self) {
        let Some((_, pidfd)) = &self.process else { return };
        let exit = match exit::reap(pidfd.as_fd()) {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(_) => exit::exit(Some(255), None),
        };
        self.process = None;
        if let State::Running = self.state {
            self.state = State::Draining { exit, until: Instant::now() + DRAIN_LIMIT };
        }
    }
}
