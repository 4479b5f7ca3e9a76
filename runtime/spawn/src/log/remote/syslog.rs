//! syslog: RFC 3164 and RFC 5424 over UDP, TCP and the host's socket.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::log::record::Record;
use crate::protocol::Stream;
use crate::shim::{SyslogAddress, SyslogFormat, SyslogLog};

/// How long a server may take to answer a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Syslog {
    config: SyslogLog,
    zone: TimeZone,
    connection: Option<Connection>,
    message: Vec<u8>,
}

#[derive(Debug)]
enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Syslog {
    pub(super) fn connect(config: SyslogLog) -> io::Result<Self> {
        let connection = connect(&config.address).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("connect to the syslog server {:?}: {error}", config.address),
            )
        })?;
        let zone = TimeZone::system();
        Ok(Self { config, zone, connection: Some(connection), message: Vec::new() })
    }

    pub(super) fn send(&mut self, record: &Record) -> io::Result<()> {
        compose(&mut self.message, &self.config, &self.zone, record);
        let framed = matches!(
            (&self.connection, self.config.format),
            (Some(Connection::Tcp(_)), SyslogFormat::Rfc5424 | SyslogFormat::Rfc5424Micro)
        );
        if framed {
            // RFC 5425: a stream has no messages, so each comes with its length.
            let length = format!("{} ", self.message.len());
            self.message.splice(0..0, length.into_bytes());
        }
        if let Some(connection) = &mut self.connection
            && connection.send(&self.message).is_ok()
        {
            return Ok(());
        }
        // The server may have been started anew.
        self.connection = None;
        let mut connection = connect(&self.config.address)?;
        connection.send(&self.message)?;
        self.connection = Some(connection);
        Ok(())
    }
}

impl Connection {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(stream) => stream.write_all(message),
            Self::Datagram(socket) => socket.send(message).map(drop),
            Self::Stream(stream) => stream.write_all(message),
        }
    }
}

fn connect(address: &SyslogAddress) -> io::Result<Connection> {
    match address {
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            match socket.connect(path) {
                Ok(()) => Ok(Connection::Datagram(socket)),
                // It is a stream's.
                Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                    UnixStream::connect(path).map(Connection::Stream)
                }
                Err(error) => Err(error),
            }
        }
        SyslogAddress::Udp(server) => {
            let server = resolve(server)?;
            let any: std::net::IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(server)?;
            Ok(Connection::Udp(socket))
        }
        SyslogAddress::Tcp(server) => {
            TcpStream::connect_timeout(&resolve(server)?, CONNECT_LIMIT).map(Connection::Tcp)
        }
    }
}

fn resolve(server: &str) -> io::Result<std::net::SocketAddr> {
    server.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the server's name has no address"))
}

/// Writes a message as Docker does, of the shim's process.
fn compose(out: &mut Vec<u8>, config: &SyslogLog, zone: &TimeZone, record: &Record) {
    // Informational, and error.
    let severity = match record.stream {
        Stream::Stdout => 6,
        Stream::Stderr => 3,
    };
    let priority = u32::from(config.facility) * 8 + severity;
    let (tag, host, pid) = (&config.tag, &config.hostname, std::process::id());
    let time = record.time.to_zoned(zone.clone());
    let head = match config.format {
        SyslogFormat::Local => {
            format!("<{priority}>{} {tag}[{pid}]: ", time.strftime("%b %e %H:%M:%S"))
        }
        SyslogFormat::Rfc3164 => {
            format!("<{priority}>{} {host} {tag}[{pid}]: ", time.strftime("%b %e %H:%M:%S"))
        }
        SyslogFormat::Rfc5424 => {
            format!("<{priority}>1 {} {host} {tag} {pid} {tag} - ", time.strftime("%Y-%m-%dT%H:%M:%S%:z"))
        }
        SyslogFormat::Rfc5424Micro => {
            format!("<{priority}>1 {} {host} {tag} {pid} {tag} - ", time.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z"))
        }
    };
    out.clear();
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&record.text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn each_format_has_its_head() {
        let record = Record {
            stream: Stream::Stderr,
            text: b"oh no".to_vec(),
            newline: true,
            ordinal: 0,
            time: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
        };
        let pid = std::process::id();
        for (format, expected) in [
            (SyslogFormat::Local, format!("<27>Nov 14 22:13:20 tag[{pid}]: oh no\n")),
            (SyslogFormat::Rfc3164, format!("<27>Nov 14 22:13:20 host tag[{pid}]: oh no\n")),
            (SyslogFormat::Rfc5424, format!("<27>1 2023-11-14T22:13:20+00:00 host tag {pid} tag - oh no\n")),
            (
                SyslogFormat::Rfc5424Micro,
                format!("<27>1 2023-11-14T22:13:20.000001+00:00 host tag {pid} tag - oh no\n"),
            ),
        ] {
            let config = SyslogLog {
                address: SyslogAddress::Udp(String::new()),
                format,
                facility: 3,
                tag: "tag".into(),
                hostname: "host".into(),
            };
            let mut out = Vec::new();
            compose(&mut out, &config, &TimeZone::UTC, &record);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
