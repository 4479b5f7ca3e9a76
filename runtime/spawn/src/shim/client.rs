//! A connection to a shim: first of messages, after `attach` a stream of the container's input and output.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::protocol::{self, Attach, Event, MAX_LINE, Stream};

/// Unsent output above which the container is held back for this client, in bytes.
const HIGH_WATER: usize = 256 * 1024;

/// Unsent messages above which a client that does not read them is dropped, in bytes.
const MAX_UNSENT_MESSAGES: usize = 64 * 1024;

/// The buffer an idle client may keep, in bytes.
const RETAINED: usize = 16 * 1024;

/// How long a client that takes nothing holds the container back, before it is given up.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(5);

/// How long, after the container's exit, a client that takes nothing is waited for.
pub(super) const LINGER_LIMIT: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: UnixStream,
    /// What the client wants of the container's streams, once attached.
    pub(super) attached: Option<Attach>,
    /// `exited` is owed.
    pub(super) awaits_exit: bool,
    /// `exec_exited` of this exec is owed.
    pub(super) awaits_exec: Option<String>,
    /// The connection the container was created with.
    pub(super) creator: bool,
    /// Whether the container has a terminal: its output has no frames and may be skipped.
    tty: bool,
    inbox: Vec<u8>,
    outbox: VecDeque<u8>,
    /// When the client last took something, or was first owed something.
    progress: Instant,
    /// Output is skipped until everything before has been sent.
    skipping: bool,
    read_closed: bool,
    write_closed: bool,
}

impl Client {
    pub(super) fn new(stream: UnixStream, tty: bool, creator: bool) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            attached: None,
            awaits_exit: creator,
            awaits_exec: None,
            creator,
            tty,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            progress: Instant::now(),
            skipping: false,
            read_closed: false,
            write_closed: false,
        })
    }

    /// The connection with what was received of it, as a client of its own; this one has served its purpose then.
    pub(super) fn hand_over(&mut self) -> io::Result<Self> {
        let mut client = Self::new(self.stream.try_clone()?, self.tty, false)?;
        client.inbox = self.take_inbox();
        client.read_closed = self.read_closed;
        client.outbox = std::mem::take(&mut self.outbox);
        self.give_up();
        Ok(client)
    }

    /// The connection becomes a stream: with frames, or with the output as it is.
    pub(super) fn become_stream(&mut self, attach: Attach, raw: bool) {
        self.attached = Some(attach);
        self.tty = raw;
    }

    /// Sends a message.
    pub(super) fn send(&mut self, event: &Event) {
        match protocol::encode(event) {
            Ok(line) if self.outbox.len() + line.len() <= MAX_UNSENT_MESSAGES => self.push(&[&line]),
            _ => self.give_up(),
        }
    }

    /// Sends the container's output, if the client wants it.
    pub(super) fn output(&mut self, stream: Stream, payload: &[u8]) {
        let wanted = self.attached.is_some_and(|attach| match stream {
            Stream::Stdout => attach.stdout,
            Stream::Stderr => attach.stderr,
        });
        if !wanted || self.skipping {
            return;
        }
        if self.tty {
            return self.push(&[payload]);
        }
        match u32::try_from(payload.len()) {
            Ok(length) => self.push(&[&protocol::frame_header(stream, length), payload]),
            Err(_) => self.give_up(),
        }
    }

    fn push(&mut self, parts: &[&[u8]]) {
        if self.write_closed {
            return;
        }
        if self.outbox.is_empty() {
            self.progress = Instant::now();
        }
        for part in parts {
            self.outbox.extend(*part);
        }
        self.flush();
    }

    /// Sends what the client takes.
    pub(super) fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(self.outbox.as_slices().0) {
                Ok(0) => return self.give_up(),
                Ok(sent) => {
                    self.outbox.drain(..sent);
                    self.progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close_writing(),
            }
        }
        self.skipping = false;
        if self.outbox.capacity() > RETAINED {
            self.outbox = VecDeque::new();
        }
    }

    /// Receives up to `buffer`'s length. `None`: nothing at present, or the end.
    pub(super) fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => break,
                Ok(length) => return buffer.get(..length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => break,
            }
        }
        self.read_closed = true;
        None
    }

    /// Keeps received bytes until they are a line.
    pub(super) fn collect(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// The next complete line received.
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') else {
            if self.inbox.len() > MAX_LINE {
                self.give_up();
            }
            return None;
        };
        let rest = self.inbox.split_off(end + 1);
        Some(std::mem::replace(&mut self.inbox, rest))
    }

    /// What was received after the last line: the start of the stream of an attached client.
    pub(super) fn take_inbox(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inbox)
    }

    /// The client is gone or broken: nothing more is sent or received.
    pub(super) fn give_up(&mut self) {
        self.close_writing();
        self.read_closed = true;
    }

    /// The client no longer listens.
    pub(super) fn close_writing(&mut self) {
        self.write_closed = true;
        self.outbox = VecDeque::new();
    }

    /// Once all output is sent: ends the connection. What the client has sent is taken, because closing a socket with
    /// input unread would make the client's last reads fail; shutting it down first keeps more from coming.
    pub(super) fn end(&mut self, buffer: &mut [u8]) {
        if self.outbox.is_empty() {
            let _ = self.stream.shutdown(Shutdown::Both);
            while self.receive(buffer).is_some() {}
            self.give_up();
        }
    }

    pub(super) fn wants_input(&self) -> bool {
        self.attached.is_some_and(|attach| attach.stdin)
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(super) fn read_closed(&self) -> bool {
        self.read_closed
    }

    /// Whether the peer is known to be gone while input of it may be left.
    pub(super) fn write_closed(&self) -> bool {
        self.write_closed
    }

    /// Whether the container is held back for this client.
    pub(super) fn holds_back(&self) -> bool {
        self.attached.is_some() && !self.skipping && self.outbox.len() >= HIGH_WATER
    }

    /// When [`Client::expire`] must look again.
    pub(super) fn deadline(&self, container_exited: bool) -> Option<Instant> {
        if container_exited {
            return self.has_unsent().then(|| self.progress + LINGER_LIMIT);
        }
        self.holds_back().then(|| self.progress + STALL_LIMIT)
    }

    /// Gives up a client that does not take what it is sent. With a terminal, output is skipped instead: someone may
    /// have stopped it by hand.
    pub(super) fn expire(&mut self, now: Instant, container_exited: bool) {
        if self.deadline(container_exited).is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.tty && !container_exited {
            self.skipping = true;
        } else {
            self.give_up();
        }
    }

    /// Whether the connection has served its purpose.
    pub(super) fn is_done(&self) -> bool {
        let awaits = self.awaits_exit || self.awaits_exec.is_some();
        let idle = self.attached.is_none() && !awaits && self.outbox.is_empty();
        self.read_closed && (self.write_closed || idle)
    }
}
