//! Each path a packet can take, in both families.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use beeline_net::datapath::{Protocol, UplinkSpec};

use crate::{
    topology::{CLIENT, Family, HOST, HOST6, Topology, is_root},
    traffic::{tcp_echo, tcp_echo_from, tcp_server, udp_echo, udp_echo_connected, udp_echo_from, udp_server},
};

/// Enough for GSO packets and several windows.
const MUCH: usize = 4 << 20;

/// More than fits a packet: it comes in fragments.
const SEVERAL: usize = 5000;

#[test]
fn outside_to_a_published_tcp_port_keeps_the_clients_address() {
    if !is_root() {
        return;
    }
    for family in Family::BOTH {
        let topology = Topology::new(1);
        topology.publish_both(Protocol::Tcp, 8080, 0, 80);
        let server = tcp_server(&topology.containers[0].namespace, 80, 1);
        let expected = SocketAddr::from((family.host(), 8080));
        assert_eq!(topology.client.run(|| tcp_echo(expected, MUCH)).expect("echo"), expected);
        let peers = server.join().expect("server");
        assert_eq!(peers[0].ip(), family.client());
        let publishes = topology.datapath().publishes().expect("publishes");
        let used = publishes.iter().find(|status| status.publish.host_ip.is_ipv4() == (family == Family::V4));
        let counters = used.expect("published").counters;
        assert_eq!(counters.connections, 1);
        assert!(counters.bytes > MUCH as u64, "{counters:?}");
        let endpoint =
            topology.datapath().endpoint_counters(topology.containers[0].ifindex).expect("counters");
        assert!(endpoint.rx_bytes > MUCH as u64 && endpoint.tx_bytes > MUCH as u64, "{endpoint:?}");
    }
}

#[test]
fn outside_to_a_published_udp_port() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_both(Protocol::Udp, 5353, 0, 53);
    for family in Family::BOTH {
        let server = udp_server(&topology.containers[0].namespace, 53, 2);
        let expected = SocketAddr::from((family.host(), 5353));
        for size in [100, SEVERAL] {
            let answered = topology.client.run(|| udp_echo(expected, size));
            assert_eq!(answered.unwrap_or_else(|error| panic!("{family:?} {size}: {error}")), expected);
        }
        assert!(server.join().expect("server").iter().all(|peer| peer.ip() == family.client()));
    }
}

#[test]
fn every_port_of_a_published_range_leads_to_its_own() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    for family in Family::BOTH {
        topology.publish_range(family, Protocol::Tcp, 9000..=9999, 0, 1000);
        for (host, inside) in [(9000, 1000), (9001, 1001), (9537, 1537), (9999, 1999)] {
            let server = tcp_server(&topology.containers[0].namespace, inside, 1);
            let to = (family.host(), host);
            topology.client.run(|| tcp_echo(to, 10)).unwrap_or_else(|error| panic!("{to:?}: {error}"));
            server.join().expect("server");
        }
        assert!(topology.client.run(|| tcp_echo((family.host(), 8999), 1)).is_err());
    }
}

#[test]
fn a_container_reaches_the_outside_under_the_uplinks_address_and_its_own_port() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    for family in Family::BOTH {
        let server = tcp_server(&topology.client, 7000, 2);
        for container in &topology.containers {
            container.run(|| tcp_echo((family.client(), 7000), MUCH)).expect("echo");
        }
        assert!(server.join().expect("server").iter().all(|peer| peer.ip() == family.host()));
        let server = udp_server(&topology.client, 7001, 2);
        for size in [100, SEVERAL] {
            let answered = topology.containers[0].run(|| udp_echo((family.client(), 7001), size));
            answered.unwrap_or_else(|error| panic!("{family:?} {size}: {error}"));
        }
        assert!(server.join().expect("server").iter().all(|peer| peer.ip() == family.host()));
    }
}

#[test]
fn containers_of_one_network_reach_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    for family in Family::BOTH {
        let server = tcp_server(&two.namespace, 80, 1);
        one.run(|| tcp_echo((two.ip(family), 80), MUCH)).expect("echo");
        assert_eq!(server.join().expect("server")[0].ip(), one.ip(family));
        let server = udp_server(&two.namespace, 53, 1);
        one.run(|| udp_echo((two.ip(family), 53), SEVERAL)).expect("echo");
        server.join().expect("server");
    }
}

#[test]
fn host_and_container_reach_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = &topology.containers[0];
    for family in Family::BOTH {
        let server = tcp_server(&container.namespace, 80, 1);
        topology.host.run(|| tcp_echo((container.ip(family), 80), MUCH)).expect("host to container");
        assert_eq!(server.join().expect("server")[0].ip(), family.gateway());
        for address in [family.gateway(), family.host()] {
            let server = tcp_server(&topology.host, 81, 1);
            container.run(|| tcp_echo((address, 81), MUCH)).expect("container to host");
            assert_eq!(server.join().expect("server")[0].ip(), container.ip(family));
        }
    }
}

#[test]
fn the_host_reaches_its_own_published_port_by_loopback_and_address() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    topology.publish_both(Protocol::Udp, 8080, 0, 80);
    for family in Family::BOTH {
        for address in [family.loopback(), family.host(), family.gateway()] {
            let expected = SocketAddr::from((address, 8080));
            let server = tcp_server(&topology.containers[0].namespace, 80, 1);
            assert_eq!(topology.host.run(|| tcp_echo(expected, MUCH)).expect("TCP"), expected);
            assert_eq!(server.join().expect("server")[0].ip(), family.gateway());
            let server = udp_server(&topology.containers[0].namespace, 80, 2);
            assert_eq!(topology.host.run(|| udp_echo(expected, 900)).expect("UDP"), expected);
            assert_eq!(topology.host.run(|| udp_echo_connected(expected, 900)).expect("UDP"), expected);
            server.join().expect("server");
        }
    }
    let mapped = SocketAddr::from((HOST.to_ipv6_mapped(), 8080));
    let server = tcp_server(&topology.containers[0].namespace, 80, 1);
    assert_eq!(topology.host.run(|| tcp_echo(mapped, 100)).expect("v4-mapped"), mapped);
    server.join().expect("server");
}

