//! One question to one server outside.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::op::Query;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::message::{self, Reply};

/// After this time, a datagram is taken for lost and sent again.
const RESEND: Duration = Duration::from_millis(1500);
/// The longest answer by UDP that is taken; of a longer one the rest would be missing.
const MAX_DATAGRAM: usize = 4096;

/// Asks by UDP, again and again until the caller's patience ends. Each time from a port of its own with a number of its own:
/// who cannot see the question cannot guess its answer.
pub(super) async fn by_udp(server: SocketAddr, bytes: &[u8], query: &Query) -> io::Result<(Reply, Vec<u8>)> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let id = random_id()?;
    let question = message::with_id(bytes, id);
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    loop {
        socket.send(&question).await?;
        if let Ok(answer) = timeout(RESEND, answer(&socket, &mut buffer, id, query)).await {
            let (reply, length) = answer?;
            buffer.truncate(length);
            return Ok((reply, buffer));
        }
    }
}

/// Waits for the answer among whatever comes.
async fn answer(socket: &UdpSocket, buffer: &mut [u8], id: u16, query: &Query) -> io::Result<(Reply, usize)> {
    loop {
        let length = socket.recv(buffer).await?;
        match message::judge(&buffer[..length], id, query) {
            Reply::Unrelated => {}
            Reply::Answer if length > MAX_DATAGRAM => return Ok((Reply::Truncated, length)),
            reply => return Ok((reply, length)),
        }
    }
}

/// Asks by TCP.
pub(super) async fn by_tcp(server: SocketAddr, bytes: &[u8], query: &Query) -> io::Result<(Reply, Vec<u8>)> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id()?;
    send(&mut stream, &message::with_id(bytes, id)).await?;
    let answer = receive(&mut stream, u16::MAX).await?;
    match message::judge(&answer, id, query) {
        Reply::Unrelated => Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another question")),
        reply => Ok((reply, answer)),
    }
}

/// Sends a message with its length.
pub(super) async fn send(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    // In one piece: some servers want the length and the message in one segment.
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await
}

/// Receives a message with its length, which may be `longest` at most.
pub(super) async fn receive(stream: &mut TcpStream, longest: u16) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    if length > longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(bytes))
}
