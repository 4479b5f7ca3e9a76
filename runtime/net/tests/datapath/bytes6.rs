//! IPv6 packets, and SCTP of both families, handed to the real programs one by one.

use std::net::{IpAddr, Ipv6Addr};

use beeline_net::datapath::{DropReason, Protocol};

use crate::{
    packet::{
        ACK, AUTHENTICATION, DESTINATION, HOP_BY_HOP, ICMPV6, IPV6_LEN, L3, Packet, ROUTING, SCTP, TCP, UDP,
    },
    program::{Program, REDIRECT, SHOT, UNSPEC},
    topology::{CLIENT6, Family, HOST6, Topology, is_root},
};

/// A router on the way.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
const KINDS: [(u8, Protocol); 3] = [(TCP, Protocol::Tcp), (UDP, Protocol::Udp), (SCTP, Protocol::Sctp)];
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;

/// A chain of extension headers, the last one first.
fn extended(packet: Packet, kinds: &[u8]) -> Packet {
    kinds.iter().fold(packet, |packet, kind| match *kind {
        AUTHENTICATION => packet.extension(
            AUTHENTICATION,
            &[0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        ),
        ROUTING => packet.extension(ROUTING, &[0, 0, 4, 0, 0, 0, 0, 0]),
        kind => packet.extension(kind, &[0, 0, 1, 4, 0, 0, 0, 0]),
    })
}

#[test]
fn every_protocol_comes_out_whole_there_and_back_behind_any_extension_headers() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    let container = topology.containers[0].address6;
    let chains: [&[u8]; 4] = [
        &[],
        &[DESTINATION],
        &[AUTHENTICATION, ROUTING, HOP_BY_HOP],
        &[DESTINATION, DESTINATION, ROUTING, DESTINATION, HOP_BY_HOP],
    ];
    for (protocol, kind) in KINDS {
        topology.publish_both(kind, 8080, 0, 80);
        for (number, chain) in chains.into_iter().enumerate() {
            let port = 4000 + number as u16;
            let packet = extended(Packet::new(protocol, (CLIENT6, port), (HOST6, 8080), b"odd"), chain);
            packet.assert_checksums();
            let (verdict, out) = uplink.run(packet);
            assert_eq!(verdict, REDIRECT, "{chain:?} {}", topology.drops());
            assert_eq!(out.source(), (CLIENT6, port).into());
            assert_eq!(out.destination(), (container, 80).into());
            assert_eq!(out.ttl(), 63);
            out.assert_checksums();

            let answer = extended(Packet::new(protocol, (container, 80), (CLIENT6, port), b"answer!"), chain);
            let (verdict, out) = inside.run(answer);
            assert_eq!(verdict, REDIRECT, "{}", topology.drops());
            assert_eq!(out.source(), (HOST6, 8080).into());
            assert_eq!(out.destination(), (CLIENT6, port).into());
            out.assert_checksums();
        }
    }
}

#[test]
fn more_extension_headers_than_are_followed_are_refused_and_counted() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let inside = Program::container(&topology, 0);
    let long = extended(
        Packet::new(UDP, (topology.containers[0].address6, 1), (CLIENT6, 9), b""),
        &[DESTINATION; 7],
    );
    let (verdict, _) = inside.run(long);
    assert_eq!((verdict, topology.refused(DropReason::Extensions)), (SHOT, 1));
}

#[test]
fn sctp_has_its_checksum_changed_with_its_ports_and_one_that_is_to_come_stays_out() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    topology.publish_both(Protocol::Sctp, 7000, 0, 9);
    for family in Family::BOTH {
        for length in [0, 1, 2, 3, 4, 100, 1400] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8 ^ 0x5a).collect();
            let packet = Packet::new(SCTP, (family.client(), 4000), (family.host(), 7000), &payload);
            let (verdict, out) = uplink.run(packet.clone());
            assert_eq!((verdict, out.destination().port()), (REDIRECT, 9));
            out.assert_checksums();
            let mut partial = packet;
            let at = partial.l4() + 8;
            partial.bytes[at..at + 4].fill(0);
            let (_, out) = uplink.run(partial);
            assert_eq!(out.bytes[at..at + 4], [0; 4]);
        }
    }
}