#[test]
fn a_client_that_is_bound_to_the_loopback_address_reaches_a_published_port() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    topology.publish_both(Protocol::Udp, 8080, 0, 80);
    for family in Family::BOTH {
        let expected = SocketAddr::from((family.loopback(), 8080));
        let server = tcp_server(&topology.containers[0].namespace, 80, 2);
        for _ in 0..2 {
            let answered = topology.host.run(|| tcp_echo_from((family.loopback(), 0), expected, MUCH));
            let answered =
                answered.unwrap_or_else(|error| panic!("{family:?}: {error}: {}", topology.drops()));
            assert_eq!(answered, expected);
        }
        assert!(server.join().expect("server").iter().all(|peer| peer.ip() == family.gateway()));
        let server = udp_server(&topology.containers[0].namespace, 80, 1);
        let answered = topology.host.run(|| udp_echo_from((family.loopback(), 0), expected, 900));
        assert_eq!(answered.unwrap_or_else(|error| panic!("{family:?}: {error}")), expected);
        server.join().expect("server");
    }
}

#[test]
fn what_is_published_for_ipv4_alone_answers_by_the_loopback_of_both_families() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let six: SocketAddr = "[::1]:8080".parse().expect("address");
    let server = tcp_server(&topology.containers[0].namespace, 80, 1);
    assert_eq!(topology.host.run(|| tcp_echo(six, 100)).expect("TCP over ::1"), six);
    server.join().expect("server");
    assert!(
        topology.host.run(|| tcp_echo((HOST6, 8080), 1)).is_err(),
        "the host's own address is no loopback"
    );
    assert!(topology.client.run(|| tcp_echo((HOST6, 8080), 1)).is_err());
}

#[test]
fn a_container_reaches_ports_that_its_host_publishes_its_own_too() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    topology.publish_both(Protocol::Udp, 8080, 0, 80);
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    for family in Family::BOTH {
        for address in [family.host(), family.gateway()] {
            let server = tcp_server(&one.namespace, 80, 2);
            two.run(|| tcp_echo((address, 8080), MUCH)).expect("another container");
            one.run(|| tcp_echo((address, 8080), MUCH)).expect("the container itself");
            let peers = server.join().expect("server");
            assert_eq!(peers[0].ip(), two.ip(family), "the address stays");
            assert_eq!(peers[1].ip(), family.gateway(), "only its own is replaced");
            let server = udp_server(&one.namespace, 80, 2);
            let expected = SocketAddr::from((address, 8080));
            assert_eq!(two.run(|| udp_echo(expected, 100)).expect("another"), expected);
            assert_eq!(one.run(|| udp_echo(expected, 100)).expect("itself"), expected);
            server.join().expect("server");
        }
    }
}

#[test]
fn what_is_too_large_for_the_way_out_is_told_so_and_arrives_smaller() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.host.ip("link set up0 mtu 1300");
    // The client obeys the link, too, and yet offers to take more: only then is a container's segment too large.
    topology.client.ip("route change 192.0.2.0/24 dev eth0 src 192.0.2.2 mtu lock 1300 advmss 1460");
    topology.client.ip("-6 route replace 2001:db8:1::/64 dev eth0 metric 256 mtu lock 1300 advmss 1440");
    let uplink = topology.datapath().uplinks().expect("uplinks")[0];
    let addresses: Vec<IpAddr> = vec![HOST.into(), HOST6.into()];
    topology
        .datapath()
        .set_uplink(&UplinkSpec { ifindex: uplink, addresses, mtu: 1300, layer3: false })
        .expect("uplink");
    let container = &topology.containers[0];
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    for family in Family::BOTH {
        let explain = |error| -> SocketAddr { panic!("{family:?}: {error}: {}", topology.drops()) };
        let server = tcp_server(&topology.client, 7000, 1);
        container.run(|| tcp_echo((family.client(), 7000), MUCH)).unwrap_or_else(explain);
        server.join().expect("server");
        let server = tcp_server(&container.namespace, 80, 1);
        topology.client.run(|| tcp_echo((family.host(), 8080), MUCH)).unwrap_or_else(explain);
        server.join().expect("server");
        // The container knows by now: its datagrams go out in fragments.
        let server = udp_server(&topology.client, 7001, 1);
        container.run(|| udp_echo((family.client(), 7001), 1400)).unwrap_or_else(explain);
        server.join().expect("server");
    }
}

#[test]
fn an_address_of_the_other_family_leads_nowhere() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = topology.containers[0].ip(Family::V6);
    let publish = beeline_net::datapath::Publish {
        protocol: Protocol::Tcp,
        host_ip: Ipv4Addr::UNSPECIFIED.into(),
        host_first: 8080,
        host_last: 8080,
        container_ip: container,
        container_first: 80,
    };
    let error = topology.datapath().publish(&publish).expect_err("families differ");
    assert!(error.to_string().contains("different families"), "{error}");
    assert!(topology.client.run(|| tcp_echo((CLIENT, 8080), 1)).is_err());
}
