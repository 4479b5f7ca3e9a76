//! What was refused, read from as much of the packet as the programs tell.

use std::{
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use beeline_abi::{
    Address, DropReason, Dropped, ETHERNET_LEN, EthernetHeader, Extension, IPV6_LEN, Ipv4Header, Ipv6Header,
    PortKey, Ports, drop_origin, ether, ip,
};
use ipnet::IpNet;

use super::events::{Clock, read};
use crate::rules::Scope;

/// A rule that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusingRule {
    /// Whose rule it is.
    pub scope: Scope,
    /// The sources it names; none when it is a list of who is allowed, and the source is not on it.
    pub source: Option<IpNet>,
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time: SystemTime,
    /// Why.
    pub reason: DropReason,
    /// The device of the host it came in or went out by; zero for a socket of the host.
    pub ifindex: u32,
    /// The rule that refuses it.
    pub rule: Option<RefusingRule>,
    /// Bytes of the packet; zero for a socket.
    pub length: u32,
    /// The IP protocol, if it can be read.
    pub protocol: Option<u8>,
    /// Where it came from; the port is zero if there is none, or it cannot be read.
    pub source: Option<SocketAddr>,
    /// Where it was to go.
    pub destination: Option<SocketAddr>,
}

/// Protocol, source and destination of a packet.
type Headers = (u8, SocketAddr, SocketAddr);

pub(super) fn parse(clock: Clock, event: &Dropped) -> Refusal {
    let held = (event.held as usize).min(event.front.len());
    let bytes = event.front.get(..held).unwrap_or_default();
    let reason = DropReason::ALL.get(event.reason as usize).copied().unwrap_or(DropReason::Helper);
    let refusal = Refusal {
        time: clock.time(event.time),
        reason,
        ifindex: event.ifindex,
        rule: None,
        length: event.length,
        protocol: None,
        source: None,
        destination: None,
    };
    if event.origin == drop_origin::SOCKET {
        let (protocol, destination) = wish(bytes).unzip();
        return Refusal { protocol, destination, ..refusal };
    }
    let headers = if event.origin == drop_origin::FRAME { frame(bytes) } else { packet(bytes) };
    match headers {
        Some((protocol, source, destination)) => Refusal {
            protocol: Some(protocol),
            source: Some(source),
            destination: Some(destination),
            ..refusal
        },
        None => refusal,
    }
}

/// What a socket of the host asked for.
fn wish(bytes: &[u8]) -> Option<(u8, SocketAddr)> {
    let key: PortKey = read(bytes)?;
    Some((key.protocol, SocketAddr::new(IpAddr::from(key.address), u16::from_be_bytes(key.port))))
}

fn frame(bytes: &[u8]) -> Option<Headers> {
    let header = EthernetHeader::parse(bytes.first_chunk()?);
    let is_ip = matches!(header.protocol, ether::IPV4 | ether::IPV6);
    if is_ip { packet(bytes.get(ETHERNET_LEN..)?) } else { None }
}

fn packet(bytes: &[u8]) -> Option<Headers> {
    if bytes.first()? >> 4 == 4 {
        let header = Ipv4Header::parse(bytes.first_chunk()?)?;
        let rest = bytes.get(usize::from(header.header_len)..).unwrap_or_default();
        let ports = if header.fragment_offset == 0 { ports(header.protocol, rest) } else { (0, 0) };
        return Some(headers(header.protocol, header.source_address(), header.destination_address(), ports));
    }
    let header = Ipv6Header::parse(bytes.first_chunk()?)?;
    let (mut kind, mut rest) = (header.next_header, bytes.get(IPV6_LEN..)?);
    while Extension::is_one(kind)
        && let Some(front) = rest.first_chunk()
    {
        let extension = Extension::parse(kind, front);
        (kind, rest) = (extension.next_header, rest.get(usize::from(extension.len)..).unwrap_or_default());
    }
    Some(headers(kind, header.source, header.destination, ports(kind, rest)))
}

fn headers(protocol: u8, source: Address, destination: Address, ports: (u16, u16)) -> Headers {
    let end = |address: Address, port| SocketAddr::new(IpAddr::from(address), port);
    (protocol, end(source, ports.0), end(destination, ports.1))
}

fn ports(protocol: u8, rest: &[u8]) -> (u16, u16) {
    match rest.first_chunk() {
        Some(bytes) if matches!(protocol, ip::TCP | ip::UDP | ip::SCTP) => {
            let ports = Ports::parse(bytes);
            (ports.source, ports.destination)
        }
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [u8; 28] = [
        0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 172, 30, 0, 2, 0x13, 0x88, 0, 53, 0, 8, 0, 0,
    ];

    #[test]
    fn ends_are_read_from_a_bare_packet_and_from_a_frame() {
        let expected = (17, "192.0.2.2:5000".parse().unwrap(), "172.30.0.2:53".parse().unwrap());
        assert_eq!(packet(&V4), Some(expected));
        let in_frame = [&[0; 12][..], &[8, 0], &V4].concat();
        assert_eq!(frame(&in_frame), Some(expected));
    }

    #[test]
    fn what_is_cut_off_has_the_addresses_alone_and_less_nothing() {
        let (protocol, source, _) = packet(&V4[..22]).unwrap();
        assert_eq!((protocol, source), (17, "192.0.2.2:0".parse().unwrap()));
        assert_eq!(packet(&V4[..10]), None);
        assert_eq!(packet(&[]), None);
    }

    #[test]
    fn the_ports_of_ipv6_lie_behind_its_extension_headers() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
        bytes.extend([[1u8; 16], [2; 16]].concat());
        bytes.extend([6, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 80, 1, 187, 0, 0, 0, 0]);
        let (protocol, source, destination) = packet(&bytes).unwrap();
        assert_eq!((protocol, source.port(), destination.port()), (6, 80, 443));
    }
}
