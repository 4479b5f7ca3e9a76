//! systemd's journal, by its native protocol: a datagram of fields for each record.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::log::record::Record;
use crate::protocol::Stream;

#[derive(Debug)]
pub(super) struct Journald {
    path: PathBuf,
    socket: UnixDatagram,
    /// What is the same in every datagram.
    fields: Vec<u8>,
    datagram: Vec<u8>,
}

impl Journald {
    pub(super) fn connect(path: &Path, fields: &[(String, String)]) -> io::Result<Self> {
        let mut fixed = Vec::new();
        for (name, value) in fields {
            field(&mut fixed, name, value.as_bytes());
        }
        let socket = connect(path)
            .map_err(|error| io::Error::new(error.kind(), format!("connect {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), socket, fields: fixed, datagram: Vec::new() })
    }

    pub(super) fn send(&mut self, record: &Record) -> io::Result<()> {
        compose(&mut self.datagram, record, &self.fields);
        if self.socket.send(&self.datagram).is_ok() {
            return Ok(());
        }
        // The journal was started anew: its socket is another one.
        self.socket = connect(&self.path)?;
        self.socket.send(&self.datagram).map(drop)
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn compose(out: &mut Vec<u8>, record: &Record, fields: &[u8]) {
    // Docker's priorities: informational, and error.
    let priority: &[u8] = match record.stream {
        Stream::Stdout => b"6",
        Stream::Stderr => b"3",
    };
    out.clear();
    field(out, "MESSAGE", &record.text);
    field(out, "PRIORITY", priority);
    field(out, "SYSLOG_TIMESTAMP", record.time.to_string().as_bytes());
    if !record.newline {
        field(out, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    out.extend_from_slice(fields);
}

/// A field on a line of its own; one that is no line is written with its length.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_record_is_a_datagram_of_fields() {
        let record = Record {
            stream: Stream::Stderr,
            text: b"oh = no".to_vec(),
            newline: false,
            ordinal: 0,
            time: Timestamp::UNIX_EPOCH,
        };
        let mut fields = Vec::new();
        field(&mut fields, "CONTAINER_NAME", b"web");
        field(&mut fields, "LABEL", b"a\nb");
        let mut out = Vec::new();
        compose(&mut out, &record, &fields);
        let expected = b"MESSAGE=oh = no\nPRIORITY=3\nSYSLOG_TIMESTAMP=1970-01-01T00:00:00Z\n\
            CONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_NAME=web\nLABEL\n\x03\0\0\0\0\0\0\0a\nb\n";
        assert_eq!(out, expected);
    }
}
