//! Reading a log back, across rotated files, also while it is being written.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::LogLine;

/// How far the reader steps back at a time while it looks for the tail, in bytes.
const STEP: u64 = 64 * 1024;

/// Which records of a log to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Begin with this many of the newest records, counted before the times are looked at, as Docker does.
    pub tail: Option<usize>,
    /// Leave out records before this time.
    pub since: Option<Timestamp>,
    /// End at the first record after this time.
    pub until: Option<Timestamp>,
}

/// A position in a container's log. It stays valid while the log grows and rotates: after the end has been reached,
/// [`Reader::next_line`] can be called again once the directory has changed.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    options: ReadOptions,
    /// Files still to be read, oldest first; the first is being read.
    files: VecDeque<Source>,
    /// The unfinished record at the end of what was read.
    partial: Vec<u8>,
    /// Records that were not of the json-file format.
    malformed: u64,
    ended: bool,
}

/// One open log file.
#[derive(Debug)]
struct Source {
    file: BufReader<File>,
    identity: (u64, u64),
}

impl Source {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let meta = file.metadata()?;
                Ok(Some(Self { file: BufReader::new(file), identity: (meta.dev(), meta.ino()) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Reader {
    /// Opens the log whose current file is `path`. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// A file exists but cannot be opened or read.
    pub fn open(path: &Path, options: ReadOptions) -> io::Result<Self> {
        let files = open_since(path, None)?;
        let mut reader =
            Self { path: path.to_owned(), options, files, partial: Vec::new(), malformed: 0, ended: false };
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
        while !self.ended {
            if self.files.is_empty() {
                self.files = open_since(&self.path, None)?;
            }
            let Some(source) = self.files.front_mut() else { return Ok(None) };
            source.file.read_until(b'\n', &mut self.partial)?;
            if self.partial.last() == Some(&b'\n') {
                let line = LogLine::parse(&self.partial);
                self.partial.clear();
                match line {
                    Ok(line) if self.options.until.is_some_and(|until| line.time > until) => {
                        self.ended = true;
                    }
                    Ok(line) if self.options.since.is_some_and(|since| line.time < since) => {}
                    Ok(line) => return Ok(Some(line)),
                    Err(_) => self.malformed += 1,
                }
            } else if !self.advance()? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Whether the record after [`ReadOptions::until`] has been reached: nothing will follow.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// How many records were left out because they were not of the json-file format.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Goes on to the next newer file; false if the one just read is the current one.
    fn advance(&mut self) -> io::Result<bool> {
        if self.files.len() == 1 {
            let newer = match self.files.front() {
                Some(source) => open_since(&self.path, Some(source.identity))?,
                None => VecDeque::new(),
            };
            if newer.is_empty() {
                return Ok(false);
            }
            // The writer may have appended between our reaching the end and its rotation.
            if let Some(source) = self.files.front_mut() {
                source.file.read_until(b'\n', &mut self.partial)?;
                if self.partial.last() == Some(&b'\n') {
                    // Read once more from the start of the loop, which finds this record complete.
                    let back = i64::try_from(self.partial.len()).map_err(io::Error::other)?;
                    source.file.seek_relative(-back)?;
                    self.partial.clear();
                    return Ok(true);
                }
            }
            self.files.extend(newer);
        }
        // What a file ends with, without a line feed, is never finished in the next one.
        self.malformed += u64::from(!self.partial.is_empty());
        self.partial.clear();
        self.files.pop_front();
        Ok(true)
    }

    /// Positions the reader before the `tail` newest records.
    fn seek_tail(&mut self, tail: usize) -> io::Result<()> {
        let mut wanted = tail;
        for index in (0..self.files.len()).rev() {
            let source = &mut self.files[index];
            let (found, offset) = find_tail(source.file.get_mut(), wanted)?;
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

/// Counts records from the file's end; stops at the offset where `wanted` begin, or at the file's start.
fn find_tail(file: &mut File, wanted: usize) -> io::Result<(usize, u64)> {
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

/// Opens the log's files that are newer than the one with `identity` (all, if it is none of them any more), oldest
/// first. They are opened newest first, so that a rotation meanwhile shows one twice instead of hiding one.
fn open_since(path: &Path, identity: Option<(u64, u64)>) -> io::Result<VecDeque<Source>> {
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
