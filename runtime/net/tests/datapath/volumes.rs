//! Traffic by protocol and peer: what is counted is what the generator sent, to the byte.

use std::net::{IpAddr, SocketAddr};

use beeline_net::datapath::{
    Direction, NetworkSpec, PeerScope, Protocol, Traffic, TrafficClass, TrafficKind, Volume,
};

use crate::{
    packet::{ACK, Packet, SCTP, SYN, TCP, UDP},
    program::{Program, REDIRECT},
    topology::{CLIENT, Family, HOST, Topology, is_root},
};

/// What a program made of some packets: how many bytes they had.
#[derive(Default)]
struct Generator {
    volume: Volume,
}

impl Generator {
    /// Runs a program on a packet several times, counting by itself.
    fn send(&mut self, program: &Program<'_>, packet: Packet, times: u64) {
        let packet = program.address(packet);
        for _ in 0..times {
            let (verdict, _) = program.run_bytes(&packet.bytes);
            assert_eq!(verdict, REDIRECT);
            self.volume.bytes += packet.bytes.len() as u64;
            self.volume.packets += 1;
        }
    }
}

fn traffic(topology: &Topology, container: usize) -> Traffic {
    let ifindex = topology.containers[container].ifindex;
    topology.datapath().endpoint_traffic(ifindex).expect("read").expect("traffic")
}

#[track_caller]
fn assert_volume(
    topology: &Topology,
    container: usize,
    (direction, class, peer): (Direction, TrafficClass, PeerScope),
    expected: &Generator,
) {
    let counted = traffic(topology, container).volume(direction, TrafficKind::new(class, peer));
    assert_eq!(counted, expected.volume, "{direction:?} {class:?} {peer:?}");
}

#[test]
fn traffic_is_counted_by_protocol_and_peer_as_the_generator_counts_it() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let (own, other) = (topology.containers[0].address, topology.containers[1].address);
    let (container, uplink) = (Program::container(&topology, 0), Program::uplink(&topology));
    topology.publish(Protocol::Tcp, 8080, 0, 80);

    let mut asked = Generator::default();
    asked.send(&uplink, Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), b"hello"), 3);
    let mut answered = Generator::default();
    let answer = Packet::new(TCP, (own, 80), (CLIENT, 4000), &[7; 900]).flags(SYN | ACK);
    answered.send(&container, answer, 5);
    assert_volume(&topology, 0, (Direction::In, TrafficClass::Tcp, PeerScope::Published), &asked);
    assert_volume(&topology, 0, (Direction::Out, TrafficClass::Tcp, PeerScope::Published), &answered);

    let mut outside = Generator::default();
    outside.send(&container, Packet::new(UDP, (own, 5000), (CLIENT, 53), b"question"), 4);
    assert_volume(&topology, 0, (Direction::Out, TrafficClass::Udp, PeerScope::Outside), &outside);
    let mut back = Generator::default();
    back.send(&uplink, Packet::new(UDP, (CLIENT, 53), (HOST, 5000), b"an answer"), 2);
    assert_volume(&topology, 0, (Direction::In, TrafficClass::Udp, PeerScope::Outside), &back);

    let mut near = Generator::default();
    near.send(&container, Packet::new(SCTP, (own, 1), (other, 2), &[1; 40]), 2);
    assert_volume(&topology, 0, (Direction::Out, TrafficClass::Sctp, PeerScope::Network), &near);
    assert_volume(&topology, 1, (Direction::In, TrafficClass::Sctp, PeerScope::Network), &near);

    let mut pings = Generator::default();
    pings.send(&container, Packet::echo(own.into(), HOST.into(), true, 7, &[0; 56]), 6);
    assert_volume(&topology, 0, (Direction::Out, TrafficClass::Icmp, PeerScope::Host), &pings);
    let mut pongs = Generator::default();
    let gateway = Program::gateway(&topology);
    pongs.send(&gateway, Packet::echo(HOST.into(), own.into(), false, 7, &[0; 56]), 6);
    assert_volume(&topology, 0, (Direction::In, TrafficClass::Icmp, PeerScope::Host), &pongs);

    let total = topology.datapath().endpoint_counters(topology.containers[0].ifindex).expect("counters");
    let by_kind = traffic(&topology, 0).total();
    assert_eq!((total.rx_bytes, total.rx_packets), (by_kind.rx_bytes, by_kind.rx_packets));
    assert_eq!((total.tx_bytes, total.tx_packets), (by_kind.tx_bytes, by_kind.tx_packets));
}

#[test]
fn a_container_of_another_network_is_told_from_one_of_the_same_behind_a_published_port() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(3);
    let stranger: IpAddr = "172.31.0.9".parse().expect("address");
    topology.datapath().set_network(&NetworkSpec { id: 2, ..other(&topology) }).expect("network");
    let (ifindex, mac) = (topology.containers[2].ifindex, topology.container_mac(2));
    let endpoint = beeline_net::datapath::EndpointSpec {
        ipv4: Some("172.31.0.9".parse().expect("address")),
        ipv6: None,
        mac,
        host_ifindex: ifindex,
        network: 2,
    };
    topology.datapath().set_endpoint(&endpoint).expect("endpoint");
    topology.publish(Protocol::Udp, 53, 0, 53);

    let question = |from: IpAddr| Packet::new(UDP, SocketAddr::new(from, 6000), (HOST, 53), b"?");
    let mut same = Generator::default();
    same.send(&Program::container(&topology, 1), question(topology.containers[1].ip(Family::V4)), 2);
    let mut foreign = Generator::default();
    foreign.send(&Program::of_device(&topology, ifindex, mac), question(stranger), 3);
    let udp = |direction, peer| (direction, TrafficClass::Udp, peer);
    assert_volume(&topology, 0, udp(Direction::In, PeerScope::Network), &same);
    assert_volume(&topology, 1, udp(Direction::Out, PeerScope::Network), &same);
    assert_volume(&topology, 0, udp(Direction::In, PeerScope::OtherNetwork), &foreign);
    assert_volume(&topology, 2, udp(Direction::Out, PeerScope::OtherNetwork), &foreign);
}

/// A second network on the same bridge device.
fn other(topology: &Topology) -> NetworkSpec {
    let gateway = "172.31.0.1".parse().expect("address");
    NetworkSpec {
        ipv4: Some(("172.31.0.0/24".parse().expect("subnet"), gateway)),
        ipv6: None,
        ..topology.network()
    }
}

#[test]
fn what_is_refused_counts_as_sent_and_dropped_but_not_by_peer() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = Program::container(&topology, 0);
    let own = topology.containers[0].address;
    let spoofed = Packet::new(UDP, (CLIENT, 1), (HOST, 2), b"not mine");
    let length = spoofed.bytes.len() as u64;
    let before = topology.datapath().endpoint_counters(topology.containers[0].ifindex).expect("counters");
    let (verdict, _) = container.run(spoofed);
    assert_eq!(verdict, crate::program::SHOT);
    let (verdict, _) = container.run(Packet::new(UDP, (own, 1), (HOST, 2), b"mine"));
    assert_eq!(verdict, REDIRECT);
    let after = topology.datapath().endpoint_counters(topology.containers[0].ifindex).expect("counters");
    assert_eq!(after.tx_dropped - before.tx_dropped, 1);
    assert_eq!(after.tx_packets - before.tx_packets, 2);
    assert_eq!(traffic(&topology, 0).total().tx_bytes + length, after.tx_bytes);
}
