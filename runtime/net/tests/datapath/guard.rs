//! What must not get through.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    process::Command,
};

use beeline_net::{
    Families,
    datapath::{DropReason, Protocol},
};

use crate::{
    topology::{Family, HOST, HOST6, Topology, is_root},
    traffic::{is_out_of_reach, tcp_echo, tcp_server, udp_server},
};

#[test]
fn a_containers_address_is_unreachable_from_outside_unless_its_network_is_routed() {
    if !is_root() {
        return;
    }
    for (ipv4, ipv6) in [(false, false), (true, true), (true, false)] {
        let topology = Topology::with(1, |network| network.routed = Families { ipv4, ipv6 });
        topology.client.ip(&format!("route add 172.30.0.0/24 via {HOST}"));
        topology.client.ip(&format!("route add fd00:30::/64 via {HOST6}"));
        let container = &topology.containers[0];
        for (family, routed) in [(Family::V4, ipv4), (Family::V6, ipv6)] {
            let before = topology.refused(DropReason::NotRouted);
            if routed {
                let server = tcp_server(&container.namespace, 80, 1);
                topology.client.run(|| tcp_echo((container.ip(family), 80), 100)).expect("routed");
                assert_eq!(server.join().expect("server")[0].ip(), family.client());
                assert_eq!(topology.refused(DropReason::NotRouted), before);
            } else {
                assert!(topology.client.run(|| is_out_of_reach((container.ip(family), 80))));
                assert!(topology.refused(DropReason::NotRouted) > before, "{family:?}");
            }
            let server = tcp_server(&topology.client, 7000, 1);
            container.run(|| tcp_echo((family.client(), 7000), 100)).expect("outside");
            let seen = if routed { container.ip(family) } else { family.host() };
            assert_eq!(server.join().expect("server")[0].ip(), seen, "what is routed is not masqueraded");
        }
    }
}

#[test]
fn a_container_cannot_send_under_another_address() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    // Known already: the address resolution under a forged name would be refused before anything else.
    one.namespace.ip(&format!("neigh add {} lladdr 02:00:00:00:00:01 nud permanent dev eth0", two.address));
    one.namespace.ip("addr add 172.30.0.77/32 dev eth0");
    one.run(|| {
        let socket = UdpSocket::bind("172.30.0.77:0").expect("bind");
        socket.send_to(b"forged", (two.address, 9)).expect("send");
    });
    assert_eq!(topology.refused(DropReason::SpoofedAddress), 1);
    one.namespace.ip("link set eth0 address 02:00:00:00:00:99");
    one.run(|| {
        let socket = UdpSocket::bind((one.address, 0)).expect("bind");
        socket.send_to(b"forged", (two.address, 9)).expect("send");
    });
    assert!(topology.refused(DropReason::SpoofedMac) > 0, "{}", topology.drops());
}

#[test]
fn members_of_a_network_without_icc_do_not_reach_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::with(2, |network| network.icc = false);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    topology.publish_both(Protocol::Tcp, 8080, 1, 80);
    for family in Family::BOTH {
        let before = topology.refused(DropReason::Isolated);
        assert!(one.run(|| is_out_of_reach((two.ip(family), 80))));
        assert!(topology.refused(DropReason::Isolated) > before, "{family:?}");
        let server = tcp_server(&two.namespace, 80, 1);
        one.run(|| tcp_echo((family.host(), 8080), 100)).expect("but through a published port they do");
        server.join().expect("server");
    }
}

#[test]
fn an_internal_network_has_no_way_out_but_its_published_ports_answer() {
    if !is_root() {
        return;
    }
    let topology = Topology::with(1, |network| network.internal = true);
    let container = &topology.containers[0];
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    for family in Family::BOTH {
        let before = topology.refused(DropReason::Internal);
        assert!(container.run(|| is_out_of_reach((family.client(), 80))));
        assert!(topology.refused(DropReason::Internal) > before, "{family:?}");
        let server = tcp_server(&container.namespace, 80, 1);
        topology.client.run(|| tcp_echo((family.host(), 8080), 100)).expect("published");
        server.join().expect("server");
    }
}

