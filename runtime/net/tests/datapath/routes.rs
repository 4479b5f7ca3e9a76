//! Which uplink a container's packet leaves by, and under which address, while routes move and rules ask for marks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beeline_net::datapath::UplinkSpec;

use crate::{
    packet::{ACK, Packet, TCP, UDP},
    program::{Program, REDIRECT, UNSPEC},
    topology::{CLIENT, CLIENT6, Family, Namespace, Topology, is_root},
};

/// The host's and the next router's addresses on the second uplink.
const SIDE_HOST: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 1), Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1));
const SIDE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 2), Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2));

/// Somebody beyond either.
const FAR: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(203, 0, 113, 7), Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7));

fn of(family: Family, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> IpAddr {
    if family == Family::V4 { v4.into() } else { v6.into() }
}

/// A host with a second uplink `up1`, to a namespace of its own.
fn two_ways() -> (Topology, Namespace) {
    let topology = Topology::new(1);
    let side = topology.namespace("s");
    let host = &topology.host;
    host.ip(&format!("link add up1 type veth peer name eth1 netns {}", side.name));
    host.ip(&format!("addr add {}/24 dev up1", SIDE_HOST.0));
    host.ip(&format!("addr add {}/64 dev up1 nodad", SIDE_HOST.1));
    host.ip("link set up1 up");
    side.ip("link set eth1 up");
    let addresses = vec![SIDE_HOST.0.into(), SIDE_HOST.1.into()];
    let all: Vec<IpAddr> =
        Family::BOTH.map(|family| [family.host(), family.gateway(), of(family, SIDE_HOST)]).concat();
    topology.datapath().set_local_addresses(&all).expect("addresses");
    let uplink = UplinkSpec { ifindex: host.index("up1"), addresses, mtu: 1500, layer3: false };
    topology.datapath().set_uplink(&uplink).expect("uplink");
    (topology, side)
}

/// Has a table's default routes lead by these routers.
fn lead(topology: &Topology, device: &str, (v4, v6): (Ipv4Addr, Ipv6Addr), table: &str) {
    topology.host.ip(&format!("route replace default via {v4} dev {device} table {table}"));
    topology.host.ip(&format!("-6 route replace default via {v6} dev {device} table {table}"));
}

#[test]
fn when_the_default_route_moves_datagrams_and_new_connections_leave_under_the_other_address() {
    if !is_root() {
        return;
    }
    let (topology, _side) = two_ways();
    let inside = Program::container(&topology, 0);
    for family in Family::BOTH {
        lead(&topology, "up0", (CLIENT, CLIENT6), "main");
        let (own, far) = (topology.containers[0].ip(family), of(family, FAR));
        let sent_as = |packet| {
            let (verdict, out) = inside.run(packet);
            assert_eq!(verdict, REDIRECT, "{family:?}: {}", topology.drops());
            out.assert_checksums();
            out.source()
        };
        let datagram = || Packet::new(UDP, (own, 4001), (far, 53), b"who?");
        let ping = || Packet::echo(own, far, true, 77, b"ping");
        let segment = |port| Packet::new(TCP, (own, port), (far, 80), b"");
        assert_eq!(sent_as(segment(4000)), (family.host(), 4000).into());
        assert_eq!(sent_as(datagram()), (family.host(), 4001).into());
        assert_eq!(sent_as(ping()), (family.host(), 77).into());

        lead(&topology, "up1", SIDE, "main");
        let other = of(family, SIDE_HOST);
        assert_eq!(sent_as(segment(4000).flags(ACK)), (family.host(), 4000).into(), "it is as it began");
        assert_eq!(sent_as(segment(4002)), (other, 4002).into());
        for _ in 0..2 {
            assert_eq!(sent_as(datagram()), (other, 4001).into());
            assert_eq!(sent_as(ping()), (other, 77).into());
        }
        let answer = |to: IpAddr| Packet::new(UDP, (far, 53), (to, 4001), b"me");
        let (verdict, out) = Program::uplink_at(&topology, "up1").run(answer(other));
        assert_eq!((verdict, out.destination()), (REDIRECT, (own, 4001).into()));
        assert_eq!(Program::uplink(&topology).run(answer(family.host())).0, UNSPEC, "there is no such flow");
    }
    topology.datapath().expire_flows().expect("expire");
    assert_eq!(topology.datapath().conntrack_len(), 2 * 2 * 4);
}

#[test]
fn a_rule_by_mark_holds_for_what_another_program_has_marked() {
    if !is_root() {
        return;
    }
    let (topology, _side) = two_ways();
    lead(&topology, "up0", (CLIENT, CLIENT6), "main");
    lead(&topology, "up1", SIDE, "77");
    topology.host.ip("rule add fwmark 7 lookup 77");
    topology.host.ip("-6 rule add fwmark 7 lookup 77");
    let release = nix::sys::utsname::uname().expect("uname").release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    let has_marks = (numbers.next(), numbers.next()) >= (Some(6), Some(10));
    for family in Family::BOTH {
        let (own, far) = (topology.containers[0].ip(family), of(family, FAR));
        for (mark, expected) in [(0, family.host()), (7, of(family, SIDE_HOST)), (8, family.host())] {
            let program = Program::container(&topology, 0).marked(mark);
            let (verdict, out) = program.run(Packet::new(TCP, (own, 4000 + mark as u16), (far, 80), b""));
            assert_eq!(verdict, REDIRECT, "{family:?}: {}", topology.drops());
            let expected = if has_marks { expected } else { family.host() };
            assert_eq!(out.source().ip(), expected, "{family:?}, marked {mark}");
        }
    }
}
