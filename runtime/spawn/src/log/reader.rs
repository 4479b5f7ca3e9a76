//! Reading a log back, across rotated files, also while it is being written.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{LogLine, compress, local};
use crate::shim::LogFormat;

/// How far the reader steps back at a time while it looks for the tail, in bytes.
const STEP: u64 = 64 * 1024;

/// Which records of a log to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Begin with this many of the newest records, counted before the times are looked at, as Docker does.
    pub tail: Option<usize>,
    /// Leave out records before this time.
    pub since: Option<Timestamp>,
    /// Leave out records after this time. They are not the end: where the clock was set back, earlier ones follow.
    pub until: Option<Timestamp>,
}

/// A position in a container's log. It stays valid while the log grows and rotates: after the end has been reached,
/// [`Reader::next_line`] can be called again once the directory has changed.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    format: LogFormat,
    options: ReadOptions,
    /// Files still to be read, oldest first; the first is being read.
    files: VecDeque<Source>,
    /// The record being read.
    record: Vec<u8>,
    /// Records that were not of the log's format.
    malformed: u64,
}

/// What tells a file from others, also when it has been moved or compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    /// When it was made, in nanoseconds; 0 where the file system does not know.
    pub(super) born: u64,
}

impl Identity {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..].copy_from_slice(&self.born.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (inode, born) = bytes.split_first_chunk::<8>()?;
        Some(Self { inode: u64::from_le_bytes(*inode), born: u64::from_le_bytes(born.try_into().ok()?) })
    }
}

/// One open log file.
#[derive(Debug)]
struct Source {
    file: BufReader<File>,
    identity: Identity,
}

impl Source {
    /// Opens a file, or what it was compressed to.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let opened = match File::open(path) {
            Ok(file) => {
                let identity = compress::identity(&file)?;
                Ok((file, identity))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => compress::open(&compressed(path)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((file, identity)) => Ok(Some(Self { file: BufReader::new(file), identity })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a record into `record`; false, and the position stays, if there is no whole one.
    fn read(&mut self, format: LogFormat, record: &mut Vec<u8>) -> io::Result<bool> {
        record.clear();
        let whole = match format {
            LogFormat::Json => {
                self.file.read_until(b'\n', record)?;
                record.last() == Some(&b'\n')
            }
            LogFormat::Local => self.read_message(record)?,
        };
        if !whole {
            self.file.seek_relative(-i64::try_from(record.len()).map_err(io::Error::other)?)?;
        }
        Ok(whole)
    }

    /// Reads a message with its two lengths.
    fn read_message(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let mut file = self.file.by_ref();
        file.take(local::LENGTH as u64).read_to_end(record)?;
        let Some(length) = record.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
            return Ok(false);
        };
        if length > local::MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record's length is damaged"));
        }
        file = self.file.by_ref();
        file.take((length + local::LENGTH) as u64).read_to_end(record)?;
        Ok(record.len() == length + 2 * local::LENGTH)
    }
}

impl Reader {
    /// Opens the log whose current file is `path`. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// A file exists but cannot be opened or read.
    pub fn open(path: &Path, format: LogFormat, options: ReadOptions) -> io::Result<Self> {
        let files = open_since(path, None)?;
        let path = path.to_owned();
        let mut reader = Self { path, format, options, files, record: Vec::new(), malformed: 0 };
        if let Some(tail) = reader.options.tail {
            reader.seek_tail(tail)?;
        }
        Ok(reader)
    }

    /// The next record, or `None` if there is none at present.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<LogLine>> {
        loop {
            if self.files.is_empty() {
                self.files = open_since(&self.path, None)?;
            }
            let Some(source) = self.files.front_mut() else { return Ok(None) };
            if !source.read(self.format, &mut self.record)? {
                if self.advance()? {
                    continue;
                }
                return Ok(None);
            }
            match parse(self.format, &self.record) {
                Some(line) if self.options.until.is_some_and(|until| line.time > until) => {}
                Some(line) if self.options.since.is_some_and(|since| line.time < since) => {}
                Some(line) => return Ok(Some(line)),
                None => self.malformed += 1,
            }
        }
    }

