//! Far journeys: through routers, and through a link that takes smaller packets than the others.
//!
//! ```text
//! container ---- [ host ] ---- client, a router here ---- 1,400 bytes ---- [ middle ] ---- far
//! ```

use std::{
    io::IoSliceMut,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::AsRawFd as _,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use beeline_net::datapath::Protocol;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

use crate::{
    topology::{CLIENT, CLIENT6, Family, Namespace, Topology, is_root},
    traffic::{PATIENCE, tcp_echo, tcp_server},
};

/// Enough for GSO packets and several windows.
const MUCH: usize = 2 << 20;

const MIDDLE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const MIDDLE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);
const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 2);

fn middle(family: Family) -> IpAddr {
    if family == Family::V4 { MIDDLE.into() } else { MIDDLE6.into() }
}

fn far(family: Family) -> IpAddr {
    if family == Family::V4 { FAR.into() } else { FAR6.into() }
}

/// Sets up what lies behind the client: the router in the middle, and who is far away.
fn road(topology: &Topology) -> (Namespace, Namespace) {
    let (middle, far) = (topology.namespace("r"), topology.namespace("f"));
    let client = &topology.client;
    client.ip(&format!("link add thin0 type veth peer name thin1 netns {}", middle.name));
    middle.ip(&format!("link add wide0 type veth peer name eth0 netns {}", far.name));
    let devices = [
        (client, "thin0", "198.51.100.1/24", "2001:db8:2::1/64", 1400),
        (&middle, "thin1", "198.51.100.2/24", "2001:db8:2::2/64", 1400),
        (&middle, "wide0", "203.0.113.1/24", "2001:db8:3::1/64", 1500),
        (&far, "eth0", "203.0.113.2/24", "2001:db8:3::2/64", 1500),
    ];
    for (namespace, device, ipv4, ipv6, mtu) in devices {
        namespace.ip(&format!("addr add {ipv4} dev {device}"));
        namespace.ip(&format!("addr add {ipv6} dev {device} nodad"));
        namespace.ip(&format!("link set {device} mtu {mtu} up"));
    }
    for router in [client, &middle] {
        router.sysctl("net/ipv4/ip_forward", "1");
        router.sysctl("net/ipv6/conf/all/forwarding", "1");
    }
    topology.host.ip(&format!("route add 203.0.113.0/24 via {CLIENT}"));
    topology.host.ip(&format!("route add 2001:db8:3::/64 via {CLIENT6}"));
    client.ip("route add 203.0.113.0/24 via 198.51.100.2");
    client.ip("route add 2001:db8:3::/64 via 2001:db8:2::2");
    middle.ip("route add default via 198.51.100.1");
    middle.ip("route add default via 2001:db8:2::1");
    far.ip("route add default via 203.0.113.1");
    far.ip("route add default via 2001:db8:3::1");
    (middle, far)
}

/// What the kernel of a namespace knows of the way to an address.
fn route_to(namespace: &Namespace, address: IpAddr) -> String {
    let arguments = ["-n", &namespace.name, "route", "get", &address.to_string()];
    let output = Command::new("ip").args(arguments).output().expect("ip(8)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// That a container has been told of the smaller link. What is far away must not have been told before: it would ask for
/// small packets when it connects.
#[track_caller]
fn has_learned(container: &Namespace, family: Family) {
    let learned = route_to(container, far(family));
    assert!(learned.contains("mtu 1400"), "{family:?}: {learned}");
}

#[test]
fn the_mtu_of_a_path_is_discovered_by_a_container_that_connects() {
    if !is_root() {
        return;
    }
    for family in Family::BOTH {
        let topology = Topology::new(1);
        let (_middle, far_end) = road(&topology);
        let asker = &topology.containers[0];
        let server = tcp_server(&far_end, 7000, 1);
        let answered = asker.run(|| tcp_echo((far(family), 7000), MUCH));
        answered.unwrap_or_else(|error| panic!("{family:?}: {error}: {}", topology.drops()));
        assert_eq!(server.join().expect("server")[0].ip(), family.host());
        has_learned(&asker.namespace, family);
    }
}

#[test]
fn the_mtu_of_a_path_is_discovered_by_a_container_behind_a_published_port() {
    if !is_root() {
        return;
    }
    for family in Family::BOTH {
        let topology = Topology::new(1);
        topology.publish_both(Protocol::Tcp, 8080, 0, 80);
        let (_middle, far_end) = road(&topology);
        let server = tcp_server(&topology.containers[0].namespace, 80, 1);
        let answered = far_end.run(|| tcp_echo((family.host(), 8080), MUCH));
        answered.unwrap_or_else(|error| panic!("{family:?}: {error}: {}", topology.drops()));
        assert_eq!(server.join().expect("server")[0].ip(), far(family));
        has_learned(&topology.containers[0].namespace, family);
    }
}

/// Who complains about a datagram with this time to live, as traceroute(8) asks.
fn complainant(family: Family, hops: u32) -> Option<IpAddr> {
    let any =
        if family == Family::V4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).expect("bind");
    let hops = hops as i32;
    let set = if family == Family::V4 {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true).and(setsockopt(&socket, sockopt::Ipv4Ttl, &hops))
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true).and(setsockopt(&socket, sockopt::Ipv6Ttl, &hops))
    };
    set.expect("options");
    socket.send_to(b"who is there?", (far(family), 33434)).expect("send");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let mut bytes = [0; 64];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut room = nix::cmsg_space!([u8; 128]);
        let flags = MsgFlags::MSG_ERRQUEUE;
        let Ok(message) = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags)
        else {
            sleep(Duration::from_millis(10));
            continue;
        };
        let found = message.cmsgs().expect("whole").find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(_, Some(by)) => {
                Some(Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr)).into())
            }
            ControlMessageOwned::Ipv6RecvErr(_, Some(by)) => {
                Some(Ipv6Addr::from(by.sin6_addr.s6_addr).into())
            }
            _ => None,
        });
        return found;
    }
    None
}

#[test]
fn every_router_on_the_way_answers_a_containers_probe() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let (_middle, _far_end) = road(&topology);
    for family in Family::BOTH {
        let way = [family.gateway(), family.client(), middle(family), far(family)];
        for (hops, router) in (1..).zip(way) {
            let answered = topology.containers[0].run(|| complainant(family, hops));
            assert_eq!(answered, Some(router), "{family:?}, {hops} hops: {}", topology.drops());
        }
    }
}
