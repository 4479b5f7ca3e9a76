//! IPv4 packets handed to the real programs one by one: what goes in, what comes out, byte by byte.

use std::net::Ipv4Addr;

use beeline_net::datapath::Protocol;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    packet::{Packet, RST, TCP, UDP},
    program::{Program, REDIRECT, SHOT, UNSPEC},
    topology::{CLIENT, HOST, Topology, is_root},
};

#[test]
fn a_packet_to_a_published_port_comes_out_whole_and_so_does_the_answer() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = topology.containers[0].address;
    for (protocol, kind) in [(TCP, Protocol::Tcp), (UDP, Protocol::Udp)] {
        topology.publish(kind, 8080, 0, 80);
        for options in [0, 3, 10] {
            let client_port = 4000 + options as u16;
            let packet = Packet::new(protocol, (CLIENT, client_port), (HOST, 8080), b"odd").options(options);
            packet.assert_checksums();
            let (verdict, out) = Program::uplink(&topology).run(packet);
            assert_eq!(verdict, REDIRECT);
            assert_eq!(out.source(), (CLIENT, client_port).into());
            assert_eq!(out.destination(), (container, 80).into());
            assert_eq!(out.ttl(), 63);
            out.assert_checksums();

            let answer = Packet::new(protocol, (container, 80), (CLIENT, client_port), b"answer!");
            let (verdict, out) = Program::container(&topology, 0).run(answer.options(options));
            assert_eq!(verdict, REDIRECT, "{}", topology.drops());
            assert_eq!(out.source(), (HOST, 8080).into());
            assert_eq!(out.destination(), (CLIENT, client_port).into());
            out.assert_checksums();
        }
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Udp, 53, 0, 5353);
    let mut packet = Packet::new(UDP, (CLIENT, 4000), (HOST, 53), b"question");
    let at = packet.l4() + 6;
    packet.bytes[at..at + 2].fill(0);
    let (verdict, out) = Program::uplink(&topology).run(packet);
    assert_eq!(verdict, REDIRECT);
    assert_eq!(out.destination().port(), 5353);
    assert_eq!(out.word(at), 0);
}

#[test]
fn an_icmp_error_is_translated_with_what_it_carries() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = topology.containers[0].address;
    topology.publish(Protocol::Udp, 53, 0, 5353);
    let question = Packet::new(UDP, (CLIENT, 4000), (HOST, 53), b"question");
    Program::uplink(&topology).run(question);
    // A router on the way says that the answer is too large.
    let router = Ipv4Addr::new(192, 0, 2, 77);
    let answer = Packet::new(UDP, (HOST, 53), (CLIENT, 4000), b"answer");
    let error = Packet::error(router.into(), 3, 1024, &answer, 28);
    let (verdict, out) = Program::uplink(&topology).run(error);
    assert_eq!(verdict, REDIRECT);
    assert_eq!((out.source().ip(), out.destination().ip()), (router.into(), container.into()));
    out.assert_checksums();
    let carried = out.quoted();
    assert_eq!(carried.source(), (container, 5353).into());
    assert_eq!(carried.destination(), (CLIENT, 4000).into());
    assert_eq!(carried.fault(), Some("length"), "all that is wrong is that it is cut off");
}

#[test]
fn a_reset_opens_nothing_and_a_closed_port_is_the_stacks_affair() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let uplink = Program::uplink(&topology);
    let reset = Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), b"").flags(RST);
    let closed = Packet::new(TCP, (CLIENT, 4000), (HOST, 8081), b"");
    let other_protocol = Packet::new(UDP, (CLIENT, 4000), (HOST, 8080), b"");
    for packet in [reset, closed, other_protocol] {
        let packet = packet.towards(uplink.mac).of(uplink.sender);
        let (verdict, out) = uplink.run(packet.clone());
        assert_eq!(verdict, UNSPEC);
        assert!(out == packet, "an untouched packet");
    }
    topology.datapath().expire_flows().expect("expire");
    assert_eq!(topology.datapath().conntrack_len(), 0);
}

/// Whatever comes in, the stack gets it as it was, or nobody does, or it was ours.
#[test]
fn no_bytes_confuse_the_programs() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_range(crate::topology::Family::V4, Protocol::Tcp, 1..=60000, 0, 1);
    let uplink = Program::uplink(&topology);
    let container = Program::container(&topology, 0);
    let container_mac = topology.container_mac(0);
    let valid =
        Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), b"payload").options(2).towards(uplink.mac).bytes;
    // The kernel hands no program less than an IP header.
    let strategy =
        (prop::collection::vec((0..valid.len(), any::<u8>()), 0..6), 34..=valid.len(), any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy, |(changes, length, is_container)| {
            let mut bytes = valid.clone();
            for (at, value) in changes {
                bytes[at] = value;
            }
            if is_container {
                bytes[6..12].copy_from_slice(&container_mac);
            }
            bytes.truncate(length);
            let program = if is_container { &container } else { &uplink };
            let (verdict, out) = program.run_bytes(&bytes);
            match verdict {
                UNSPEC => prop_assert_eq!(out, bytes),
                SHOT | REDIRECT => {}
                other => prop_assert!(false, "verdict {}", other),
            }
            Ok(())
        })
        .expect("every case");
}
