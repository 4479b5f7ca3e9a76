//! Reserving host ports from the host's processes while they are being published: by binding them.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
    },
};

use crate::{Error, Protocol, Publish};

/// Sockets that hold ports until the datapath does. Never listening: a client that comes now is refused.
#[derive(Debug)]
pub(crate) struct Reservation {
    _sockets: Vec<OwnedFd>,
}

/// How many ports are held at once; those beyond are checked and let go.
const HELD: usize = 512;

/// Checks that no process of the host has a port of the interval, and holds them. What is published is told by `is_published`.
pub(crate) fn reserve(
    publish: &Publish,
    is_published: impl Fn(&Publish) -> bool,
) -> Result<Reservation, Error> {
    let mut sockets = Vec::new();
    for port in publish.host_first..=publish.host_last {
        let socket =
            hold_beside(publish, port, &is_published).map_err(|errno| explain(publish, port, errno))?;
        if sockets.len() < HELD {
            sockets.extend(socket);
        }
    }
    Ok(Reservation { _sockets: sockets })
}

/// Chooses a port of the range for unnamed ones that no process has and that is not published: the first from a random one on.
///
/// The kernel's own choice (port 0) will not do: it never learns that a port it proposes is published, and proposes it again.
pub(crate) fn choose(
    publish: &Publish,
    is_published: impl Fn(&Publish) -> bool,
) -> Result<(Publish, Reservation), Error> {
    if publish.host_last != 0 {
        return Err(Error::InvalidPublish { publish: *publish, reason: "an interval needs its first port" });
    }
    let (first, last) = ephemeral_range();
    let start = first + (RandomState::new().build_hasher().finish() % (u64::from(last - first) + 1)) as u16;
    for port in (start..=last).chain(first..start) {
        let candidate = Publish { host_first: port, host_last: port, ..*publish };
        if is_published(&candidate) {
            continue;
        }
        match hold_beside(publish, port, &is_published) {
            Ok(socket) => return Ok((candidate, Reservation { _sockets: Vec::from_iter(socket) })),
            Err(Errno::EADDRINUSE) => {}
            Err(errno) => return Err(explain(&candidate, port, errno)),
        }
    }
    Err(Error::NoFreePort { protocol: publish.protocol, address: publish.host_ip })
}

/// The ports that this network namespace gives to those who name none.
fn ephemeral_range() -> (u16, u16) {
    const DEFAULT: (u16, u16) = (32768, 60999);
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().map_while(|port| port.parse::<u16>().ok());
    match (ports.next(), ports.next()) {
        (Some(first), Some(last)) if 0 < first && first <= last => (first, last),
        _ => DEFAULT,
    }
}

/// Binds a port. Where it is published for every IPv4 address, the datapath keeps it from whoever binds `::`, for that may be
/// a socket for both families: us too. Then the kernel's list of sockets tells who has it, and nobody new can.
fn hold_beside(
    publish: &Publish,
    port: u16,
    is_published: impl Fn(&Publish) -> bool,
) -> Result<Option<OwnedFd>, Errno> {
    let every = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ipv4 = Publish { host_ip: every, host_first: port, host_last: port, ..*publish };
    let is_every = matches!(publish.host_ip, IpAddr::V6(address) if address.is_unspecified());
    if !is_every || !is_published(&ipv4) {
        return hold(publish.protocol, publish.host_ip, port);
    }
    let list = match publish.protocol {
        Protocol::Tcp => "tcp6",
        Protocol::Udp => "udp6",
        Protocol::Sctp => return Ok(None),
    };
    let sockets = std::fs::read_to_string(format!("/proc/thread-self/net/{list}")).unwrap_or_default();
    if sockets.lines().any(|line| has_port(line, port)) { Err(Errno::EADDRINUSE) } else { Ok(None) }
}

/// Whether a line of the kernel's list is of a socket that listens at a port, or receives there.
fn has_port(line: &str, port: u16) -> bool {
    const LISTENS: &str = "0A";
    const UNCONNECTED: &str = "07";
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|local| local.rsplit_once(':'));
    let state = fields.nth(1);
    local.is_some_and(|(_, number)| u16::from_str_radix(number, 16) == Ok(port))
        && matches!(state, Some(LISTENS | UNCONNECTED))
}

