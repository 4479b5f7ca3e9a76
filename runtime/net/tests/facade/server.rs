//! Small servers and clients, std only.

use std::{
    io::{self, Read, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use beeline_net::Netns;
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};

use crate::bed::inside;

const PATIENCE: Duration = Duration::from_secs(5);

/// Servers in a namespace: each tells the client's address as it sees it, then sends back what it gets.
pub(crate) struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Starts a TCP and a UDP server on one port.
    pub(crate) fn start(netns: &Netns, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = inside(netns, || {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            for fd in [listener.as_fd(), socket.as_fd()] {
                setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000)).unwrap();
            }
            let (tcp_stop, udp_stop) = (Arc::clone(&stop), Arc::clone(&stop));
            // Threads inherit the namespace of the one that starts them.
            vec![
                thread::spawn(move || serve_tcp(&listener, &tcp_stop)),
                thread::spawn(move || serve_udp(&socket, &udp_stop)),
            ]
        });
        Self { stop, threads }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, peer)) = listener.accept() {
            thread::spawn(move || drop(echo(stream, peer)));
        }
    }
}

fn echo(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", peer.ip())?;
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length])?;
    }
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let answer = [peer.ip().to_string().as_bytes(), b"\n", &buffer[..length]].concat();
            drop(socket.send_to(&answer, peer));
        }
    }
}

/// A connection to a server that has told the client's address.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    pub(crate) seen_as: IpAddr,
}

impl Connection {
    pub(crate) fn open(server: Ipv4Addr, port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&(server, port).into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        let seen_as = String::from_utf8_lossy(&line).parse().map_err(io::Error::other)?;
        Ok(Self { stream, seen_as })
    }

    /// Sends so many bytes and checks that the same come back.
    pub(crate) fn exchange(&mut self, length: usize) -> io::Result<()> {
        let sent: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let mut writer = self.stream.try_clone()?;
        let copy = sent.clone();
        let writing = thread::spawn(move || writer.write_all(&copy));
        let mut received = vec![0; length];
        self.stream.read_exact(&mut received)?;
        writing.join().map_err(|_| io::Error::other("the writer panicked"))??;
        if sent == received { Ok(()) } else { Err(io::Error::other("other bytes came back")) }
    }
}

/// Opens a connection, exchanges some bytes, and tells as whom the server saw the client.
pub(crate) fn tcp(server: Ipv4Addr, port: u16) -> io::Result<IpAddr> {
    let mut connection = Connection::open(server, port)?;
    connection.exchange(200_000)?;
    Ok(connection.seen_as)
}

/// Sends a datagram, and tells as whom the server saw the client.
pub(crate) fn udp(server: Ipv4Addr, port: u16) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"hello", (server, port))?;
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer)?;
    if from != SocketAddr::from((server, port)) {
        return Err(io::Error::other(format!("the answer came from {from}, not from {server}:{port}")));
    }
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let (seen_as, echoed) =
        text.split_once('\n').ok_or_else(|| io::Error::other("no address in the answer"))?;
    if echoed != "hello" {
        return Err(io::Error::other("other bytes came back"));
    }
    seen_as.parse().map_err(io::Error::other)
}
