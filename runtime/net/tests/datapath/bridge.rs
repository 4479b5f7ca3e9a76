//! What people rely on of a bridge: all that is sent to all arrives, and nobody speaks for another.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

use crate::topology::{Container, Family, Topology, is_root};

const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const PORT: u16 = 5353;

/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(700);

/// A socket that hears what is sent to the group of multicast DNS on the calling thread's `device`.
fn listener(family: Family, device: &str) -> UdpSocket {
    let index = nix::net::if_::if_nametoindex(device).expect("device");
    let socket = match family {
        Family::V4 => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("bind");
            // By the address of the device.
            let own = address_of(device);
            socket.join_multicast_v4(&MDNS, &own).expect("join");
            socket
        }
        Family::V6 => {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)).expect("bind");
            socket.join_multicast_v6(&MDNS6, index).expect("join");
            socket
        }
    };
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    socket
}

fn address_of(device: &str) -> Ipv4Addr {
    let output =
        Command::new("ip").args(["-4", "-o", "addr", "show", "dev", device]).output().expect("ip(8)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let address = text.split("inet ").nth(1).and_then(|rest| rest.split('/').next()).expect("address");
    address.parse().expect("IPv4")
}

/// Sends to the group from the calling thread's `device`.
fn announce(family: Family, device: &str) {
    let index = nix::net::if_::if_nametoindex(device).expect("device");
    match family {
        Family::V4 => {
            let socket = UdpSocket::bind((address_of(device), 0)).expect("bind");
            socket.send_to(b"who is there?", (MDNS, PORT)).expect("send");
        }
        Family::V6 => {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("bind");
            let to = std::net::SocketAddrV6::new(MDNS6, PORT, 0, index);
            socket.send_to(b"who is there?", to).expect("send");
        }
    }
}

fn hear(socket: &UdpSocket) -> Option<SocketAddr> {
    let mut buffer = [0; 64];
    let (count, from) = socket.recv_from(&mut buffer).ok()?;
    assert_eq!(&buffer[..count], b"who is there?");
    Some(from)
}

/// Multicast leaves by the device.
fn route_multicast(container: &Container) {
    container.namespace.ip("route add 224.0.0.0/4 dev eth0");
}

#[test]
fn multicast_reaches_every_member_and_the_host_and_goes_no_further() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(3);
    let [one, two, three] = &topology.containers[..] else { panic!("three containers") };
    route_multicast(one);
    for family in Family::BOTH {
        let members: Vec<UdpSocket> =
            [two, three].iter().map(|container| container.run(|| listener(family, "eth0"))).collect();
        let host = topology.host.run(|| listener(family, "bl0"));
        let outside = topology.client.run(|| listener(family, "eth0"));
        one.run(|| announce(family, "eth0"));
        for socket in members.iter().chain([&host]) {
            let from = hear(socket).unwrap_or_else(|| panic!("{family:?}: {}", topology.drops()));
            match family {
                Family::V4 => assert_eq!(from.ip(), IpAddr::V4(one.address)),
                Family::V6 => assert!(from.to_string().starts_with("[fe80"), "link-local: {from}"),
            }
            socket.set_read_timeout(Some(SILENCE)).expect("timeout");
            assert!(hear(socket).is_none(), "one copy each");
        }
        outside.set_read_timeout(Some(SILENCE)).expect("timeout");
        assert!(hear(&outside).is_none(), "not outside");
        // An answer goes back to the sender's own address, the link-local one too.
        let asked = one.run(|| listener(family, "eth0"));
        topology.host.run(|| announce(family, "bl0"));
        assert!(hear(&asked).is_some(), "from the host, {family:?}: {}", topology.drops());
    }
}

#[test]
fn broadcast_reaches_every_member_once() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(3);
    let listeners: Vec<UdpSocket> = topology.containers[1..]
        .iter()
        .map(|container| {
            container.run(|| {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 9999)).expect("bind");
                socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
                socket
            })
        })
        .collect();
    let addresses = [Ipv4Addr::new(172, 30, 0, 255), Ipv4Addr::BROADCAST];
    for address in addresses {
        topology.containers[0].run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bind");
            socket.set_broadcast(true).expect("broadcast");
            socket.send_to(b"who is there?", (address, 9999)).expect("send");
        });
        for socket in &listeners {
            assert!(hear(socket).is_some(), "{address}: {}", topology.drops());
        }
    }
    for socket in &listeners {
        socket.set_read_timeout(Some(SILENCE)).expect("timeout");
        assert!(hear(socket).is_none(), "one copy each");
    }
}

#[test]
fn members_that_may_not_talk_hear_nothing_of_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::with(2, |network| network.icc = false);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    route_multicast(one);
    for family in Family::BOTH {
        let member = two.run(|| listener(family, "eth0"));
        member.set_read_timeout(Some(SILENCE)).expect("timeout");
        let host = topology.host.run(|| listener(family, "bl0"));
        one.run(|| announce(family, "eth0"));
        assert!(hear(&host).is_some(), "the host hears, {family:?}: {}", topology.drops());
        assert!(hear(&member).is_none(), "the member does not, {family:?}");
    }
}

#[test]
fn members_reach_each_other_by_link_local_addresses() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    let link_local = |container: &Container| {
        let mac = container.run(|| crate::topology::mac("eth0"));
        Ipv6Addr::from(link_local_of(mac))
    };
    let socket = two.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 7)).expect("bind"));
    socket.set_read_timeout(Some(SILENCE)).expect("timeout");
    let to = link_local(two);
    // A datagram may be lost while the neighbour is asked for.
    let from = (0..20).find_map(|_| {
        one.run(|| {
            let index = nix::net::if_::if_nametoindex("eth0").expect("device");
            let sender = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("bind");
            drop(sender.send_to(b"who is there?", std::net::SocketAddrV6::new(to, 7, 0, index)));
        });
        hear(&socket)
    });
    let from = from.unwrap_or_else(|| panic!("nothing: {}", topology.drops()));
    assert_eq!(from.ip(), IpAddr::V6(link_local(one)));
}

/// RFC 4291, appendix A.
fn link_local_of(mac: [u8; 6]) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]]
}

#[test]
fn a_container_cannot_send_under_another_ipv6_address_nor_answer_for_one() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    // One takes two's address: it is told by nobody, and sends nothing under it.
    one.namespace
        .ip(&format!("addr add {}/64 dev eth0 nodad", Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, 99)));
    let socket = two.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 7)).expect("bind"));
    socket.set_read_timeout(Some(SILENCE)).expect("timeout");
    one.run(|| {
        let foreign = Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, 99);
        let sender = UdpSocket::bind((foreign, 0)).expect("bind");
        // The kernel may have to ask for the neighbour first, and is not answered under this address.
        drop(sender.send_to(b"who is there?", (two.address6, 7)));
    });
    assert!(hear(&socket).is_none());
    assert!(topology.drops().contains("spoofed_address"), "{}", topology.drops());
}
