//! Neighbour discovery, byte by byte: who is answered, with what, and who is not.

use std::net::{IpAddr, Ipv6Addr};

use beeline_net::datapath::DropReason;

use crate::{
    packet::{ICMPV6, IPV6_LEN, L3, Packet},
    program::{Program, REDIRECT, SHOT},
    topology::{CLIENT6, GATEWAY6, Topology, is_root},
};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const LINK_LOCAL_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The group that whoever has an address listens to.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

/// The link-local address that a hardware address gives.
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// A message of neighbour discovery about a target, with the sender's hardware address.
fn message(kind: u8, from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, mac: [u8; 6]) -> Packet {
    let option = [&[1, 1][..], &mac].concat();
    let body = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &option].concat();
    Packet::raw(ICMPV6, from.into(), to.into(), &body).hops(255)
}

fn question(from: Ipv6Addr, target: Ipv6Addr, mac: [u8; 6]) -> Packet {
    message(SOLICITATION, from, solicited_node(target), target, mac)
}

/// An advertisement of `target` at `mac`, to whom asked.
fn assert_answer(answer: &Packet, target: Ipv6Addr, mac: [u8; 6], asker: Ipv6Addr, asker_mac: [u8; 6]) {
    answer.assert_checksums();
    assert_eq!((&answer.bytes[..6], &answer.bytes[6..12]), (&asker_mac[..], &mac[..]));
    assert_eq!(answer.source().ip(), IpAddr::from(target));
    assert_eq!(answer.destination().ip(), IpAddr::from(asker));
    assert_eq!((answer.protocol(), answer.ttl()), (ICMPV6, 255));
    let body = &answer.bytes[answer.l4()..];
    assert_eq!((body[0], body[1], body.len()), (ADVERTISEMENT, 0, 32));
    assert_eq!(body[4] & 0xe0, 0x60, "solicited, to override, of no router");
    assert_eq!(body[8..24], target.octets());
    assert_eq!((&body[24..26], &body[26..32]), (&[2u8, 1][..], &mac[..]));
}

#[test]
fn a_container_learns_of_its_gateway_and_of_members_under_either_of_its_addresses() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let program = Program::container(&topology, 0);
    let own = topology.containers[0].address6;
    let own_mac = topology.container_mac(0);
    let member_mac = topology.container_mac(1);
    let (_, gateway_mac) = topology.host_device("bl0");
    for asker in [own, link_local(own_mac)] {
        for (target, mac) in [
            (GATEWAY6, gateway_mac),
            (LINK_LOCAL_GATEWAY, gateway_mac),
            (topology.containers[1].address6, member_mac),
            (link_local(member_mac), member_mac),
        ] {
            let (verdict, answer) = program.run(question(asker, target, own_mac));
            assert_eq!(verdict, REDIRECT, "{asker} asks for {target}: {}", topology.drops());
            assert_answer(&answer, target, mac, asker, own_mac);
        }
    }
}

#[test]
fn what_nobody_may_ask_or_say_is_refused_and_counted() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let program = Program::container(&topology, 0);
    let [own, member] = [0, 1].map(|number| topology.containers[number].address6);
    let mac = topology.container_mac(0);
    let cases = [
        ("under a member's address", question(member, GATEWAY6, mac), DropReason::SpoofedAddress),
        ("through a router", question(own, member, mac).hops(254), DropReason::SpoofedNeighbour),
        (
            "for nobody",
            question(own, Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, 99), mac),
            DropReason::NoEndpoint,
        ),
        ("for an address outside", question(own, CLIENT6, mac), DropReason::NoEndpoint),
        ("a router's word", message(134, own, member, member, mac), DropReason::SpoofedNeighbour),
        ("a redirection", message(137, own, member, member, mac), DropReason::SpoofedNeighbour),
        (
            "an announcement of a member",
            message(ADVERTISEMENT, member, own, member, mac),
            DropReason::SpoofedAddress,
        ),
    ];
    for (what, packet, reason) in cases {
        let before = topology.refused(reason);
        assert_eq!(program.run(packet).0, SHOT, "{what}");
        assert_eq!(topology.refused(reason), before + 1, "{what}: {}", topology.drops());
    }
    let forged = question(own, GATEWAY6, mac).towards(program.mac).of([2, 0, 0, 0, 0, 9]);
    assert_eq!(program.run_bytes(&forged.bytes).0, SHOT);
    assert_eq!(topology.refused(DropReason::SpoofedMac), 1);
}

#[test]
fn a_probe_for_duplicates_and_an_own_announcement_go_no_further() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let program = Program::container(&topology, 0);
    let [own, member] = [0, 1].map(|number| topology.containers[number].address6);
    let mac = topology.container_mac(0);
    let probe = question(Ipv6Addr::UNSPECIFIED, own, mac);
    let announcement = message(ADVERTISEMENT, own, member, own, mac);
    let routers = message(133, own, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), own, mac);
    // The kernels of the topology send packets of their own while it is set up: they are not what this is about.
    let before = topology.drops();
    for packet in [probe, announcement, routers] {
        assert_eq!(program.run(packet).0, SHOT);
    }
    assert_eq!(topology.drops(), before, "none of them is a refusal");
}

#[test]
fn a_solicitation_cut_off_at_any_length_is_answered_to_nobody() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let program = Program::container(&topology, 0);
    let whole = question(topology.containers[0].address6, GATEWAY6, topology.container_mac(0));
    // The option with the asker's hardware address is not needed: the frame has it.
    let enough = whole.l4() + 24;
    // The kernel hands no program less than an IP header.
    for length in L3 + IPV6_LEN..enough {
        let cut = Packet { bytes: whole.bytes[..length].to_vec() };
        assert_eq!(program.run(cut).0, SHOT, "{length} bytes");
        assert_eq!(topology.refused(DropReason::Malformed), (length - L3 - IPV6_LEN + 1) as u64);
    }
}

#[test]
fn the_host_learns_of_its_containers() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let program = Program::gateway(&topology);
    let (_, host_mac) = topology.host_device("bl0");
    for (number, container) in topology.containers.iter().enumerate() {
        let mac = topology.container_mac(number);
        let (verdict, answer) = program.run(question(GATEWAY6, container.address6, host_mac));
        assert_eq!(verdict, REDIRECT, "{}", topology.drops());
        assert_answer(&answer, container.address6, mac, GATEWAY6, host_mac);
    }
    let nobody = Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, 99);
    assert_eq!(program.run(question(GATEWAY6, nobody, host_mac)).0, SHOT);
    assert_eq!(topology.refused(DropReason::NoEndpoint), 1);
}
