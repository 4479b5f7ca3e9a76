//! An exec's output and input, and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::PollFlags;

use super::{Exec, State};
use crate::protocol::{Exit, Stream};
use crate::shim::client::Client;
use crate::shim::input::Input;
use crate::shim::output::{Output, Source};
use crate::shim::setup::unblock;

/// How many chunks are read at the end: more than a pipe holds.
const DRAIN_CHUNKS: usize = 64;

impl Exec {
    /// Takes the shim's ends: of a terminal, or of standard input if it is open, standard output and standard error.
    pub(super) fn take_streams(&mut self, stdin: bool, terminal: bool, fds: Vec<OwnedFd>) -> io::Result<()> {
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or(io::ErrorKind::InvalidData);
        if terminal {
            let master = next()?;
            unblock(&master)?;
            self.sources.push(Source { fd: master.try_clone()?, stream: Stream::Stdout });
            self.input = Input::new(Some(master.try_clone()?));
            self.terminal = Some(master);
            return Ok(());
        }
        if stdin {
            self.input = Input::new(Some(next()?));
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.sources.push(Source { fd: next()?, stream });
        }
        Ok(())
    }

    /// Reads one chunk of output. Whether there may be more.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> bool {
        let Some(source) = self.sources.iter().find(|source| source.stream == stream) else { return false };
        match source.read(buffer) {
            Output::Data(data) => {
                if let Some(client) = &mut self.client {
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

    /// Takes what the client sends, and sends what it is owed.
    pub(super) fn serve_client(&mut self, flags: PollFlags, buffer: &mut [u8]) {
        let Some(client) = &mut self.client else { return };
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        let gone = flags.intersects(PollFlags::HUP | PollFlags::ERR);
        let room = if client.wants_input() { self.input.room().min(buffer.len()) } else { buffer.len() };
        let may_read = client.attached.is_some() && !client.read_closed() && room > 0;
        if may_read && (gone || flags.contains(PollFlags::IN)) {
            let wanted = client.wants_input();
            match client.receive(&mut buffer[..room]) {
                Some(bytes) if wanted => self.input.push(bytes),
                Some(_) => {}
                // A terminal has no end of input but what is typed.
                None if client.read_closed() && self.terminal.is_none() => self.input.end(),
                None => {}
            }
        }
        if gone {
            client.close_writing();
        }
        if client.is_done() {
            self.client = None;
            if self.terminal.is_none() {
                self.input.end();
            }
        }
    }

    /// After the process' exit: reads the rest of its output. The exit, once that is done.
    pub(super) fn drain(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Exit> {
        let State::Draining { exit, until } = &self.state else { return None };
        let (exit, until) = (exit.clone(), *until);
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..DRAIN_CHUNKS {
                if !self.read(stream, buffer) {
                    break;
                }
            }
        }
        if !self.sources.is_empty() && now < until {
            return None;
        }
        self.sources.clear();
        self.input.end();
        self.terminal = None;
        self.state = State::Ended;
        Some(exit)
    }

    /// Whether nothing is left to do for it.
    pub(super) fn is_over(&mut self, now: Instant, buffer: &mut [u8]) -> bool {
        let over = match self.state {
            State::Ended => true,
            State::Failed => self.process.is_none(),
            _ => false,
        };
        if !over {
            return false;
        }
        if let Some(client) = &mut self.client {
            client.expire(now, true);
            client.end(buffer);
        }
        self.client.as_ref().is_none_or(Client::is_done)
    }
}