#[test]
fn a_published_port_is_reserved_without_a_socket() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let publish = topology.publish(Protocol::Tcp, 8080, 0, 80);
    for address in ["0.0.0.0:8080", "127.0.0.1:8080", "192.0.2.1:8080", "[::]:8080"] {
        let error = topology.host.run(|| TcpListener::bind(address)).expect_err(address);
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address}");
    }
    topology.host.run(|| TcpListener::bind("0.0.0.0:8081")).expect("another port");
    topology.host.run(|| UdpSocket::bind("0.0.0.0:8080")).expect("another protocol");
    topology.containers[0].run(|| TcpListener::bind("0.0.0.0:8080")).expect("another namespace");
    topology.datapath().unpublish(&publish).expect("unpublish");
    topology.host.run(|| TcpListener::bind("0.0.0.0:8080")).expect("free again");

    topology.publish_range(Family::V6, Protocol::Tcp, 8080..=8080, 0, 80);
    for address in ["[::]:8080", "[::1]:8080", "[2001:db8:1::1]:8080"] {
        let error = topology.host.run(|| TcpListener::bind(address)).expect_err(address);
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address}");
    }
    topology.host.run(|| TcpListener::bind("127.0.0.1:8080")).expect("the other family's");
}

#[test]
fn an_unpublished_port_is_closed_at_once_also_for_its_connections() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let publish = topology.publish(Protocol::Udp, 5353, 0, 53);
    let server = udp_server(&topology.containers[0].namespace, 53, 3);
    topology.client.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("timeout");
        socket.connect((HOST, 5353)).expect("connect");
        let ask = || {
            socket.send(b"hello")?;
            socket.recv(&mut [0; 16])
        };
        ask().expect("published");
        topology.datapath().unpublish(&publish).expect("unpublish");
        let error = ask().expect_err("withdrawn");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "the host's stack answers");
        topology.datapath().publish(&publish).expect("publish");
        ask().expect("published again");
    });
    drop(server);
}

#[test]
fn ping_goes_every_way_it_should() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let [one, two] = &topology.containers[..] else { panic!("two containers") };
    let ping = |to: IpAddr, size: &str| {
        let arguments = ["-c", "2", "-i", "0.2", "-W", "2", "-n", "-q", "-s", size, &to.to_string()];
        Command::new("ping").args(arguments).output().expect("ping(8)").status.success()
    };
    if Command::new("ping").arg("-V").output().is_err() {
        println!("skipped: needs ping(8)");
        return;
    }
    for family in Family::BOTH {
        for size in ["56", "4000"] {
            assert!(one.run(|| ping(family.client(), size)), "to the outside, {size}: {}", topology.drops());
            assert!(one.run(|| ping(two.ip(family), size)), "to a member, {size}");
            assert!(one.run(|| ping(family.gateway(), size)), "to the gateway, {size}");
            assert!(one.run(|| ping(family.host(), size)), "to the host, {size}");
            assert!(topology.host.run(|| ping(one.ip(family), size)), "from the host, {size}");
            assert!(topology.client.run(|| ping(family.host(), size)), "the host itself answers, {size}");
        }
    }
}

#[test]
fn a_closed_port_outside_is_refused_to_the_container_by_icmp() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    for family in Family::BOTH {
        let error = topology.containers[0].run(|| refusal((family.client(), 9)));
        assert_eq!(error, ErrorKind::ConnectionRefused, "{family:?}: {}", topology.drops());
    }
}

#[test]
fn a_closed_port_behind_a_publish_is_refused_to_the_client_by_icmp() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_both(Protocol::Udp, 5353, 0, 53);
    for family in Family::BOTH {
        for port in [5353, 5354] {
            let error = topology.client.run(|| refusal((family.host(), port)));
            assert_eq!(error, ErrorKind::ConnectionRefused, "{family:?} {port}: {}", topology.drops());
        }
    }
}

/// How a datagram to this address is refused.
fn refusal(to: impl Into<SocketAddr>) -> ErrorKind {
    let to = to.into();
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("bind");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("timeout");
    socket.connect(to).expect("connect");
    socket.send(b"anyone?").expect("send");
    socket.recv(&mut [0; 16]).expect_err("nobody").kind()
}
