//! Many of everything: containers, publishes, flows, and ports that are all taken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use beeline_net::datapath::{DropReason, EndpointSpec, Protocol, Publish};

use crate::{
    packet::{ACK, L3, Packet, SYN, TCP, UDP},
    program::{Program, REDIRECT, SHOT},
    topology::{CLIENT, Family, GATEWAY, HOST, Namespace, Topology, is_root},
};

/// How often a packet is run to learn what it costs: the least time is the one that nothing disturbed.
const RUNS: usize = 3000;

/// A container that is its device alone, the far end of which lies with all others'.
struct Member {
    address: Ipv4Addr,
    mac: [u8; 6],
    ifindex: u32,
}

/// A network's addresses for many members.
fn wide(network: &mut beeline_net::datapath::NetworkSpec) {
    network.ipv4 = Some(("172.30.0.0/20".parse().expect("subnet"), GATEWAY));
}

/// Adds members from 172.30.1.0 on; the namespace holds the far ends of their devices.
fn crowd(topology: &Topology, count: u32) -> (Namespace, Vec<Member>) {
    let namespace = topology.namespace("m");
    let script = std::env::temp_dir().join(format!("beeline-crowd-{}", namespace.name));
    let line =
        |number| format!("link add bm{number} type veth peer name c{number} netns {}\n", namespace.name);
    std::fs::write(&script, (0..count).map(line).collect::<String>()).expect("script");
    topology.host.ip(&format!("-batch {}", script.display()));
    std::fs::remove_file(script).expect("script");
    let index = |number| nix::net::if_::if_nametoindex(format!("bm{number}").as_str()).expect("device");
    let indices: Vec<u32> = topology.host.run(|| (0..count).map(index).collect());
    let member = |(number, ifindex): (u32, u32)| {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 30, 1, 0)) + number);
        let [a, b, c, d] = address.octets();
        Member { address, mac: [2, 0, a, b, c, d], ifindex }
    };
    let members: Vec<Member> = (0..count).zip(indices).map(member).collect();
    for member in &members {
        let spec = EndpointSpec {
            ipv4: Some(member.address),
            ipv6: None,
            mac: member.mac,
            host_ifindex: member.ifindex,
            network: 1,
        };
        topology.datapath().set_endpoint(&spec).expect("endpoint");
    }
    (namespace, members)
}

/// Packets of one kind to the published port 8080, each from another client.
fn clients(program: &Program<'_>, count: u32) -> impl Iterator<Item = Vec<u8>> + Send {
    let template = program.address(Packet::new(UDP, (CLIENT, 0), (HOST, 8080), b"hello")).bytes;
    (0..count).map(move |number| {
        let mut bytes = template.clone();
        // 198.18.0.0/15 is for benchmarks (RFC 2544). Checksums change by difference: wrong ones stay wrong.
        let [_, _, high, low] = (number >> 8).to_be_bytes();
        bytes[L3 + 12..L3 + 16].copy_from_slice(&[198, 18, high, low]);
        bytes[L3 + 20..L3 + 22].copy_from_slice(&(1024 + (number & 0xff) as u16).to_be_bytes());
        bytes
    })
}

#[test]
fn fifteen_hundred_members_of_a_network_reach_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::with(0, wide);
    let (_far_ends, members) = crowd(&topology, 1500);
    for (number, from) in members.iter().enumerate() {
        let to = &members[(number + 751) % members.len()];
        let program = Program::of_device(&topology, from.ifindex, from.mac);
        let (verdict, out) = program.run(Packet::new(UDP, (from.address, 1), (to.address, 2), b"hello"));
        assert_eq!(verdict, REDIRECT, "{} to {}: {}", from.address, to.address, topology.drops());
        assert_eq!(out.bytes[..6], to.mac, "{} to {}", from.address, to.address);
    }
}

