//! Writing a log: splits output into records as Docker does, and rotates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;

use jiff::Timestamp;

use super::line;
use super::reader::numbered;
use crate::protocol::Stream;
use crate::shim::JsonFileLog;

/// The longest piece of a line that goes into one record, in bytes: Docker's.
const MAX_PIECE: usize = 16 * 1024;

/// Records are brought to the file together, up to about this many bytes.
const MAX_BATCH: usize = 64 * 1024;

/// Permissions of a log file, Docker's.
const MODE: u32 = 0o640;

/// A log being written. Writing never fails: what cannot be stored is dropped and counted, so that a full disk does
/// not stop the container.
#[derive(Debug)]
pub(crate) struct Writer {
    config: JsonFileLog,
    /// None if the file could not be opened; tried again with the next output.
    file: Option<File>,
    size: u64,
    /// Records on their way to the file.
    batch: Vec<u8>,
    stdout: Pending,
    stderr: Pending,
    dropped: u64,
    /// The last time written, as text: what is received together bears the same.
    time: (Timestamp, String),
}

/// The line a stream has begun.
#[derive(Debug, Default)]
struct Pending {
    text: Vec<u8>,
    /// When the line began, if parts of it have been written.
    since: Option<Timestamp>,
}

impl Writer {
    pub(crate) fn new(config: JsonFileLog) -> Self {
        let mut writer = Self {
            config,
            file: None,
            size: 0,
            batch: Vec::new(),
            stdout: Pending::default(),
            stderr: Pending::default(),
            dropped: 0,
            time: (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH.to_string()),
        };
        // Also a container that writes nothing has a log. A failure shows with the first output.
        let _ = writer.open();
        writer
    }

    /// How many bytes of records could not be stored.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes output that was received at `now`.
    pub(crate) fn write(&mut self, stream: Stream, mut output: &[u8], now: Timestamp) {
        while !output.is_empty() {
            let room = MAX_PIECE - self.pending(stream).text.len();
            let window = &output[..room.min(output.len())];
            let end = window.iter().position(|byte| *byte == b'\n');
            self.pending(stream).text.extend_from_slice(&window[..end.unwrap_or(window.len())]);
            if end.is_some() || window.len() == room {
                self.record(stream, end.is_some(), now);
            }
            output = &output[end.map_or(window.len(), |end| end + 1)..];
        }
        self.flush();
    }

    /// Writes what the streams have begun and not ended with a line feed: nothing more will come.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.pending(stream).text.is_empty() {
                self.record(stream, false, now);
            }
        }
        self.flush();
    }

    fn pending(&mut self, stream: Stream) -> &mut Pending {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Makes a record of what `stream` has pending.
    fn record(&mut self, stream: Stream, newline: bool, now: Timestamp) {
        if self.size + self.batch.len() as u64 >= self.config.max_size {
            self.flush();
            // A file that cannot be rotated grows on; the next record tries again.
            let _ = self.rotate();
        }
        let pending = self.pending(stream);
        let mut text = mem::take(&mut pending.text);
        let time =
            if newline { pending.since.take().unwrap_or(now) } else { *pending.since.get_or_insert(now) };
        if self.time.0 != time {
            self.time = (time, time.to_string());
        }
        line::append(&mut self.batch, &text, newline, stream, &self.time.1);
        text.clear();
        self.pending(stream).text = text;
        if self.batch.len() >= MAX_BATCH {
            self.flush();
        }
    }

    /// Brings the batch to the file, whole or not at all.
    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.append() {
            Ok(()) => self.size += self.batch.len() as u64,
            Err(_) => {
                self.dropped += self.batch.len() as u64;
                if let Some(file) = &self.file {
                    // Half a record would spoil the next one.
                    let _ = file.set_len(self.size);
                }
            }
        }
        self.batch.clear();
    }

    fn append(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.open()?;
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.batch))
    }

    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(&self.config.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Begins a new file and removes the oldest if there would be too many.
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.config.path;
        if self.config.max_file > 1 {
            for number in (1..self.config.max_file - 1).rev() {
                match fs::rename(numbered(path, number), numbered(path, number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(path, numbered(path, 1))?;
        } else {
            fs::remove_file(path)?;
        }
        self.file = None;
        self.size = 0;
        self.open()
    }
}

#[cfg(test)]
impl Writer {
    /// Puts another file in the place of the log's.
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = Some(file);
    }
}
