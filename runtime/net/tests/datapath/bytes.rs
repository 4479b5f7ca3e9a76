//! Packets handed to the real programs one by one: what goes in, what comes out, byte by byte.

use std::net::Ipv4Addr;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use beeline_abi::ones_complement_sum;
use beeline_net::datapath::Protocol;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::topology::{CLIENT, HOST, Topology, is_root};

const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const ICMP: u8 = 1;

pub(crate) const SHOT: u32 = 2;
pub(crate) const REDIRECT: u32 = 7;
const UNSPEC: u32 = u32::MAX;

/// An IPv4 packet behind an Ethernet header.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    /// A packet with right checksums. `options` goes between the headers, in words.
    pub(crate) fn new(
        protocol: u8,
        from: (Ipv4Addr, u16),
        to: (Ipv4Addr, u16),
        options: usize,
        payload: &[u8],
    ) -> Self {
        let mut transport = Vec::new();
        transport.extend_from_slice(&from.1.to_be_bytes());
        transport.extend_from_slice(&to.1.to_be_bytes());
        match protocol {
            TCP => transport.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]),
            _ => {
                transport.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
                transport.extend_from_slice(&[0, 0]);
            }
        }
        transport.extend_from_slice(payload);
        let mut packet = Self::raw(protocol, from.0, to.0, options, &transport);
        let check = !packet.transport_sum();
        let at = packet.l4() + if protocol == TCP { 16 } else { 6 };
        packet.bytes[at..at + 2].copy_from_slice(&check.to_ne_bytes());
        packet
    }

    fn raw(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, options: usize, transport: &[u8]) -> Self {
        let header_len = 20 + 4 * options;
        let total = (header_len + transport.len()) as u16;
        let mut header = vec![0x45 + options as u8, 0];
        header.extend_from_slice(&total.to_be_bytes());
        header.extend_from_slice(&[0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
        header.extend_from_slice(&from.octets());
        header.extend_from_slice(&to.octets());
        // No-operation options.
        header.resize(header_len, 1);
        let check = !ones_complement_sum(&header);
        header[10..12].copy_from_slice(&check.to_ne_bytes());
        let mut bytes = vec![0; 12];
        bytes.extend_from_slice(&[8, 0]);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(transport);
        Self { bytes }
    }

    fn towards(mut self, mac: [u8; 6]) -> Self {
        self.bytes[..6].copy_from_slice(&mac);
        self
    }

    fn of(mut self, mac: [u8; 6]) -> Self {
        self.bytes[6..12].copy_from_slice(&mac);
        self
    }

    fn l4(&self) -> usize {
        14 + usize::from(self.bytes[14] & 15) * 4
    }

    fn ttl(&self) -> u8 {
        self.bytes[22]
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    pub(crate) fn source(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::from(*self.bytes[26..].first_chunk().expect("address")), self.word(self.l4()))
    }

    pub(crate) fn destination(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::from(*self.bytes[30..].first_chunk().expect("address")), self.word(self.l4() + 2))
    }

    /// The sum over pseudo-header and transport: all ones when the checksum is right.
    fn transport_sum(&self) -> u16 {
        let transport = &self.bytes[self.l4()..];
        let mut summed = self.bytes[26..34].to_vec();
        summed.extend_from_slice(&[0, self.bytes[23]]);
        summed.extend_from_slice(&(transport.len() as u16).to_be_bytes());
        summed.extend_from_slice(transport);
        ones_complement_sum(&summed)
    }

    pub(crate) fn assert_checksums(&self) {
        assert_eq!(ones_complement_sum(&self.bytes[14..self.l4()]), 0xffff, "IP checksum");
        if self.bytes[23] == ICMP {
            assert_eq!(ones_complement_sum(&self.bytes[self.l4()..]), 0xffff, "ICMP checksum");
        } else {
            assert_eq!(self.transport_sum(), 0xffff, "transport checksum");
        }
    }
}

/// A program, and the device its packets come from.
pub(crate) struct Program<'a> {
    topology: &'a Topology,
    program: SchedClassifier,
    ifindex: u32,
    mac: [u8; 6],
}

impl<'a> Program<'a> {
    pub(crate) fn uplink(topology: &'a Topology) -> Self {
        let (ifindex, mac) = topology.host_device("up0");
        Self { topology, program: topology.program("uplink_ingress"), ifindex, mac }
    }