/// Binds a port. None: this kernel knows no such protocol, so nobody has the port.
fn hold(protocol: Protocol, address: IpAddr, port: u16) -> Result<Option<OwnedFd>, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SockType::Stream, None),
        Protocol::Udp => (SockType::Datagram, None),
        Protocol::Sctp => (SockType::Stream, Some(SockProtocol::Sctp)),
    };
    let socket = match socket(family, kind, SockFlag::SOCK_CLOEXEC, number) {
        Err(Errno::EPROTONOSUPPORT) if protocol == Protocol::Sctp => return Ok(None),
        other => other?,
    };
    if protocol == Protocol::Tcp {
        // Connections of an ended server that are still closing do not have the port; a listening socket does.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, port)))?;
    Ok(Some(socket))
}

fn explain(publish: &Publish, port: u16, errno: Errno) -> Error {
    let (publish, address) = (*publish, publish.host_ip);
    match errno {
        Errno::EADDRINUSE => Error::PortInUse { publish, port, address },
        Errno::EADDRNOTAVAIL => Error::AddressUnavailable { publish, address },
        errno => Error::Bind { publish, port, source: io::Error::from(errno) },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener, UdpSocket};

    use super::*;

    const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn publish(protocol: Protocol, host_ip: Ipv4Addr, first: u16, last: u16) -> Publish {
        Publish {
            protocol,
            host_ip: host_ip.into(),
            host_first: first,
            host_last: last,
            container_ip: Ipv4Addr::new(172, 31, 0, 2).into(),
            container_first: 80,
        }
    }

    #[test]
    fn a_port_that_a_process_listens_on_is_refused_by_name() {
        let listener = TcpListener::bind((LOOPBACK, 0)).expect("a port of the loopback");
        let port = listener.local_addr().expect("its address").port();
        let wanted = publish(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, port, port);
        let error = reserve(&wanted, |_| false).expect_err("the port is taken");
        assert!(matches!(error, Error::PortInUse { port: taken, .. } if taken == port), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        // The same port of the other protocol is another.
        reserve(&publish(Protocol::Udp, LOOPBACK, port, port), |_| false).expect("it is free");
    }

    #[test]
    fn every_port_of_an_interval_is_checked_and_held() {
        let (chosen, first) = choose(&publish(Protocol::Udp, LOOPBACK, 0, 0), |_| false).expect("a port");
        let port = chosen.host_first;
        assert!(UdpSocket::bind((LOOPBACK, port)).is_err(), "held");
        let interval = publish(Protocol::Udp, LOOPBACK, port.saturating_sub(1).max(1), port);
        assert!(matches!(reserve(&interval, |_| false), Err(Error::PortInUse { .. })));
        drop(first);
        let held =
            reserve(&publish(Protocol::Udp, LOOPBACK, port, port), |_| false).expect("it is free again");
        assert!(UdpSocket::bind((LOOPBACK, port)).is_err(), "held");
        drop(held);
        UdpSocket::bind((LOOPBACK, port)).expect("let go");
    }

    #[test]
    fn beside_a_publish_for_ipv4_the_list_of_sockets_tells_who_has_the_port() {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a port of the loopback");
        let port = listener.local_addr().expect("its address").port();
        let any =
            Publish { host_ip: Ipv6Addr::UNSPECIFIED.into(), ..publish(Protocol::Tcp, LOOPBACK, port, port) };
        let ipv4 = |other: &Publish| other.host_ip == Ipv4Addr::UNSPECIFIED && other.host_first == port;
        assert!(matches!(reserve(&any, ipv4), Err(Error::PortInUse { .. })));
        drop(listener);
        assert!(reserve(&any, ipv4).expect("it is free")._sockets.is_empty(), "checked, not bound");
    }

    #[test]
    fn an_address_the_host_lacks_is_refused() {
        let foreign = Ipv4Addr::new(192, 0, 2, 77);
        let error =
            reserve(&publish(Protocol::Tcp, foreign, 8080, 8080), |_| false).expect_err("no such address");
        assert!(matches!(error, Error::AddressUnavailable { .. }), "{error}");
    }

    #[test]
    fn a_chosen_port_is_none_that_is_published() {
        let (first, _held) = choose(&publish(Protocol::Tcp, LOOPBACK, 0, 0), |_| false).expect("a port");
        let none = choose(&publish(Protocol::Tcp, LOOPBACK, 0, 0), |_| true);
        assert!(matches!(none, Err(Error::NoFreePort { .. })));
        let (second, _held) =
            choose(&publish(Protocol::Tcp, LOOPBACK, 0, 0), |other| other.overlaps(&first)).expect("a port");
        assert_ne!(first.host_first, second.host_first);
    }
}