#[test]
fn a_packet_cut_off_before_its_transport_header_ends_is_the_stacks_or_refused() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    for family in Family::BOTH {
        for (protocol, kind) in KINDS {
            topology.publish_both(kind, 8080, 0, 80);
            let whole = Packet::new(protocol, (family.client(), 4000), (family.host(), 8080), b"payload");
            // The header of the transport layer is whole.
            let enough = whole.bytes.len() - b"payload".len();
            let own = topology.containers[0].ip(family);
            let sent = Packet::new(protocol, (own, 4000), (family.client(), 9), b"payload");
            // The kernel hands no program less than an IP header.
            for length in if whole.is_v4() { L3 + 20 } else { L3 + IPV6_LEN }..whole.bytes.len() {
                let cut = |packet: &Packet| Packet { bytes: packet.bytes[..length].to_vec() };
                let cut_in = cut(&whole).towards(uplink.mac).of(uplink.sender);
                let (verdict, out) = uplink.run(cut_in.clone());
                let expected = if length < enough { UNSPEC } else { REDIRECT };
                assert_eq!(verdict, expected, "{family:?} {protocol}: {length} bytes");
                assert!(verdict != UNSPEC || out == cut_in, "{length} bytes: an untouched packet");
                assert_eq!(out.bytes.len(), length);

                let before = topology.refused(DropReason::Malformed);
                let (verdict, _) = inside.run(cut(&sent));
                if length < enough {
                    assert_eq!(verdict, SHOT, "{family:?} {protocol}: {length} bytes");
                    assert_eq!(topology.refused(DropReason::Malformed), before + 1);
                }
            }
        }
    }
}

#[test]
fn an_icmpv6_error_about_any_protocol_is_translated_with_what_it_carries() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    let container = topology.containers[0].address6;
    for (protocol, kind) in KINDS {
        topology.publish_both(kind, 8080, 0, 80);
        uplink.run(Packet::new(protocol, (CLIENT6, 4000), (HOST6, 8080), b"question"));
        // What the answer looks like on its way, of which an error quotes little or much.
        let answer = Packet::new(protocol, (HOST6, 8080), (CLIENT6, 4000), &[7; 900]);
        for quoted in [IPV6_LEN + 8, IPV6_LEN + 64, 800] {
            for kind in [1, TOO_BIG, TIME_EXCEEDED, 4] {
                let error = Packet::error(ROUTER.into(), kind, 1280, &answer, quoted);
                let (verdict, out) = uplink.run(error);
                assert_eq!(verdict, REDIRECT, "{}", topology.drops());
                assert_eq!(out.source().ip(), IpAddr::from(ROUTER));
                assert_eq!(out.destination().ip(), IpAddr::from(container));
                out.assert_checksums();
                let carried = out.quoted();
                assert_eq!(carried.source(), (container, 80).into());
                assert_eq!(carried.destination(), (CLIENT6, 4000).into());
            }
        }
        // The container's own word on what came in.
        let question = Packet::new(protocol, (CLIENT6, 4000), (container, 80), b"question");
        let error = Packet::error(container.into(), 1, 0, &question, 300);
        let (verdict, out) = inside.run(error);
        assert_eq!(verdict, REDIRECT, "{}", topology.drops());
        assert_eq!((out.source().ip(), out.destination().ip()), (HOST6.into(), CLIENT6.into()));
        out.assert_checksums();
        let carried = out.quoted();
        assert_eq!(carried.source(), (CLIENT6, 4000).into());
        assert_eq!(carried.destination(), (HOST6, 8080).into());
    }
}

#[test]
fn an_error_about_an_echo_request_finds_the_container_that_sent_it() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    for family in Family::BOTH {
        let container = topology.containers[0].ip(family);
        let request = Packet::echo(container, family.client(), true, 77, b"ping");
        let (verdict, sent) = inside.run(request);
        assert_eq!(verdict, REDIRECT, "{}", topology.drops());
        assert_eq!(sent.source(), (family.host(), 77).into());
        sent.assert_checksums();
        let kind = if family == Family::V4 { 11 } else { TIME_EXCEEDED };
        let error = Packet::error(family.client(), kind, 0, &sent, 48);
        let (verdict, out) = uplink.run(error);
        assert_eq!((verdict, out.destination().ip()), (REDIRECT, container), "{}", topology.drops());
        out.assert_checksums();
        assert_eq!(out.quoted().source(), (container, 77).into());
    }
}

