//! Small servers and clients of TCP and UDP. Every wait is bounded.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    thread::JoinHandle,
    time::Duration,
};

use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
    },
    time::{TimeVal, TimeValLike as _},
};

use crate::topology::Namespace;

pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A peer as a socket of its own family names it: servers take both families, IPv4 as v4-mapped addresses.
fn plain(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Any address and port in the family of another address.
fn any_for(to: &SocketAddr) -> SocketAddr {
    if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() }
}

/// Serves `connections` connections in a namespace: each is told its peer's address, then gets its bytes back.
pub(crate) fn tcp_server(
    namespace: &Namespace,
    port: u16,
    connections: usize,
) -> JoinHandle<Vec<SocketAddr>> {
    let listener = namespace.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("listen"));
    std::thread::spawn(move || {
        let mut peers = Vec::new();
        for _ in 0..connections {
            let (mut stream, peer) = listener.accept().expect("accept");
            peers.push(plain(peer));
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..count]).expect("echo");
            }
        }
        peers
    })
}

/// Connects from the calling thread's namespace, sends some bytes and expects them back; returns the peer's name as
/// the socket knows it.
pub(crate) fn tcp_echo(to: impl Into<SocketAddr>, bytes: usize) -> io::Result<SocketAddr> {
    let mut stream = TcpStream::connect_timeout(&to.into(), PATIENCE)?;
    echo(&mut stream, bytes)?;
    stream.peer_addr()
}

/// The same from a socket that is bound first.
pub(crate) fn tcp_echo_from(
    from: impl Into<SocketAddr>,
    to: impl Into<SocketAddr>,
    bytes: usize,
) -> io::Result<SocketAddr> {
    let (from, to) = (from.into(), to.into());
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
    // A bound to the handshake, too.
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE.as_secs() as i64))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    let mut stream = TcpStream::from(socket);
    echo(&mut stream, bytes)?;
    stream.peer_addr()
}

/// Whether a connection cannot be made: refused, or unanswered for a while. Whoever asks knows by a counter that it was
/// no mere delay.
pub(crate) fn is_out_of_reach(to: impl Into<SocketAddr>) -> bool {
    TcpStream::connect_timeout(&to.into(), Duration::from_secs(2)).is_err()
}

/// Sends some bytes and expects them back.
pub(crate) fn echo(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let sent: Vec<u8> = (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect();
    let mut writer = stream.try_clone()?;
    let copy = sent.clone();
    let sender = std::thread::spawn(move || writer.write_all(&copy));
    let mut received = vec![0; bytes];
    stream.read_exact(&mut received)?;
    sender.join().expect("sender")?;
    assert!(received == sent, "the bytes came back changed");
    Ok(())
}

/// Answers datagrams in a namespace, each with its own bytes; returns who asked. Ends when nothing comes.
pub(crate) fn udp_server(namespace: &Namespace, port: u16, datagrams: usize) -> JoinHandle<Vec<SocketAddr>> {
    let socket = namespace.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("bind"));
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    std::thread::spawn(move || {
        let mut peers = Vec::new();
        let mut buffer = vec![0; 65536];
        for _ in 0..datagrams {
            let Ok((count, peer)) = socket.recv_from(&mut buffer) else { break };
            peers.push(plain(peer));
            socket.send_to(&buffer[..count], peer).expect("answer");
        }
        peers
    })
}

/// Sends a datagram from an unconnected socket and returns who answered.
pub(crate) fn udp_echo(to: impl Into<SocketAddr>, bytes: usize) -> io::Result<SocketAddr> {
    let to = to.into();
    udp_echo_from(any_for(&to), to, bytes)
}

/// The same from a socket that is bound to an address.
pub(crate) fn udp_echo_from(
    from: impl Into<SocketAddr>,
    to: impl Into<SocketAddr>,
    bytes: usize,
) -> io::Result<SocketAddr> {
    let to = to.into();
    let socket = UdpSocket::bind(from.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let sent: Vec<u8> = (0..bytes).map(|at| (at * 7) as u8).collect();
    socket.send_to(&sent, to)?;
    let mut received = vec![0; 65536];
    let (count, from) = socket.recv_from(&mut received)?;
    assert_eq!(&received[..count], &sent[..], "the datagram came back changed");
    Ok(from)
}

/// The same from a connected socket.
pub(crate) fn udp_echo_connected(to: impl Into<SocketAddr>, bytes: usize) -> io::Result<SocketAddr> {
    let to = to.into();
    let socket = UdpSocket::bind(any_for(&to))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(&vec![7; bytes])?;
    let mut received = vec![0; 65536];
    let (count, from) = socket.recv_from(&mut received)?;
    assert_eq!(count, bytes);
    assert_eq!(socket.peer_addr()?, from);
    Ok(from)
}
