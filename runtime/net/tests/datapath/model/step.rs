//! What happens in a case: packets and changes, of few addresses and ports so that flows meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use beeline_net::datapath::{Protocol, Publish};
use proptest::{prelude::*, sample::Index};

use super::host::Sent;
use crate::{
    packet::{ACK, DESTINATION, FIN, ICMP, ICMPV6, Packet, RST, SCTP, SYN, TCP, UDP},
    topology::Family,
};

/// How many containers there are.
pub(super) const CONTAINERS: usize = 2;

/// Ports of the host, of containers and of clients alike.
const PORTS: [u16; 5] = [80, 81, 4000, 4001, 8080];

/// An address that a packet goes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Client(usize),
    Container(usize),
    Host,
    Gateway,
}

/// What a packet has beside its addresses.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    protocol: u8,
    source: u16,
    destination: u16,
    flags: u8,
    hops: u8,
    /// Words of IPv4 options, or extension headers of IPv6.
    extras: usize,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A client sends.
    Outside {
        family: Family,
        client: usize,
        to: To,
        shape: Shape,
    },
    /// A container sends.
    Inside {
        family: Family,
        container: usize,
        to: To,
        shape: Shape,
    },
    /// A packet of a flow that there is, away from its container or towards it.
    Along {
        flow: Index,
        away: bool,
        shape: Shape,
    },
    /// A router, or the container, says that it cannot deliver a packet of a flow that there is, and quotes so many bytes
    /// behind its IP header.
    Error {
        flow: Index,
        away: bool,
        quoted: usize,
        shape: Shape,
    },
    Publish(Publish, usize),
    Unpublish(Index),
    Leave(usize),
    Join(usize),
    /// The daemon collects flows that are over.
    Collect,
}

/// A client's address.
pub(super) fn client(family: Family, number: usize) -> IpAddr {
    let last = 2 + number as u8;
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, last).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last.into()).into(),
    }
}

impl Shape {
    /// The packet between two ends, and what the model knows of it.
    pub(super) fn between(&self, protocol: u8, from: SocketAddr, to: SocketAddr) -> (Sent, Packet) {
        let packet = match protocol {
            ICMP | ICMPV6 => {
                let is_request = to.port() == 0;
                Packet::echo(from.ip(), to.ip(), is_request, from.port() | to.port(), &self.payload)
            }
            TCP => Packet::new(TCP, from, to, &self.payload).flags(self.flags),
            _ => Packet::new(protocol, from, to, &self.payload),
        };
        let packet = if packet.is_v4() {
            packet.options(self.extras)
        } else {
            (0..self.extras)
                .fold(packet, |packet, _| packet.extension(DESTINATION, &[0, 0, 1, 4, 0, 0, 0, 0]))
        };
        let packet = packet.hops(self.hops);
        let sent = Sent {
            protocol,
            source: from,
            destination: to,
            hops: self.hops,
            flags: self.flags,
            bytes: packet.bytes.len() as u64,
        };
        (sent, packet)
    }

    /// The same between two addresses, with its own ports; of an echo, an identifier at one end.
    pub(super) fn with_ports(&self, from: IpAddr, to: IpAddr) -> (Sent, Packet) {
        let protocol = match (self.protocol, from) {
            (ICMP, IpAddr::V6(_)) => ICMPV6,
            (protocol, _) => protocol,
        };
        let is_echo = matches!(protocol, ICMP | ICMPV6);
        // What makes a SYN makes a request.
        let (source, destination) = match (is_echo, self.flags == SYN) {
            (false, _) => (self.source, self.destination),
            (true, true) => (self.source, 0),
            (true, false) => (0, self.destination),
        };
        self.between(protocol, SocketAddr::new(from, source), SocketAddr::new(to, destination))
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::BOTH.to_vec())
}

fn port() -> impl Strategy<Value = u16> {
    prop::sample::select(PORTS.to_vec())
}

fn shape() -> impl Strategy<Value = Shape> {
    let flags = prop_oneof![
        4 => Just(SYN),
        3 => Just(ACK),
        2 => Just(FIN | ACK),
        1 => Just(SYN | ACK),
        1 => Just(RST),
        1 => Just(RST | ACK),
    ];
    let hops = prop_oneof![8 => Just(64), 1 => Just(2), 1 => Just(1)];
    let protocol = prop::sample::select(vec![TCP, TCP, UDP, UDP, SCTP, ICMP]);
    let payload = prop::collection::vec(any::<u8>(), 0..24);
    (protocol, port(), port(), flags, hops, 0usize..3, payload).prop_map(
        |(protocol, source, destination, flags, hops, extras, payload)| Shape {
            protocol,
            source,
            destination,
            flags,
            hops,
            extras,
            payload,
        },
    )
}

/// A publish of a container, whose address is filled in later.
fn publish() -> impl Strategy<Value = Step> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let parts = (family(), protocol, any::<bool>(), port(), 0u16..3, port(), 0..CONTAINERS);
    parts.prop_map(|(family, protocol, is_any, first, length, container_first, container)| {
        let any: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let host_ip = if is_any { any } else { family.host() };
        let publish = Publish {
            protocol,
            host_ip,
            host_first: first,
            host_last: first + length,
            container_ip: any,
            container_first,
        };
        Step::Publish(publish, container)
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let outside = (
        family(),
        0usize..2,
        prop_oneof![8 => Just(To::Host), 1 => (0..CONTAINERS).prop_map(To::Container)],
        shape(),
    );
    let to = prop_oneof![
        4 => (0usize..2).prop_map(To::Client),
        2 => Just(To::Host),
        1 => Just(To::Gateway),
        1 => Just(To::Container(0)),
    ];
    let inside = (family(), 0..CONTAINERS, to, shape());
    prop_oneof![
        6 => publish(),
        1 => any::<Index>().prop_map(Step::Unpublish),
        12 => outside.prop_map(|(family, client, to, shape)| Step::Outside { family, client, to, shape }),
        12 => inside.prop_map(|(family, container, to, shape)| Step::Inside { family, container, to, shape }),
        16 => (any::<Index>(), any::<bool>(), shape())
            .prop_map(|(flow, away, shape)| Step::Along { flow, away, shape }),
        4 => (any::<Index>(), any::<bool>(), 8usize..40, shape())
            .prop_map(|(flow, away, quoted, shape)| Step::Error { flow, away, quoted, shape }),
        1 => (0..CONTAINERS).prop_map(Step::Leave),
        2 => (0..CONTAINERS).prop_map(Step::Join),
        1 => Just(Step::Collect),
    ]
}
