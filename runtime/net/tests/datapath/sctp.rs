//! SCTP through published ports and masquerade, where the kernel has it.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    thread::JoinHandle,
};

use beeline_net::datapath::Protocol;
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, accept, bind, connect,
            listen, setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike as _},
    },
};

use crate::{
    topology::{Family, Namespace, Topology, is_root},
    traffic::PATIENCE,
};

/// What is sent and comes back: several packets of it.
const MUCH: usize = 60_000;

/// A one-to-one socket (RFC 6458, section 4); none where the kernel lacks SCTP.
fn sctp(family: AddressFamily) -> Option<OwnedFd> {
    match socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::Sctp)) {
        Ok(socket) => {
            // Without an end, a lost packet would be waited for for good.
            let patience = TimeVal::seconds(PATIENCE.as_secs() as i64);
            setsockopt(&socket, sockopt::SendTimeout, &patience).expect("timeout");
            setsockopt(&socket, sockopt::ReceiveTimeout, &patience).expect("timeout");
            Some(socket)
        }
        Err(Errno::EPROTONOSUPPORT) => None,
        Err(errno) => panic!("an SCTP socket: {errno}"),
    }
}

/// Gives one association its bytes back; returns who it was.
fn server(namespace: &Namespace, port: u16) -> JoinHandle<IpAddr> {
    let listener = namespace.run(|| {
        let socket = sctp(AddressFamily::Inet6).expect("SCTP");
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        bind(socket.as_raw_fd(), &SockaddrStorage::from(any)).expect("bind");
        listen(&socket, Backlog::new(4).expect("backlog")).expect("listen");
        socket
    });
    std::thread::spawn(move || {
        let accepted = accept(listener.as_raw_fd()).expect("accept");
        // SAFETY: accept returned it to nobody else.
        let mut stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(accepted) });
        let peer = stream.peer_addr().expect("peer").ip().to_canonical();
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).expect("echo");
        }
        peer
    })
}

/// Sends some bytes from the calling thread's namespace and expects them back.
fn echo(to: (IpAddr, u16)) -> io::Result<()> {
    let to = SocketAddr::from(to);
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = sctp(family).expect("SCTP");
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    let mut stream = TcpStream::from(socket);
    let sent: Vec<u8> = (0..MUCH).map(|at| (at * 31) as u8).collect();
    let mut received = vec![0; 1000];
    for part in sent.chunks(1000) {
        stream.write_all(part)?;
        stream.read_exact(&mut received[..part.len()])?;
        assert_eq!(received[..part.len()], *part, "the bytes came back changed");
    }
    Ok(())
}

#[test]
fn sctp_goes_through_published_ports_and_out() {
    if !is_root() {
        return;
    }
    if sctp(AddressFamily::Inet).is_none() {
        println!("skipped: this kernel has no SCTP; `cargo xtask vm` runs the test on kernels that do");
        return;
    }
    let topology = Topology::new(2);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    topology.publish_both(Protocol::Sctp, 3868, 0, 3869);
    for family in Family::BOTH {
        let explain = |error| panic!("{family:?}: {error}: {}", topology.drops());
        let peer = server(&one.namespace, 3869);
        topology.client.run(|| echo((family.host(), 3868))).unwrap_or_else(explain);
        assert_eq!(peer.join().expect("server"), family.client(), "through a published port");

        let peer = server(&one.namespace, 3869);
        two.run(|| echo((family.host(), 3868))).unwrap_or_else(explain);
        assert_eq!(peer.join().expect("server"), two.ip(family), "from another container");

        let peer = server(&topology.client, 3868);
        one.run(|| echo((family.client(), 3868))).unwrap_or_else(explain);
        assert_eq!(peer.join().expect("server"), family.host(), "masqueraded");

        let peer = server(&two.namespace, 3868);
        one.run(|| echo((two.ip(family), 3868))).unwrap_or_else(explain);
        assert_eq!(peer.join().expect("server"), one.ip(family), "to a member");
    }
}