    /// How many records were left out because they were not of the log's format.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Goes on to the next newer file, or reads on where the writer has appended; false if nothing is new.
    fn advance(&mut self) -> io::Result<bool> {
        let unfinished = self.record.len();
        if self.files.len() == 1 {
            let Some(source) = self.files.front_mut() else { return Ok(false) };
            let newer = open_since(&self.path, Some(source.identity))?;
            if newer.is_empty() {
                return Ok(false);
            }
            // The writer may have appended between our reaching the end and its rotation.
            let mut record = Vec::new();
            if source.read(self.format, &mut record)? {
                source.file.seek_relative(-i64::try_from(record.len()).map_err(io::Error::other)?)?;
                return Ok(true);
            }
            self.files.extend(newer);
        }
        // What a file ends with in the middle of a record is never finished in the next one.
        self.malformed += u64::from(unfinished > 0);
        self.files.pop_front();
        Ok(true)
    }

    /// Positions the reader before the `tail` newest records.
    fn seek_tail(&mut self, tail: usize) -> io::Result<()> {
        let mut wanted = tail;
        for index in (0..self.files.len()).rev() {
            let source = &mut self.files[index];
            let (found, offset) = match self.format {
                LogFormat::Json => find_lines(source.file.get_mut(), wanted)?,
                LogFormat::Local => find_messages(source.file.get_mut(), wanted)?,
            };
            wanted -= found;
            if wanted == 0 {
                source.file.seek(SeekFrom::Start(offset))?;
                self.files.drain(..index);
                return Ok(());
            }
            source.file.rewind()?;
        }
        Ok(())
    }
}

fn parse(format: LogFormat, record: &[u8]) -> Option<LogLine> {
    match format {
        LogFormat::Json => LogLine::parse(record).ok(),
        LogFormat::Local => local::parse(record.get(local::LENGTH..record.len() - local::LENGTH)?),
    }
}

/// Counts lines from the file's end; stops at the offset where `wanted` begin, or at the file's start.
fn find_lines(file: &mut File, wanted: usize) -> io::Result<(usize, u64)> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut buffer = Vec::new();
    let mut found = 0;
    // The last record's own line feed does not begin another; what follows it is unfinished.
    let mut boundary = false;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        buffer.clear();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut buffer)?;
        for (at, _) in buffer.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if boundary {
                found += 1;
            }
            boundary = true;
            if found == wanted {
                return Ok((found, start + at as u64 + 1));
            }
        }
        end = start;
    }
    Ok((found + usize::from(boundary), 0))
}

/// The same for messages, whose lengths lead from one to the one before. A writer brings whole messages to the file, so
/// that its end is a message's.
fn find_messages(file: &mut File, wanted: usize) -> io::Result<(usize, u64)> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut found = 0;
    while found < wanted && end > 0 {
        let mut length = [0; local::LENGTH];
        file.seek(SeekFrom::Start(end.saturating_sub(local::LENGTH as u64)))?;
        file.read_exact(&mut length)?;
        let size = u64::from(u32::from_be_bytes(length)) + 2 * local::LENGTH as u64;
        // Damaged: what comes before cannot be found from here.
        let Some(start) = end.checked_sub(size) else { break };
        (end, found) = (start, found + 1);
    }
    Ok((found, end))
}

/// Opens the log's files that are newer than the one with `identity` (all, if it is none of them any more), oldest
/// first. They are opened newest first, so that a rotation meanwhile shows one twice instead of hiding one.
fn open_since(path: &Path, identity: Option<Identity>) -> io::Result<VecDeque<Source>> {
    let mut files: VecDeque<Source> = VecDeque::new();
    for number in 0.. {
        match Source::open(&numbered(path, number))? {
            Some(source) if Some(source.identity) == identity => break,
            Some(source) if files.front().is_some_and(|newer| newer.identity == source.identity) => {}
            Some(source) => files.push_front(source),
            // In the middle of a rotation there is no current file, but an older one.
            None if number == 0 => {}
            None => break,
        }
    }
    Ok(files)
}

/// The path of the log's file that was current `number` rotations ago.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The path of a log's file when it is compressed.
pub(super) fn compressed(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".gz");
    PathBuf::from(name)
}
