//! What a shim is asked to make.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::container::Rootfs;

/// One container to make. It travels to the spawner in one datagram, so what is large (the OCI configuration) stays
/// in the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimRequest {
    /// The container's id.
    pub id: String,
    /// The OCI bundle: `config.json` is read from here.
    pub bundle: PathBuf,
    /// What becomes the container's root.
    pub rootfs: Rootfs,
    /// Where the container's output goes.
    pub log: LogConfig,
    /// An existing directory of the container's own. The shim listens on `shim.sock` in it.
    pub run_dir: PathBuf,
    /// Where [`crate::protocol::Exit`] is written when init has exited.
    pub exit_file: PathBuf,
    /// The container's network namespace.
    pub network: Network,
    /// Keep standard input open for attached clients; otherwise it is empty.
    pub open_stdin: bool,
    /// End standard input when the first client that was attached to it goes.
    pub stdin_once: bool,
}

/// Where a container's network namespace comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A new, empty one.
    New,
    /// The daemon's own.
    Host,
    /// The descriptor given to [`crate::Spawner::create`].
    Fd,
}

/// Where a container's output goes; nowhere by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The files that it can be read from.
    pub file: Option<FileLog>,
    /// The server that has it as well, or alone.
    pub remote: Option<RemoteLog>,
    /// Drop what finds no room in a buffer of so many bytes, instead of letting the container wait.
    pub buffer: Option<usize>,
}

/// How records are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Docker's json-file: an object a line.
    Json,
    /// Docker's local: protocol buffers.
    Local,
}

/// A log in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLog {
    /// The current file; older ones are beside it with `.1`, `.2`, … appended, `.1` the newest.
    pub path: PathBuf,
    /// The size in bytes at which a new file is begun.
    pub max_size: u64,
    /// How many files are kept, the current one included; at least 1.
    pub max_file: u32,
    /// Compress all but the current one.
    pub compress: bool,
    /// How records are written.
    pub format: LogFormat,
    /// Labels and variables that go with each record, in the JSON format.
    pub attributes: BTreeMap<String, String>,
}

impl FileLog {
    /// JSON at `path` with the default rotation: three files of 10 MiB.
    #[must_use]
    pub fn json(path: PathBuf) -> Self {
        let (max_size, max_file) = (10 * 1024 * 1024, 3);
        let format = LogFormat::Json;
        Self { path, max_size, max_file, compress: false, format, attributes: BTreeMap::new() }
    }

    /// Docker's local format at `path` with its rotation: five files of 20 MB, compressed.
    #[must_use]
    pub fn local(path: PathBuf) -> Self {
        let format = LogFormat::Local;
        Self { max_size: 20_000_000, max_file: 5, compress: true, format, ..Self::json(path) }
    }
}

/// A server that takes records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteLog {
    /// syslog, over the network or a socket of the host.
    Syslog(SyslogLog),
    /// systemd's journal, by its native protocol.
    Journald {
        /// The journal's socket.
        socket: PathBuf,
        /// Fields that go with each record.
        fields: Vec<(String, String)>,
    },
}

/// A syslog server and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogLog {
    /// Where it is.
    pub address: SyslogAddress,
    /// How a message looks.
    pub format: SyslogFormat,
    /// The facility's number, 0 to 23.
    pub facility: u8,
    /// What the messages say they are of.
    pub tag: String,
    /// The host's name.
    pub hostname: String,
}

/// Where a syslog server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogAddress {
    /// A socket of the host, of datagrams or a stream.
    Unix(PathBuf),
    /// `host:port`.
    Udp(String),
    /// `host:port`.
    Tcp(String),
}

/// How a syslog message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// As the C library writes it: without the host's name.
    #[default]
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, with times in seconds.
    Rfc5424,
    /// RFC 5424, with times in microseconds.
    Rfc5424Micro,
}
