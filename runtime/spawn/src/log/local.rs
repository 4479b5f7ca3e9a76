//! Docker's format of the driver `local`: protocol buffers, each between its length written twice, so that the file can be
//! read from both ends.
//!
//! ```text
//! length (4 bytes, big endian) | source = 1, time_nano = 2, line = 3, partial = 4, partial_log_metadata = 5 | length
//!                                partial_log_metadata: last = 1, id = 2, ordinal = 3
//! ```

use jiff::Timestamp;

use super::LogLine;
use super::record::Record;
use crate::protocol::Stream;

/// Bytes of a length.
pub(super) const LENGTH: usize = 4;

/// The longest message that is believed, in bytes; beyond it the file is damaged.
pub(super) const MAX_MESSAGE: usize = 1024 * 1024;

/// Kinds of fields.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// Appends a record.
pub(super) fn append(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    let source: &[u8] = match record.stream {
        Stream::Stdout => b"stdout",
        Stream::Stderr => b"stderr",
    };
    bytes(out, 1, source);
    let nanoseconds = i64::try_from(record.time.as_nanosecond()).unwrap_or(i64::MAX);
    number(out, 2, nanoseconds.cast_unsigned());
    bytes(out, 3, &record.text);
    // A whole line is no part of one.
    if !record.newline || record.ordinal > 0 {
        number(out, 4, 1);
        let mut metadata = Vec::with_capacity(48);
        number(&mut metadata, 1, record.newline.into());
        // All parts of a line bear the same name: when it began, and where.
        bytes(&mut metadata, 2, format!("{nanoseconds:x}-{}", record.stream as u8).as_bytes());
        number(&mut metadata, 3, u64::from(record.ordinal) + 1);
        bytes(out, 5, &metadata);
    }
    let length = u32::try_from(out.len() - start - LENGTH).unwrap_or(u32::MAX).to_be_bytes();
    out[start..start + LENGTH].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Zero is what a missing number means.
fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        varint(out, field << 3 | VARINT);
        varint(out, value);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a message, without its lengths. `None`: it is none.
pub(super) fn parse(message: &[u8]) -> Option<LogLine> {
    let (mut stream, mut time, mut text, mut ends) = (Stream::Stdout, 0, Vec::new(), true);
    let mut fields = Fields(message);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(b"stderr")) => stream = Stream::Stderr,
            (2, Value::Number(number)) => time = number.cast_signed(),
            (3, Value::Bytes(line)) => text = line.to_vec(),
            (5, Value::Bytes(metadata)) => {
                ends = false;
                let mut metadata = Fields(metadata);
                while let Some((field, value)) = metadata.next()? {
                    ends |= matches!((field, value), (1, Value::Number(1)));
                }
            }
            _ => {}
        }
    }
    if ends {
        text.push(b'\n');
    }
    let time = Timestamp::from_nanosecond(time.into()).ok()?;
    let log = String::from_utf8(text).unwrap_or_else(|error| super::line::lossy(error.as_bytes()));
    Some(LogLine { log, stream, time, attrs: Default::default() })
}

/// The rest of a message.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// The next field and its value; `None` in the middle of one.
    #[allow(clippy::option_option, reason = "the outer one is an error, the inner one the end")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            VARINT => Value::Number(self.varint()?),
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (value, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str, newline: bool, ordinal: u32) -> Record {
        Record {
            stream: Stream::Stderr,
            text: text.into(),
            newline,
            ordinal,
            time: Timestamp::from_nanosecond(1_700_000_000_000_000_001).unwrap(),
        }
    }

    #[test]
    fn a_line_is_dockers_message_between_its_lengths() {
        let mut out = Vec::new();
        append(&mut out, &record("hi", true, 0));
        let message = b"\x0a\x06stderr\x10\x81\x80\xa8\xb1\xe3\x9f\xe7\xcb\x17\x1a\x02hi";
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        assert_eq!(out, [&length[..], message, &length].concat());
    }

    #[test]
    fn what_is_appended_is_parsed() {
        for (text, newline, ordinal, log) in [
            ("hi", true, 0, "hi\n"),
            ("", true, 0, "\n"),
            ("part", false, 0, "part"),
            ("end", true, 1, "end\n"),
        ] {
            let mut out = Vec::new();
            append(&mut out, &record(text, newline, ordinal));
            let line = parse(&out[LENGTH..out.len() - LENGTH]).unwrap();
            assert_eq!((line.log.as_str(), line.stream), (log, Stream::Stderr));
            assert_eq!(line.time, record(text, newline, ordinal).time);
            for cut in 1..out.len() - 2 * LENGTH {
                // In the middle of a field it is no message; between two it may be a shorter one.
                let _ = parse(&out[LENGTH..LENGTH + cut]);
            }
        }
        assert!(parse(b"\x1a\x7fshort").is_none());
    }
}
