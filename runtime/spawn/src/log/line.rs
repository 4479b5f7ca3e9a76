//! One line of a log file: Docker's format, written and read.

use jiff::Timestamp;
use serde::Deserialize;

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
pub(super) fn append(out: &mut Vec<u8>, text: &[u8], newline: bool, stream: Stream, time: &str) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in text.utf8_chunks() {
        append_escaped(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    if newline {
        out.extend_from_slice(b"\\n");
    }
    let stream: &[u8] = match stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\",\"time\":\"",
        Stream::Stderr => b"\",\"stream\":\"stderr\",\"time\":\"",
    };
    out.extend_from_slice(stream);
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
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

    #[test]
    fn a_record_is_written_as_docker_writes_it() {
        let mut out = Vec::new();
        append(&mut out, b"a\t\"b\\<&>\x1b[0m\r", true, Stream::Stderr, TIME);
        let expected = r#"{"log":"a\u0009\"b\\\u003c\u0026\u003e\u001b[0m\r\n","stream":"stderr","time":"2026-11-23T22:30:14.5Z"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn every_invalid_byte_becomes_a_replacement_character() {
        let mut out = Vec::new();
        append(&mut out, b"\xff\xc3x\xe2\x80", false, Stream::Stdout, TIME);
        assert_eq!(LogLine::parse(&out).unwrap().log, "\u{fffd}\u{fffd}x\u{fffd}\u{fffd}");
    }

    #[test]
    fn dockers_extra_attributes_are_ignored() {
        let line =
            br#"{"log":"x\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-11-23T22:30:14.123456789Z"}"#;
        let line = LogLine::parse(line).unwrap();
        assert_eq!((line.log.as_str(), line.time.subsec_nanosecond()), ("x\n", 123_456_789));
    }

    proptest! {
        #[test]
        fn text_survives(text in "\\PC*|[\\x00-\\x7f\u{2028}\u{2029}]*", newline: bool) {
            let mut out = Vec::new();
            append(&mut out, text.as_bytes(), newline, Stream::Stdout, TIME);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let expected = if newline { format!("{text}\n") } else { text };
            prop_assert_eq!(LogLine::parse(&out).unwrap(), LogLine { log: expected, stream: Stream::Stdout, time: TIME.parse().unwrap() });
        }
    }
}
