//! The resolver's sockets: one for datagrams and one for connections on each network's gateway.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::OwnedSemaphorePermit,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Answer, Shared, exchange, message::Transport, names::Asker};

/// How often another port is tried when one is free for datagrams or connections alone.
const PORT_TRIES: u32 = 16;
/// The longest question that is read, in bytes: none that makes sense is nearly as long.
const MAX_QUESTION: u16 = 4096;
/// A connection without a question, or that takes no answer, ends after this time.
const IDLE: Duration = Duration::from_secs(10);
/// How long to wait when the sockets fail, as without descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets of one network. They close with this value.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddrV4,
    tasks: [AbortHandle; 2],
}

impl Listener {
    /// Listens on an address: on the port given if it is free, else on one that the kernel chooses.
    pub(super) fn open(shared: &Arc<Shared>, address: Ipv4Addr, port: Option<u16>) -> io::Result<Self> {
        let wished = port.and_then(|port| bind(SocketAddrV4::new(address, port)).ok());
        let (datagrams, connections) = match wished {
            Some(sockets) => sockets,
            None => bind_any(address)?,
        };
        let SocketAddr::V4(address) = connections.local_addr()? else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let datagrams = tokio::spawn(serve_datagrams(Arc::clone(shared), datagrams));
        let connections = tokio::spawn(serve_connections(Arc::clone(shared), connections));
        Ok(Self { address, tasks: [datagrams.abort_handle(), connections.abort_handle()] })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

fn bind_any(address: Ipv4Addr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut outcome = bind(SocketAddrV4::new(address, 0));
    for _ in 1..PORT_TRIES {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
        outcome = bind(SocketAddrV4::new(address, 0));
    }
    outcome
}

/// Binds both to one port.
fn bind(address: SocketAddrV4) -> io::Result<(UdpSocket, TcpListener)> {
    let connections = std::net::TcpListener::bind(address)?;
    let datagrams = std::net::UdpSocket::bind(connections.local_addr()?)?;
    connections.set_nonblocking(true)?;
    datagrams.set_nonblocking(true)?;
    Ok((UdpSocket::from_std(datagrams)?, TcpListener::from_std(connections)?))
}

/// Answers datagrams. What the names of the instance answer is answered here and now; the rest waits in tasks of its own,
/// whose number the places for it limit.
async fn serve_datagrams(shared: Arc<Shared>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; usize::from(MAX_QUESTION)];
    loop {
        while waiting.try_join_next().is_some() {}
        let (length, sender) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "no datagram received");
                sleep(PAUSE).await;
                continue;
            }
        };
        let bytes = &buffer[..length];
        let asker = shared.asker(sender.ip());
        match shared.answer_here(asker.as_ref(), bytes, Transport::Udp) {
            Answer::Now(answer) => reply(&socket, &answer, sender),
            Answer::Later(later) => {
                let (shared, socket, bytes) = (Arc::clone(&shared), Arc::clone(&socket), bytes.to_vec());
                waiting.spawn(async move {
                    let answer = shared.ask_outside(later, &bytes, Transport::Udp).await;
                    reply(&socket, &answer, sender);
                });
            }
            Answer::Never => {}
        }
    }
}

/// Sends an answer if the socket takes it: one that is lost is asked for again.
fn reply(socket: &UdpSocket, answer: &[u8], receiver: SocketAddr) {
    if let Err(error) = socket.try_send_to(answer, receiver) {
        tracing::debug!(%receiver, %error, "answer not sent");
    }
}

async fn serve_connections(shared: Arc<Shared>, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "no connection accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Beyond its share, and for who is no container, a connection ends at once.
        let Some(place) = place(&shared, peer.ip()) else { continue };
        let shared = Arc::clone(&shared);
        open.spawn(async move {
            let _place = place;
            if let Err(error) = serve_connection(&shared, stream, peer.ip()).await {
                tracing::trace!(%peer, %error, "connection ended");
            }
        });
    }
}

/// A place of the container's and one of all.
fn place(shared: &Shared, peer: IpAddr) -> Option<[OwnedSemaphorePermit; 2]> {
    let Asker { connections, .. } = shared.asker(peer)?;
    let own = connections.try_acquire_owned().ok()?;
    Some([own, Arc::clone(&shared.connections).try_acquire_owned().ok()?])
}

/// Answers the questions of a connection, one after the other.
async fn serve_connection(shared: &Shared, mut stream: TcpStream, peer: IpAddr) -> io::Result<()> {
    loop {
        let bytes = timeout(IDLE, exchange::receive(&mut stream, MAX_QUESTION)).await??;
        let asker = shared.asker(peer);
        let answer = match shared.answer_here(asker.as_ref(), &bytes, Transport::Tcp) {
            Answer::Now(answer) => answer,
            Answer::Later(later) => shared.ask_outside(later, &bytes, Transport::Tcp).await,
            Answer::Never => return Ok(()),
        };
        timeout(IDLE, exchange::send(&mut stream, &answer)).await??;
    }
}
