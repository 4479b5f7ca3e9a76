//! A log in files, rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use jiff::Timestamp;

use super::compress::{self, Compression};
use super::reader::{compressed, numbered};
use super::record::Record;
use super::{line, local};
use crate::shim::{FileLog, LogFormat};

/// Records are brought to the file together, up to about this many bytes.
const MAX_BATCH: usize = 64 * 1024;

/// Permissions of a log file, Docker's.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct FileWriter {
    config: FileLog,
    /// The labels and variables that go with each record, as JSON.
    attributes: String,
    /// None if the file could not be opened; tried again with the next output.
    file: Option<File>,
    size: u64,
    /// Records on their way to the file.
    batch: Vec<u8>,
    dropped: u64,
    /// The last time written, as text: what is received together bears the same.
    time: (Timestamp, String),
    compression: Option<Compression>,
}

impl FileWriter {
    pub(super) fn new(config: FileLog) -> Self {
        let attributes = line::attributes(&config.attributes);
        let mut writer = Self {
            config,
            attributes,
            file: None,
            size: 0,
            batch: Vec::new(),
            dropped: 0,
            time: (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH.to_string()),
            compression: None,
        };
        // Also a container that writes nothing has a log. A failure shows with the first output.
        let _ = writer.open();
        writer
    }

    /// How many bytes of records could not be stored.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a record.
    pub(super) fn record(&mut self, record: &Record) {
        if self.size + self.batch.len() as u64 >= self.config.max_size {
            self.flush();
            // A file that cannot be rotated grows on; the next record tries again.
            let _ = self.rotate();
        }
        match self.config.format {
            LogFormat::Json => {
                if self.time.0 != record.time {
                    self.time = (record.time, record.time.to_string());
                }
                line::append(&mut self.batch, record, &self.attributes, &self.time.1);
            }
            LogFormat::Local => local::append(&mut self.batch, record),
        }
        if self.batch.len() >= MAX_BATCH {
            self.flush();
        }
    }

    /// Brings the batch to the file, whole or not at all.
    pub(super) fn flush(&mut self) {
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

    /// Waits for the file that is being compressed.
    pub(super) fn close(&mut self) {
        if let Some(compression) = self.compression.take() {
            compression.wait();
        }
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
        // The numbers of files must not change while one is being compressed; as in Docker, this waits for it.
        self.close();
        let path = self.config.path.clone();
        if self.config.max_file > 1 {
            for number in (1..self.config.max_file).rev() {
                let (from, to) = (numbered(&path, number), numbered(&path, number + 1));
                if number + 1 == self.config.max_file {
                    remove(&from)?;
                    remove(&compressed(&from))?;
                } else {
                    rename(&from, &to)?;
                    rename(&compressed(&from), &compressed(&to))?;
                }
            }
            fs::rename(&path, numbered(&path, 1))?;
            if self.config.compress {
                self.compression = compress::start(numbered(&path, 1));
            }
        } else {
            fs::remove_file(&path)?;
        }
        self.file = None;
        self.size = 0;
        self.open()
    }
}

fn rename(from: &PathBuf, to: &PathBuf) -> io::Result<()> {
    allow_missing(fs::rename(from, to))
}

fn remove(path: &PathBuf) -> io::Result<()> {
    allow_missing(fs::remove_file(path))
}

fn allow_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
impl FileWriter {
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = Some(file);
    }
}
