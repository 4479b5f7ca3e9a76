//! What a shim and its clients say to each other.
//!
//! Both directions are JSON, one message a line, over a Unix stream socket: the connection the container was
//! created with, and any later one to `run_dir/shim.sock`. A shim outlives daemons, so a newer daemon may meet an
//! older shim: the first line a shim sends on every connection is [`Event::Hello`] with its [`VERSION`], and both
//! sides ignore fields they do not know.
//!
//! | request | answer |
//! |---|---|
//! | `"start"` | `started` or `failed` |
//! | `"status"` | `status` |
//! | `"wait"` | `exited`, when init has exited (at once if it has); other requests are answered meanwhile |
//! | `{"signal":{"signal":15}}` | `"ok"` or `failed` |
//! | `{"resize":{"width":80,"height":24}}` | `"ok"` or `failed` |
//! | `{"attach":{"stdin":true,"stdout":true,"stderr":true}}` | `"ok"`, then the connection is a raw stream |
//! | `"close_stdin"` | `"ok"` |
//! | `{"exec":{"id":"…","stdin":false,"stdout":true,"stderr":true}}` | `exec_started`, then as after `attach`; or `failed` |
//! | `{"exec_wait":{"id":"…"}}` | `exec_exited`, when it has (at once if it has); or `failed` |
//! | `{"exec_resize":{"id":"…","width":80,"height":24}}` | `"ok"` or `failed` |
//! | anything else | `failed` with kind `unsupported` |
//!
//! The creating connection first gets `hello`, then `created` or `failed`; it is told `exited` without asking.
//! `exited` is said at most once on a connection, after the exit file is written and after the output has been
//! logged. An end of file without `exited` means that the shim is gone: the exit file decides whether the container
//! ended in order (it exists) or was killed with its shim (it does not).
//!
//! After the answer to `attach`, bytes from the shim are the container's output: with a terminal as they are,
//! without one in frames as [`frame_header`] makes them. Bytes to the shim are the container's standard input;
//! shutting down the writing side ends it. The shim closes the stream after init's exit, when all output is sent.
//!
//! An exec is a further process of the container, described by [`ExecFile`] in `run_dir/exec/ID.json`. Its output goes to
//! the client that asked for it, and nowhere when that has gone: the process goes on. Its exit is remembered for whoever
//! asks.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The protocol's version, raised when a client must know the difference.
pub const VERSION: u32 = 1;

/// The longest line either side accepts, in bytes, line feed included.
pub const MAX_LINE: usize = 16 * 1024;

/// What a client asks of a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Let the created init execute the container's command.
    Start,
    /// Report the container's state.
    Status,
    /// Report init's exit, as soon as it is known.
    Wait,
    /// Send a signal to init.
    Signal {
        /// The signal's number, 1 to 64.
        signal: i32,
    },
    /// Set the terminal's size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Turn this connection into a stream of the container's input and output.
    Attach(Attach),
    /// End the container's standard input.
    CloseStdin,
    /// Run a further process in the container, with this connection as its streams.
    Exec(Exec),
    /// Report an exec's exit, as soon as it is known.
    ExecWait {
        /// The exec's id.
        id: String,
    },
    /// Set the size of an exec's terminal.
    ExecResize {
        /// The exec's id.
        id: String,
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
}

/// A further process in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// Letters and digits; the name of its file.
    pub id: String,
    /// Feed what the client sends to standard input; otherwise that is empty.
    pub stdin: bool,
    /// Send standard output (with a terminal: all output).
    pub stdout: bool,
    /// Send standard error.
    pub stderr: bool,
    /// Send output as it is, without frames, also without a terminal.
    pub raw: bool,
    /// Milliseconds after which it and what it started is killed; never if not given.
    pub timeout_ms: Option<u64>,
}

/// What an exec's file holds; other fields are its writer's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecFile {
    /// The process, as the OCI configuration describes it.
    pub process: oci_spec::runtime::Process,
    /// More groups of its user, by name or number: OCI has numbers only.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The directory of execs' files in a container's run directory.
pub const EXEC_DIR: &str = "exec";

/// How an exec ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecExit {
    /// How its process ended.
    #[serde(flatten)]
    pub exit: Exit,
    /// Whether it was killed for having taken too long.
    #[serde(default)]
    pub timed_out: bool,
}

/// Which of the container's streams an attached client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Feed what the client sends to the container's standard input, if that is open.
    #[serde(default)]
    pub stdin: bool,
    /// Send standard output (with a terminal: all output).
    #[serde(default)]
    pub stdout: bool,
    /// Send standard error.
    #[serde(default)]
    pub stderr: bool,
}

