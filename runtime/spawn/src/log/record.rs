//! From a stream of bytes to records: one for each line, and several for a long one.

use std::mem;

use jiff::Timestamp;

use crate::protocol::Stream;

/// The longest piece of a line that goes into one record, in bytes: Docker's.
const MAX_PIECE: usize = 16 * 1024;

/// One record on its way to where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) stream: Stream,
    /// Without the line feed.
    pub(super) text: Vec<u8>,
    /// Whether the line ends with it.
    pub(super) newline: bool,
    /// Which piece of its line it is.
    pub(super) ordinal: u32,
    /// When the line began.
    pub(super) time: Timestamp,
}

/// What both streams have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    stdout: Pending,
    stderr: Pending,
}

/// The line a stream has begun.
#[derive(Debug, Default)]
struct Pending {
    text: Vec<u8>,
    /// How many pieces of it have been given away, and when it began if any have.
    pieces: u32,
    since: Option<Timestamp>,
}

impl Splitter {
    /// Takes output that was received at `now`, and gives the records it completes to `take`, which gives each back for
    /// its memory.
    pub(super) fn push(
        &mut self,
        stream: Stream,
        mut output: &[u8],
        now: Timestamp,
        mut take: impl FnMut(Record) -> Vec<u8>,
    ) {
        let pending = self.pending(stream);
        while !output.is_empty() {
            let room = MAX_PIECE - pending.text.len();
            let window = &output[..room.min(output.len())];
            let end = window.iter().position(|byte| *byte == b'\n');
            pending.text.extend_from_slice(&window[..end.unwrap_or(window.len())]);
            if end.is_some() || window.len() == room {
                let mut text = take(pending.record(stream, end.is_some(), now));
                text.clear();
                pending.text = text;
            }
            output = &output[end.map_or(window.len(), |end| end + 1)..];
        }
    }

    /// What the streams have begun and not ended with a line feed: nothing more will come.
    pub(super) fn finish(&mut self, now: Timestamp) -> Vec<Record> {
        let mut records = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pending = self.pending(stream);
            if !pending.text.is_empty() {
                records.push(pending.record(stream, false, now));
            }
        }
        records
    }

    fn pending(&mut self, stream: Stream) -> &mut Pending {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Pending {
    fn record(&mut self, stream: Stream, newline: bool, now: Timestamp) -> Record {
        let time = *self.since.get_or_insert(now);
        let (text, ordinal) = (mem::take(&mut self.text), self.pieces);
        self.pieces += 1;
        if newline {
            (self.since, self.pieces) = (None, 0);
        }
        Record { stream, text, newline, ordinal, time }
    }
}
