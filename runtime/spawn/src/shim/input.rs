//! The container's standard input: what attached clients send, on its way to init.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// How much input waits for the container, in bytes. Clients are not read while it is full.
const LIMIT: usize = 64 * 1024;

/// The buffer idle input may keep, in bytes.
const RETAINED: usize = 4 * 1024;

/// Input for the container.
#[derive(Debug)]
pub(super) struct Input {
    /// A pipe's writing end or the terminal; none once input has ended.
    sink: Option<OwnedFd>,
    buffer: VecDeque<u8>,
    /// End when the buffer is empty.
    ending: bool,
}

impl Input {
    /// Input into `sink`, which must not block; without one, all input is thrown away.
    pub(super) fn new(sink: Option<OwnedFd>) -> Self {
        Self { sink, buffer: VecDeque::new(), ending: false }
    }

    /// How many bytes [`Input::push`] takes at present.
    pub(super) fn room(&self) -> usize {
        LIMIT.saturating_sub(self.buffer.len())
    }

    /// Takes input. Nothing more is taken after the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.sink.is_some() && !self.ending {
            self.buffer.extend(bytes);
            self.flush();
        }
    }

    /// Ends the input after what was taken.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.flush();
    }

    /// What to wait for until [`Input::flush`] can go on, if there is anything to write.
    pub(super) fn pending(&self) -> Option<&OwnedFd> {
        self.sink.as_ref().filter(|_| !self.buffer.is_empty())
    }

    /// Writes what the container takes.
    pub(super) fn flush(&mut self) {
        while let Some(sink) = &self.sink {
            let (front, _) = self.buffer.as_slices();
            if front.is_empty() {
                break;
            }
            match rustix::io::write(sink, front) {
                Ok(written) => drop(self.buffer.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    // The container has closed its standard input.
                    self.sink = None;
                    self.buffer.clear();
                }
            }
        }
        if self.buffer.capacity() > RETAINED {
            self.buffer = VecDeque::new();
        }
        if self.ending {
            self.sink = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    fn pipe() -> (std::fs::File, Input) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        (read.into(), Input::new(Some(write)))
    }

    #[test]
    fn all_input_arrives_before_the_end() {
        let (mut pipe, mut input) = pipe();
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut rest, mut received) = (&sent[..], Vec::new());
        let mut buffer = [0; 10_000];
        while received.len() < sent.len() {
            let (now, later) = rest.split_at(input.room().min(rest.len()));
            input.push(now);
            rest = later;
            if rest.is_empty() {
                input.end();
            }
            let read = pipe.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..read]);
            input.flush();
        }
        assert_eq!(received, sent);
        assert_eq!(pipe.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn input_for_a_container_that_closed_it_is_thrown_away() {
        let (pipe, mut input) = pipe();
        drop(pipe);
        input.push(b"lost");
        input.push(b"too");
        assert!(input.pending().is_none());
        assert_eq!(input.room(), LIMIT);
    }
}