#[test]
fn an_error_that_belongs_to_no_flow_reaches_no_container() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    let container = topology.containers[0].address6;
    let stranger = Packet::new(UDP, (HOST6, 8080), (CLIENT6, 4000), b"never sent");
    let error = Packet::error(ROUTER.into(), TOO_BIG, 1280, &stranger, 100);
    assert_eq!(uplink.run(error).0, UNSPEC, "the host's stack may know it");
    let own = Packet::new(UDP, (CLIENT6, 4000), (container, 80), b"never came");
    let error = Packet::error(container.into(), 1, 0, &own, 100);
    assert_eq!(inside.run(error).0, SHOT);
    assert_eq!(topology.refused(DropReason::IcmpUnrelated), 1);
}

#[test]
fn a_packet_that_has_no_hop_left_is_answered_to_the_container_and_dropped_from_outside() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    let container = topology.containers[0].address6;
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    let spent = Packet::new(TCP, (CLIENT6, 4000), (HOST6, 8080), b"").hops(1);
    assert_eq!(uplink.run(spent).0, SHOT);
    assert_eq!(topology.refused(DropReason::TtlExceeded), 1);
    topology.datapath().expire_flows().expect("expire");
    assert_eq!(topology.datapath().conntrack_len(), 0, "nor does it open a flow");

    let probe = Packet::new(UDP, (container, 4000), (CLIENT6, 33434), b"traceroute").hops(1);
    let (verdict, out) = inside.run(probe.clone());
    assert_eq!(verdict, REDIRECT);
    assert_error(&topology, &out, TIME_EXCEEDED, &probe);
    assert_eq!(topology.refused(DropReason::TtlExceeded), 2);
    // And none about an error.
    uplink.run(Packet::new(TCP, (CLIENT6, 4001), (HOST6, 8080), b""));
    let about = Packet::new(TCP, (CLIENT6, 4001), (container, 80), b"");
    let error = Packet::error(container.into(), 1, 0, &about, 60).hops(1);
    assert_eq!(inside.run(error).0, SHOT);
}

#[test]
fn a_packet_larger_than_the_way_out_is_answered_with_what_would_fit() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let inside = Program::container(&topology, 0);
    topology.host.ip("link set up0 mtu 1300");
    let container = topology.containers[0].address6;
    let large = Packet::new(UDP, (container, 4000), (CLIENT6, 9), &[1; 1400]);
    let (verdict, out) = inside.run(large.clone());
    assert_eq!(verdict, REDIRECT);
    assert_error(&topology, &out, TOO_BIG, &large);
    let at = out.l4() + 4;
    assert_eq!((out.word(at), out.word(at + 2)), (0, 1300));
    assert_eq!(topology.refused(DropReason::TooBig), 1);
}

/// The gateway's error of this kind about a packet of the first container, to it.
fn assert_error(topology: &Topology, out: &Packet, kind: u8, about: &Packet) {
    let (_, gateway_mac) = topology.host_device("bl0");
    assert_eq!(out.bytes[..6], topology.container_mac(0));
    assert_eq!(out.bytes[6..12], gateway_mac);
    out.assert_checksums();
    assert_eq!((out.protocol(), out.bytes[out.l4()], out.ttl()), (ICMPV6, kind, 255));
    assert_eq!(out.source().ip(), Family::V6.gateway());
    assert_eq!(out.destination().ip(), about.source().ip());
    let carried = out.quoted();
    assert!(about.bytes[L3..].starts_with(&carried.bytes[L3..]), "the packet as it was sent");
    let whole = about.bytes.len() - L3;
    assert_eq!(carried.bytes.len() - L3, whole.min(1280 - IPV6_LEN - 8) / 4 * 4, "as much as fits");
}

#[test]
fn an_answer_without_a_flow_leaves_no_container() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let inside = Program::container(&topology, 0);
    for family in Family::BOTH {
        let before = topology.refused(DropReason::NoFlow);
        let reply = Packet::echo(topology.containers[0].ip(family), family.client(), false, 5, b"");
        assert_eq!(inside.run(reply).0, SHOT);
        assert_eq!(topology.refused(DropReason::NoFlow), before + 1);
        // While a segment from the middle of a connection is taken up: the daemon may have begun after it.
        let middle = Packet::new(TCP, (topology.containers[0].ip(family), 4000), (family.client(), 80), b"");
        assert_eq!(inside.run(middle.flags(ACK)).0, REDIRECT);
    }
}
