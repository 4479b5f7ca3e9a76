//! What a shim does when it is asked.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::termios::{Winsize, tcsetwinsize};

use super::failure;
use super::supervisor::{Phase, Supervisor};
use crate::container;
use crate::fault::{self, Point};
use crate::memory;
use crate::protocol::{self, Attach, Event, Failure, FailureKind, Request, State, Status};

impl Supervisor {
    /// Takes what a client sends, and sends what it is owed.
    pub(super) fn serve(&mut self, index: usize, flags: PollFlags, buffer: &mut [u8]) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        let gone = flags.intersects(PollFlags::HUP | PollFlags::ERR);
        if gone || flags.contains(PollFlags::IN) {
            if client.wants_input() {
                let room = self.input.room().min(buffer.len());
                self.receive_input(index, &mut buffer[..room]);
            } else if client.attached.is_some() {
                client.receive(buffer);
            } else {
                self.receive_requests(index, buffer);
            }
        }
        if gone && let Some(client) = self.clients.get_mut(index) {
            client.close_writing();
        }
    }

    fn receive_input(&mut self, index: usize, room: &mut [u8]) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if room.is_empty() || client.read_closed() {
            return;
        }
        if let Some(bytes) = client.receive(room) {
            self.input.push(bytes);
        } else if client.read_closed() && self.request.stdin_once && self.terminal.is_none() {
            self.input.end();
        }
    }

    fn receive_requests(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if let Some(bytes) = client.receive(buffer) {
            client.collect(bytes);
        }
        while let Some(client) = self.clients.get_mut(index)
            && client.attached.is_none()
            && let Some(line) = client.next_line()
        {
            let event = match protocol::decode(&line) {
                Ok(request) => self.answer(index, request),
                Err(error) => Some(Event::Failed(Failure {
                    kind: FailureKind::Unsupported,
                    message: format!(
                        "this shim (protocol {}) does not know the request: {error}",
                        protocol::VERSION
                    ),
                    errno: None,
                })),
            };
            if let (Some(event), Some(client)) = (event, self.clients.get_mut(index)) {
                client.send(&event);
                if matches!(event, Event::Started { .. }) {
                    // What building the container took is no longer needed.
                    memory::release();
                }
            }
        }
    }

    /// Fulfils a request; what to answer, if it is to be answered now.
    fn answer(&mut self, index: usize, request: Request) -> Option<Event> {
        let done = |result: Result<(), Failure>| match result {
            Ok(()) => Event::Ok,
            Err(failure) => Event::Failed(failure),
        };
        Some(match request {
            Request::Start => self.start(),
            Request::Status => Event::Status(self.status()),
            Request::Wait => return self.await_exit(index),
            Request::Signal { signal } => done(self.signal(signal)),
            Request::Resize { width, height } => done(self.resize(width, height)),
            Request::CloseStdin => {
                if self.terminal.is_none() {
                    self.input.end();
                }
                Event::Ok
            }
            Request::Attach(attach) => {
                self.attach(index, attach);
                return None;
            }
            Request::Exec(request) => match self.exec(index, request) {
                Ok(()) => return None,
                Err(failure) => Event::Failed(failure),
            },
            Request::ExecWait { id } => return self.await_exec(index, id),
            Request::ExecResize { id, width, height } => done(self.resize_exec(&id, width, height)),
        })
    }

    fn start(&mut self) -> Event {
        let created = match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Created(created) => created,
            phase => {
                self.phase = phase;
                return Event::Failed(failure::state(
                    "start",
                    &self.request.id,
                    "it has been started before",
                ));
            }
        };
        let started = fault::fail(Point::ShimStart).map_err(container::Error::caller);
        match started.and_then(|()| created.start()) {
            Ok(_) => {
                fault::pass(Point::ShimStarted);
                Event::Started { pid: self.pid }
            }
            Err(error) => {
                let failure = failure::of_container(&error);
                self.failed = Some(failure.kind.exit_code());
                // It exits by itself, but nothing depends on that.
                let _ = self.signal(libc::SIGKILL);
                Event::Failed(failure)
            }
        }
    }

    fn status(&self) -> Status {
        let (state, exit) = match &self.phase {
            Phase::Created(_) => (State::Created, None),
            Phase::Running | Phase::Draining { .. } => (State::Running, None),
            Phase::Exited(exit) => (State::Exited, Some(exit.clone())),
        };
        let log_dropped = self.log.as_ref().map_or(self.log_dropped, crate::log::Writer::dropped);
        Status { state, pid: self.pid, exit, log_dropped }
    }

    fn await_exit(&mut self, index: usize) -> Option<Event> {
        if let Phase::Exited(exit) = &self.phase {
            return Some(Event::Exited(exit.clone()));
        }
        if let Some(client) = self.clients.get_mut(index) {
            client.awaits_exit = true;
        }
        None
    }

    /// Signals init. Through its pidfd it can be nobody else.
    pub(super) fn signal(&self, signal: i32) -> Result<(), Failure> {
        if !matches!(self.phase, Phase::Created(_) | Phase::Running) {
            return Err(failure::state("signal", &self.request.id, "it has exited"));
        }
        let operation = || format!("send signal {signal} to container {}", self.request.id);
        fault::fail(Point::ShimSignal).map_err(|error| failure::of_request(&operation(), &error))?;
        // SAFETY: the descriptor is open, and the kernel fills in the signal's information if none is given.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        Err(failure::of_request(&operation(), &error))
    }

    fn resize(&self, width: u16, height: u16) -> Result<(), Failure> {
        let Some(terminal) = &self.terminal else {
            return Err(failure::state("resize the terminal of", &self.request.id, "it has none"));
        };
        set_size(&terminal.master, width, height, &format!("container {}", self.request.id))
    }

    fn attach(&mut self, index: usize, attach: Attach) {
        let Some(client) = self.clients.get_mut(index) else { return };
        client.send(&Event::Ok);
        client.attached = Some(attach);
        let input = client.take_inbox();
        let ended = client.read_closed();
        if attach.stdin {
            self.input.push(&input);
            if ended && self.request.stdin_once && self.terminal.is_none() {
                self.input.end();
            }
        }
    }
}

/// Sets a terminal's size.
pub(super) fn set_size(terminal: &OwnedFd, width: u16, height: u16, of: &str) -> Result<(), Failure> {
    let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size)
        .map_err(|error| failure::of_request(&format!("resize the terminal of {of}"), &error.into()))
}