/// What a shim tells a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first line on every connection.
    Hello {
        /// The shim's [`VERSION`].
        v: u32,
        /// The container's id.
        id: String,
        /// The shim's own process id, as its pid namespace has it.
        shim: u32,
    },
    /// The container exists, its init waits for [`Request::Start`].
    Created {
        /// Init's process id on the host.
        pid: u32,
    },
    /// Init executes the container's command.
    Started {
        /// Init's process id on the host.
        pid: u32,
    },
    /// The request could not be fulfilled.
    Failed(Failure),
    /// The answer to [`Request::Status`].
    Status(Status),
    /// Init has exited.
    Exited(Exit),
    /// The exec's process executes its command.
    ExecStarted {
        /// Its process id on the host.
        pid: u32,
    },
    /// The exec's process has exited.
    ExecExited(ExecExit),
    /// The request is fulfilled.
    Ok,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What a program decides by.
    pub kind: FailureKind,
    /// What a person reads: the operation, the object and the reason.
    pub message: String,
    /// The system call's error number, if one was the reason.
    #[serde(default)]
    pub errno: Option<i32>,
}

/// Kinds of failure. Docker's exit code for each is given by [`FailureKind::exit_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The container's command does not exist.
    NotFound,
    /// The container's command exists but cannot be executed.
    NotExecutable,
    /// The container could not be built.
    Setup,
    /// The request does not fit the container's state.
    State,
    /// The shim does not know the request.
    #[serde(other)]
    Unsupported,
}

impl FailureKind {
    /// The exit code Docker's clients give for such a failure of start: 127, 126 or 125.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotFound => 127,
            Self::NotExecutable => 126,
            Self::Setup | Self::State | Self::Unsupported => 125,
        }
    }
}

/// A container's state, as its shim knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where in its life the container is.
    pub state: State,
    /// Init's process id on the host; after the exit, the one it had.
    pub pid: u32,
    /// How init ended, once it has.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Bytes of output that did not reach the log, for want of disk space or an I/O error.
    #[serde(default)]
    pub log_dropped: u64,
}

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Built, waiting for [`Request::Start`].
    Created,
    /// Init executes the container's command.
    Running,
    /// Init has exited.
    Exited,
}

/// How a container's init ended. The exit file holds the same as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + the signal's number if a signal ended it.
    pub code: u8,
    /// The signal that ended it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of the container for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// When, as RFC 3339 in UTC.
    pub at: Timestamp,
    /// How long the machine had been up by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Duration>,
}

/// One of the container's streams, numbered as in Docker's multiplexed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Stream {
    /// Standard output; with a terminal, all output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// Bytes in a frame's header.
pub const FRAME_HEADER: usize = 8;

/// The header of a frame in Docker's multiplexed format: the stream's number, three zero bytes, and the payload's
/// length in bytes as a big-endian 32-bit number.
#[must_use]
pub fn frame_header(stream: Stream, length: u32) -> [u8; FRAME_HEADER] {
    let [a, b, c, d] = length.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// A message as it goes over the wire: JSON and a line feed.
///
/// # Errors
/// None occur for this module's own types.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// A message from one line, with or without its line feed.
///
/// # Errors
/// The line is no JSON, or no message this version knows.
pub fn decode<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_documented() {
        let line = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(line(encode(&Request::Start).unwrap()), "\"start\"\n");
        assert_eq!(line(encode(&Request::CloseStdin).unwrap()), "\"close_stdin\"\n");
        assert_eq!(line(encode(&Request::Signal { signal: 15 }).unwrap()), "{\"signal\":{\"signal\":15}}\n");
        let attach = Request::Attach(Attach { stdin: true, stdout: true, stderr: false });
        let text = "{\"attach\":{\"stdin\":true,\"stdout\":true,\"stderr\":false}}\n";
        assert_eq!(line(encode(&attach).unwrap()), text);
        let exit =
            Exit { code: 137, signal: Some(9), oom_killed: true, at: Timestamp::UNIX_EPOCH, uptime: None };
        let text =
            "{\"exited\":{\"code\":137,\"signal\":9,\"oom_killed\":true,\"at\":\"1970-01-01T00:00:00Z\"}}\n";
        assert_eq!(line(encode(&Event::Exited(exit)).unwrap()), text);
        assert_eq!(line(encode(&Event::Ok).unwrap()), "\"ok\"\n");
    }

    #[test]
    fn unknown_fields_and_kinds_of_another_version_are_read() {
        let event: Event = decode(br#"{"hello":{"v":9,"id":"x","shim":4,"colour":"blue"}}"#).unwrap();
        assert_eq!(event, Event::Hello { v: 9, id: "x".into(), shim: 4 });
        let event: Event = decode(br#"{"failed":{"kind":"moonphase","message":"m"}}"#).unwrap();
        let expected = Failure { kind: FailureKind::Unsupported, message: "m".into(), errno: None };
        assert_eq!(event, Event::Failed(expected));
        let attach: Request = decode(br#"{"attach":{"stdout":true}}"#).unwrap();
        assert_eq!(attach, Request::Attach(Attach { stdin: false, stdout: true, stderr: false }));
    }

    #[test]
    fn a_frame_header_is_dockers() {
        assert_eq!(frame_header(Stream::Stderr, 0x0102_0304), [2, 0, 0, 0, 1, 2, 3, 4]);
    }
}
