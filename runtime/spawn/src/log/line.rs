//! One line of a log file: Docker's format, written and read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::record::Record;
use crate::protocol::Stream;

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// The text, its line feed included. Without one it is a part of a longer line (Docker splits at 16 KiB), or
    /// what the container wrote last.
    pub log: String,
    /// Where the container wrote it.
    pub stream: Stream,
    /// When the shim received it; all parts of a line carry the time of the first.
    pub time: Timestamp,
    /// The container's labels and variables that its log is to have.
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
}

impl LogLine {
    /// Reads one line of a log file, with or without its line feed.
    ///
    /// # Errors
    /// The line is not of the json-file format.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// Appends one record in Docker's format to `out`. Bytes that are no UTF-8 become U+FFFD, one for each, as Docker
/// does; so do its escapes. `time` is RFC 3339.
pub(super) fn append(out: &mut Vec<u8>, record: &Record, attributes: &str, time: &str) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in record.text.utf8_chunks() {
        append_escaped(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    if record.newline {
        out.extend_from_slice(b"\\n");
    }
    let stream: &[u8] = match record.stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\"",
        Stream::Stderr => b"\",\"stream\":\"stderr\"",
    };
    out.extend_from_slice(stream);
    out.extend_from_slice(attributes.as_bytes());
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// The labels and variables of a log, as they stand in each of its records.
pub(super) fn attributes(attributes: &BTreeMap<String, String>) -> String {
    let text = serde_json::to_string(attributes).unwrap_or_default();
    if attributes.is_empty() { String::new() } else { format!(",\"attrs\":{text}") }
}

/// Text of which each byte that is no UTF-8 becomes U+FFFD.
pub(super) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Appends valid text with what JSON, and Docker beyond it, escapes.
fn append_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            0..0x20 | b'<' | b'>' | b'&' => b"",
            // U+2028 and U+2029 end a line in JavaScript: E2 80 A8 and E2 80 A9.
            0xe2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if byte == 0xe2 {
            out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            plain = at + 3;
        } else if escape.is_empty() {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "2026-11-23T22:30:14.5Z";

    fn record(text: &[u8], newline: bool, stream: Stream) -> Record {
        Record { stream, text: text.to_vec(), newline, ordinal: 0, time: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn labels_go_with_each_record() {
        let labels = BTreeMap::from([("a".to_owned(), "\"1\"".to_owned())]);
        let mut out = Vec::new();
        append(&mut out, &record(b"x", true, Stream::Stdout), &attributes(&labels), TIME);
        let expected =
            r#"{"log":"x\n","stream":"stdout","attrs":{"a":"\"1\""},"time":"2026-11-23T22:30:14.5Z"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
        assert_eq!(attributes(&BTreeMap::new()), "");
    }

    #[test]
    fn a_record_is_written_as_docker_writes_it() {
        let mut out = Vec::new();
        append(&mut out, &record(b"a\t\"b\\<&>\x1b[0m\r", true, Stream::Stderr), "", TIME);
        let expected = r#"{"log":"a\u0009\"b\\\u003c\u0026\u003e\u001b[0m\r\n","stream":"stderr","time":"2026-11-23T22:30:14.5Z"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn every_invalid_byte_becomes_a_replacement_character() {
        let mut out = Vec::new();
        append(&mut out, &record(b"\xff\xc3x\xe2\x80", false, Stream::Stdout), "", TIME);
        assert_eq!(lossy(b"\xff\xc3x\xe2\x80"), LogLine::parse(&out).unwrap().log);
        assert_eq!(LogLine::parse(&out).unwrap().log, "\u{fffd}\u{fffd}x\u{fffd}\u{fffd}");
    }

    #[test]
    fn attributes_are_read_back() {
        let line =
            br#"{"log":"x\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-11-23T22:30:14.123456789Z"}"#;
        let line = LogLine::parse(line).unwrap();
        assert_eq!((line.log.as_str(), line.time.subsec_nanosecond()), ("x\n", 123_456_789));
        assert_eq!(line.attrs, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }

    proptest! {
        #[test]
        fn text_survives(text in "\\PC*|[\\x00-\\x7f\u{2028}\u{2029}]*", newline: bool) {
            let mut out = Vec::new();
            append(&mut out, &record(text.as_bytes(), newline, Stream::Stdout), "", TIME);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let expected = if newline { format!("{text}\n") } else { text };
            prop_assert_eq!(LogLine::parse(&out).unwrap(), LogLine { log: expected, stream: Stream::Stdout, time: TIME.parse().unwrap(), attrs: BTreeMap::new() });
        }
    }
}
