//! What a shim is asked to make.

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

/// A log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogConfig {
    /// Output is not kept.
    None,
    /// Docker's json-file format, rotated.
    JsonFile(JsonFileLog),
}

/// Options of the json-file driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonFileLog {
    /// The current file; older ones are beside it with `.1`, `.2`, … appended, `.1` the newest.
    pub path: PathBuf,
    /// The size in bytes at which a new file is begun.
    pub max_size: u64,
    /// How many files are kept, the current one included; at least 1.
    pub max_file: u32,
}

impl JsonFileLog {
    /// The driver at `path` with the default rotation: three files of 10 MiB.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, max_size: 10 * 1024 * 1024, max_file: 3 }
    }
}