    fn container(topology: &'a Topology) -> Self {
        let (ifindex, mac) = topology.host_device("bv0");
        Self { topology, program: topology.program("container_ingress"), ifindex, mac }
    }

    /// Runs the program on some bytes; returns its verdict and what it made of them.
    fn run_bytes(&self, bytes: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; bytes.len() + 256];
        // Of the context only the device's index is given: the word after ten others.
        let mut context = [0u8; 192];
        context[40..44].copy_from_slice(&self.ifindex.to_ne_bytes());
        let result = self.topology.host.run(|| {
            let options = TestRunOptions {
                data_in: Some(bytes),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            };
            self.program.test_run(options).expect("run")
        });
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    pub(crate) fn run(&self, packet: Packet) -> (u32, Packet) {
        let (verdict, bytes) = self.run_bytes(&packet.towards(self.mac).bytes);
        (verdict, Packet { bytes })
    }
}

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
            let packet = Packet::new(protocol, (CLIENT, client_port), (HOST, 8080), options, b"odd");
            packet.assert_checksums();
            let (verdict, out) = Program::uplink(&topology).run(packet);
            assert_eq!(verdict, REDIRECT);
            assert_eq!((out.source(), out.destination()), ((CLIENT, client_port), (container, 80)));
            assert_eq!(out.ttl(), 63);
            out.assert_checksums();

            let answer = Packet::new(protocol, (container, 80), (CLIENT, client_port), options, b"answer!");
            let answer = answer.of(topology.container_mac(0));
            let (verdict, out) = Program::container(&topology).run(answer);
            assert_eq!(verdict, REDIRECT, "{}", topology.drops());
            assert_eq!((out.source(), out.destination()), ((HOST, 8080), (CLIENT, client_port)));
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
    let mut packet = Packet::new(UDP, (CLIENT, 4000), (HOST, 53), 0, b"question");
    let at = packet.l4() + 6;
    packet.bytes[at..at + 2].fill(0);
    let (verdict, out) = Program::uplink(&topology).run(packet);
    assert_eq!(verdict, REDIRECT);
    assert_eq!(out.destination().1, 5353);
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
    let question = Packet::new(UDP, (CLIENT, 4000), (HOST, 53), 0, b"question");
    Program::uplink(&topology).run(question);
    // A router on the way says that the answer is too large.
    let router = Ipv4Addr::new(192, 0, 2, 77);
    let answer = Packet::new(UDP, (HOST, 53), (CLIENT, 4000), 0, b"answer");
    let mut message = vec![3, 4, 0, 0, 0, 0, 4, 0];
    message.extend_from_slice(&answer.bytes[14..14 + 28]);
    let check = !ones_complement_sum(&message);
    message[2..4].copy_from_slice(&check.to_ne_bytes());
    let error = Packet::raw(ICMP, router, HOST, 0, &message);
    error.assert_checksums();
    let (verdict, out) = Program::uplink(&topology).run(error);
    assert_eq!(verdict, REDIRECT);
    assert_eq!((out.source().0, out.destination().0), (router, container));
    out.assert_checksums();
    let carried = Packet { bytes: [&[0; 14], &out.bytes[out.l4() + 8..]].concat() };
    assert_eq!((carried.source(), carried.destination()), ((container, 5353), (CLIENT, 4000)));
    assert_eq!(ones_complement_sum(&carried.bytes[14..34]), 0xffff, "the carried header's checksum");
}

#[test]
fn a_reset_opens_nothing_and_a_closed_port_is_the_stacks_affair() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let uplink = Program::uplink(&topology);
    let mut reset = Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), 0, b"");
    let at = reset.l4() + 13;
    reset.bytes[at] = 0x04;
    let closed = Packet::new(TCP, (CLIENT, 4000), (HOST, 8081), 0, b"");
    let other_protocol = Packet::new(UDP, (CLIENT, 4000), (HOST, 8080), 0, b"");
    for packet in [reset, closed, other_protocol] {
        let packet = packet.towards(uplink.mac);
        let (verdict, out) = uplink.run(packet.clone());
        assert_eq!(verdict, UNSPEC);
        assert!(out.bytes == packet.bytes, "an untouched packet");
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
    let container = Program::container(&topology);
    let container_mac = topology.container_mac(0);
    let valid = Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), 2, b"payload").towards(uplink.mac).bytes;
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
