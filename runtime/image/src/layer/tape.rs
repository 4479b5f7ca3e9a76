//! Everything that is read from an archive runs over the tape: it is hashed, and what is not a file's contents is
//! recorded.

use std::cell::RefCell;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::split;
use crate::Digest;

/// Names, links and attributes of one entry stay far below; more is an attempt at the daemon's memory.
const HEADERS_MAX: usize = 16 * 1024 * 1024;
const BLOCK: u64 = 512;

/// What the bytes that come next are.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Headers of the next entry: recorded, and kept for a look at them.
    Header,
    /// Contents of a file, of which so many bytes are left: not recorded, the file holds them.
    Payload(u64),
    /// Anything else, recorded only.
    Other,
}

struct State {
    hasher: Sha256,
    /// None where the archive need not be written again.
    record: Option<split::Writer>,
    mode: Mode,
    position: u64,
    headers: Vec<u8>,
    trailing_zeros: u64,
}

/// The state that the reader and the extraction share.
pub(crate) struct Tape(RefCell<State>);

/// What the tape held at the end.
pub(super) struct Finished {
    pub(super) digest: Digest,
    /// Bytes of the uncompressed archive.
    pub(super) size: u64,
}

impl Tape {
    pub(super) fn new(record: split::Writer) -> Self {
        Self::of(Some(record))
    }

    /// A tape of an archive that is not kept.
    pub(crate) fn unrecorded() -> Self {
        Self::of(None)
    }

    fn of(record: Option<split::Writer>) -> Self {
        Self(RefCell::new(State {
            hasher: Sha256::new(),
            record,
            mode: Mode::Header,
            position: 0,
            headers: Vec::new(),
            trailing_zeros: 0,
        }))
    }

    pub(crate) fn reader<R: Read>(&self, inner: R) -> Reader<'_, R> {
        Reader { inner, tape: self }
    }

    /// The bytes since the last entry's contents, and where in the archive they begin.
    pub(crate) fn take_headers(&self) -> (u64, Vec<u8>) {
        let mut state = self.0.borrow_mut();
        let headers = std::mem::take(&mut state.headers);
        (state.position - headers.len() as u64, headers)
    }

    /// The next `length` bytes are the contents of the layer's file `path`.
    pub(crate) fn payload(&self, path: &[u8], length: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.mode = Mode::Payload(length);
        state.trailing_zeros = 0;
        state.record.as_mut().map_or(Ok(()), |record| record.payload(path, length))
    }

    /// What comes next is neither a header nor the contents of a plain file.
    pub(crate) fn other(&self) {
        self.0.borrow_mut().mode = Mode::Other;
    }

    /// What comes next are headers again.
    pub(crate) fn headers(&self) {
        let mut state = self.0.borrow_mut();
        state.mode = Mode::Header;
        state.trailing_zeros = 0;
    }

    /// Whether what was read last is a block of zeros, which marks the end of an archive. A header is never all zeros,
    /// and padding is shorter than a block.
    pub(super) fn at_end_marker(&self) -> bool {
        self.0.borrow().trailing_zeros >= BLOCK
    }

    pub(super) fn finish(self) -> io::Result<Finished> {
        let state = self.0.into_inner();
        state.record.map_or(Ok(()), split::Writer::finish)?;
        Ok(Finished { digest: Digest::finish(state.hasher), size: state.position })
    }
}

/// The archive as the tar library reads it.
pub(crate) struct Reader<'a, R> {
    inner: R,
    tape: &'a Tape,
}

impl<R: Read> Read for Reader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A read never runs over the end of a file's contents, or else recorded bytes would be taken for them.
        let limit = match self.tape.0.borrow().mode {
            Mode::Payload(left) if left > 0 => buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            _ => buffer.len(),
        };
        let count = self.inner.read(&mut buffer[..limit])?;
        self.tape.0.borrow_mut().pass(&buffer[..count])?;
        Ok(count)
    }
}

impl State {
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.record.is_some() {
            self.hasher.update(bytes);
        }
        self.position += bytes.len() as u64;
        match self.mode {
            Mode::Payload(left) if left > 0 => {
                self.mode = Mode::Payload(left - bytes.len() as u64);
                return Ok(());
            }
            Mode::Payload(_) => self.mode = Mode::Header,
            Mode::Header | Mode::Other => {}
        }
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        self.trailing_zeros = if zeros == bytes.len() { self.trailing_zeros } else { 0 } + zeros as u64;
        if matches!(self.mode, Mode::Header) {
            if self.headers.len() + bytes.len() > HEADERS_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an entry's headers exceed 16 MiB"));
            }
            self.headers.extend_from_slice(bytes);
        }
        self.record.as_mut().map_or(Ok(()), |record| record.raw(bytes))
    }
}
