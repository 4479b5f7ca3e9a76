//! Writing a log, to a file and to a server.

use jiff::Timestamp;

use super::file::FileWriter;
use super::record::{Record, Splitter};
use super::remote::Remote;
use super::worker::Worker;
use crate::protocol::Stream;
use crate::shim::LogConfig;

/// Where records go.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    pub(super) file: Option<FileWriter>,
    pub(super) remote: Option<Remote>,
}

impl Sinks {
    pub(super) fn record(&mut self, record: &Record) {
        if let Some(file) = &mut self.file {
            file.record(record);
        }
        if let Some(remote) = &mut self.remote {
            remote.record(record);
        }
    }

    pub(super) fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        let file = self.file.as_ref().map_or(0, FileWriter::dropped);
        file + self.remote.as_ref().map_or(0, Remote::dropped)
    }

    /// Waits for what is under way.
    pub(super) fn close(&mut self) {
        self.flush();
        if let Some(file) = &mut self.file {
            file.close();
        }
    }
}

/// A log being written. Writing never fails: what cannot be stored is dropped and counted, so that a full disk does
/// not stop the container.
#[derive(Debug)]
pub(crate) struct Writer {
    splitter: Splitter,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Into the page cache, which does not make anyone wait.
    Direct(Box<Sinks>),
    /// Over a connection, or to a disk that the container must not wait for.
    Worker(Worker),
}

impl Writer {
    /// The log that `config` describes; none if it keeps none.
    ///
    /// # Errors
    /// The server that is to have it cannot be reached.
    pub(crate) fn open(config: &LogConfig) -> std::io::Result<Option<Self>> {
        let sinks = Sinks {
            file: config.file.clone().map(FileWriter::new),
            remote: config.remote.as_ref().map(Remote::connect).transpose()?,
        };
        if sinks.file.is_none() && sinks.remote.is_none() {
            return Ok(None);
        }
        let direct = sinks.remote.is_none() && config.buffer.is_none();
        let way = if direct {
            Way::Direct(Box::new(sinks))
        } else {
            Way::Worker(Worker::start(sinks, config.buffer)?)
        };
        Ok(Some(Self { splitter: Splitter::default(), way }))
    }

    /// How many bytes of records could not be stored.
    pub(crate) fn dropped(&self) -> u64 {
        match &self.way {
            Way::Direct(sinks) => sinks.dropped(),
            Way::Worker(worker) => worker.dropped(),
        }
    }

    /// Takes output that was received at `now`.
    pub(crate) fn write(&mut self, stream: Stream, output: &[u8], now: Timestamp) {
        match &mut self.way {
            Way::Direct(sinks) => {
                self.splitter.push(stream, output, now, |record| {
                    sinks.record(&record);
                    record.text
                });
                sinks.flush();
            }
            Way::Worker(worker) => self.splitter.push(stream, output, now, |record| worker.push(record)),
        }
    }

    /// Writes what the streams have begun and not ended with a line feed: nothing more will come.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        let rest = self.splitter.finish(now);
        match &mut self.way {
            Way::Direct(sinks) => {
                rest.iter().for_each(|record| sinks.record(record));
                sinks.close();
            }
            Way::Worker(worker) => {
                for record in rest {
                    worker.push(record);
                }
                worker.finish();
            }
        }
    }

    /// Whether the container has to wait until the log takes more.
    pub(crate) fn is_full(&self) -> bool {
        matches!(&self.way, Way::Worker(worker) if worker.is_full())
    }

    /// Readable when a log that was full takes more.
    pub(crate) fn room(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        match &self.way {
            Way::Direct(_) => None,
            Way::Worker(worker) => Some(worker.room()),
        }
    }
}

#[cfg(test)]
impl Writer {
    /// A log in a file alone.
    pub(super) fn new(config: crate::shim::FileLog) -> Self {
        let sinks = Sinks { file: Some(FileWriter::new(config)), remote: None };
        Self { splitter: Splitter::default(), way: Way::Direct(Box::new(sinks)) }
    }

    /// Puts another file in the place of the log's.
    pub(super) fn replace_file(&mut self, file: std::fs::File) {
        if let Way::Direct(sinks) = &mut self.way
            && let Some(writer) = &mut sinks.file
        {
            writer.replace_file(file);
        }
    }
}