#[test]
fn a_packet_costs_the_same_among_ten_thousand_ports_a_thousand_members_and_two_hundred_thousand_flows() {
    if !is_root() {
        return;
    }
    let topology = Topology::build(1, 1 << 19, |network| {
        wide(network);
        network.flow_quota = Some(1 << 19);
    });
    topology.publish(Protocol::Udp, 8080, 0, 80);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let (uplink, container) = (Program::uplink(&topology), Program::container(&topology, 0));
    let inside = SocketAddr::from((topology.containers[0].address, 80));
    let segment = |from, to, flags| Packet::new(TCP, from, to, b"data").flags(flags);
    let (client, host) = ((CLIENT, 4000).into(), (HOST, 8080).into());
    assert_eq!(uplink.run(segment(client, host, SYN)).0, REDIRECT);
    let costs = || {
        [
            uplink.least(segment(client, host, ACK), RUNS, REDIRECT),
            container.least(segment(inside, client, ACK), RUNS, REDIRECT),
        ]
    };
    let alone = costs();

    let (_far_ends, _members) = crowd(&topology, 1000);
    for port in 10_000..20_000 {
        topology.publish(Protocol::Tcp, port, 0, 80);
    }
    let verdicts = uplink.run_all(clients(&uplink, 200_000));
    assert_eq!(verdicts, [(REDIRECT, 200_000)].into(), "{}", topology.drops());
    let among = costs();
    println!("nanoseconds in by a published port, and its answer: {alone:?} alone, {among:?} among many");
    // What is measured is a hash map's work; that of a list would be thousands of times as much.
    for (alone, among) in alone.into_iter().zip(among) {
        assert!(among < alone * 2, "{alone} ns have become {among}");
    }
    assert_eq!(uplink.run(segment(client, (HOST, 19_999).into(), SYN)).0, REDIRECT);
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 0);
    assert_eq!(topology.datapath().conntrack_len(), 2 * 200_002);
}

#[test]
fn when_every_port_towards_a_peer_is_taken_a_flow_is_refused_and_counted() {
    if !is_root() {
        return;
    }
    let topology = Topology::build(2, 1 << 18, |network| network.flow_quota = Some(1 << 18));
    let peer = SocketAddr::from((CLIENT, 53));
    let source = |number: usize| IpAddr::V4(topology.containers[number].address);
    let ask = |number: usize, port, to: SocketAddr| Packet::new(UDP, (source(number), port), to, b"who");
    let (one, two) = (Program::container(&topology, 0), Program::container(&topology, 1));
    let template = one.address(ask(0, 0, peer)).bytes;
    let ports = (1024..=u16::MAX).map(|port| {
        let mut bytes = template.clone();
        bytes[L3 + 20..L3 + 22].copy_from_slice(&port.to_be_bytes());
        bytes
    });
    assert_eq!(one.run_all(ports), [(REDIRECT, 64_512)].into(), "{}", topology.drops());
    assert_eq!(topology.refused(DropReason::PortsExhausted), 0);
    assert_eq!(two.run(ask(1, 5000, peer)).0, SHOT);
    assert_eq!(topology.refused(DropReason::PortsExhausted), 1);
    // Another port of the peer is another flow's: all are free there.
    let (verdict, out) = two.run(ask(1, 5000, (CLIENT, 54).into()));
    assert_eq!((verdict, out.source()), (REDIRECT, (HOST, 5000).into()));
    assert_eq!(topology.datapath().conntrack_len(), 0, "not counted yet");
    topology.datapath().expire_flows().expect("expire");
    assert_eq!(topology.datapath().conntrack_len(), 2 * 64_513);
}

#[test]
fn a_range_of_a_thousand_ports_is_published_as_one() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let publish = |first: u16, last: u16| Publish {
        protocol: Protocol::Tcp,
        host_ip: Family::V4.any(),
        host_first: first,
        host_last: last,
        container_ip: topology.containers[0].ip(Family::V4),
        container_first: first,
    };
    let time = |publish: &Publish| {
        let begun = std::time::Instant::now();
        topology.datapath().publish(publish).expect("publish");
        let taken = begun.elapsed();
        topology.datapath().unpublish(publish).expect("unpublish");
        taken
    };
    let least = |publish: &Publish| (0..50).map(|_| time(publish)).min().expect("some");
    let (one, thousand) = (least(&publish(5000, 5000)), least(&publish(5001, 6000)));
    println!("publishing one port takes {one:?}, a thousand {thousand:?}");
    assert!(thousand < one + std::time::Duration::from_millis(1), "{one:?} have become {thousand:?}");
}
