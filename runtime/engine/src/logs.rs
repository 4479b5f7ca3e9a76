//! A container's log as a stream.

mod follow;

use std::collections::BTreeMap;

use beeline_spawn::protocol::Stream;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::error::Error;

pub(crate) use follow::open;

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Only the last so many records; all if not given.
    pub tail: Option<usize>,
    /// Only records of this moment or later.
    pub since: Option<Timestamp>,
    /// Only records before this moment.
    pub until: Option<Timestamp>,
    /// Go on until the container ends.
    pub follow: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Which of the container's streams.
    pub stream: Stream,
    /// When it was written.
    pub time: Timestamp,
    /// The text, its line feed included.
    pub bytes: bytes::Bytes,
    /// The labels and variables that the log driver was told to keep.
    pub attributes: BTreeMap<String, String>,
}

/// A container's log. Also a `futures` stream.
#[derive(Debug)]
pub struct LogStream {
    /// Whether the container has a terminal: entries are sent raw.
    pub tty: bool,
    pub(crate) entries: mpsc::Receiver<Result<LogEntry, Error>>,
}

impl LogStream {
    /// The next record; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<LogEntry, Error>> {
        self.entries.recv().await
    }
}

impl futures_util::Stream for LogStream {
    type Item = Result<LogEntry, Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.entries.poll_recv(context)
    }
}
