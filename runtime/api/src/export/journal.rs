//! systemd's journal, by its native protocol: a datagram of fields for each line.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// What is the same in every datagram: informational, and who says it.
const FIELDS: &[u8] = b"PRIORITY=6\nSYSLOG_IDENTIFIER=beeline\n";

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Journal {
    pub(super) fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        Ok(Self { socket: connect(&path)?, path })
    }

    /// Sends a line. It has no line feed but that at its end, so the field needs no length.
    pub(super) fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let datagram = [b"MESSAGE=", line, FIELDS].concat();
        if self.socket.send(&datagram).is_ok() {
            return Ok(());
        }
        // The journal was started anew: its socket is another one.
        self.socket = connect(&self.path)?;
        self.socket.send(&datagram).map(drop)
    }
}

fn connect(path: &PathBuf) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_message_also_after_the_journal_was_started_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listen = || {
            let _ = std::fs::remove_file(&path);
            UnixDatagram::bind(&path).unwrap()
        };
        let received = |journal: &UnixDatagram| {
            let mut buffer = [0; 200];
            let length = journal.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let first = listen();
        let mut sender = Journal::open(&path).unwrap();
        sender.send(b"{\"flow\":{}}\n").unwrap();
        let message = "MESSAGE={\"flow\":{}}\nPRIORITY=6\nSYSLOG_IDENTIFIER=beeline\n";
        assert_eq!(received(&first), message);
        drop(first);
        let second = listen();
        sender.send(b"{\"flow\":{}}\n").unwrap();
        assert_eq!(received(&second), message);
        assert!(Journal::open(directory.path().join("absent")).is_err());
    }
}
