//! Each path a packet can take.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use beeline_net::datapath::{Protocol, UplinkSpec};

use crate::{
    topology::{CLIENT, GATEWAY, HOST, Topology, is_root},
    traffic::{tcp_echo, tcp_server, udp_echo, udp_echo_connected, udp_server},
};

/// Enough for GSO packets and several windows.
const MUCH: usize = 4 << 20;

#[test]
fn outside_to_a_published_tcp_port_keeps_the_clients_address() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let server = tcp_server(&topology.containers[0].namespace, 80, 1);
    let peer = topology.client.run(|| tcp_echo((HOST, 8080), MUCH)).expect("echo");
    assert_eq!(peer, SocketAddr::from((HOST, 8080)));
    let peers = server.join().expect("server");
    assert_eq!(peers[0].ip(), IpAddr::V4(CLIENT));
    let counters = topology.datapath().publishes().expect("publishes")[0].counters;
    assert_eq!(counters.connections, 1);
    assert!(counters.bytes > MUCH as u64, "{counters:?}");
    let endpoint = topology.datapath().endpoint_counters(topology.containers[0].ifindex).expect("counters");
    assert!(endpoint.rx_bytes > MUCH as u64 && endpoint.tx_bytes > MUCH as u64, "{endpoint:?}");
}

#[test]
fn outside_to_a_published_udp_port() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Udp, 5353, 0, 53);
    let server = udp_server(&topology.containers[0].namespace, 53, 2);
    let small = topology.client.run(|| udp_echo((HOST, 5353), 100)).expect("small");
    assert_eq!(small, SocketAddr::from((HOST, 5353)));
    let fragmented = topology.client.run(|| udp_echo((HOST, 5353), 5000)).expect("fragmented");
    assert_eq!(fragmented, SocketAddr::from((HOST, 5353)));
    assert!(server.join().expect("server").iter().all(|peer| peer.ip() == IpAddr::V4(CLIENT)));
}

#[test]
fn every_port_of_a_published_range_leads_to_its_own() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_range(Protocol::Tcp, 9000..=9999, 0, 1000);
    for (host, inside) in [(9000, 1000), (9001, 1001), (9537, 1537), (9999, 1999)] {
        let server = tcp_server(&topology.containers[0].namespace, inside, 1);
        topology.client.run(|| tcp_echo((HOST, host), 10)).unwrap_or_else(|error| panic!("{host}: {error}"));
        server.join().expect("server");
    }
    assert!(topology.client.run(|| tcp_echo((HOST, 8999), 1)).is_err());
}

#[test]
fn a_container_reaches_the_outside_under_the_uplinks_address_and_its_own_port() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let server = tcp_server(&topology.client, 7000, 2);
    for container in &topology.containers {
        container.run(|| tcp_echo((CLIENT, 7000), MUCH)).expect("echo");
    }
    assert!(server.join().expect("server").iter().all(|peer| peer.ip() == IpAddr::V4(HOST)));
    let server = udp_server(&topology.client, 7001, 2);
    topology.containers[0].run(|| udp_echo((CLIENT, 7001), 100)).expect("datagram");
    topology.containers[0].run(|| udp_echo((CLIENT, 7001), 5000)).expect("fragmented datagram");
    assert!(server.join().expect("server").iter().all(|peer| peer.ip() == IpAddr::V4(HOST)));
}

#[test]
fn containers_of_one_network_reach_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    let server = tcp_server(&two.namespace, 80, 1);
    one.run(|| tcp_echo((two.address, 80), MUCH)).expect("echo");
    assert_eq!(server.join().expect("server")[0].ip(), IpAddr::V4(one.address));
    let server = udp_server(&two.namespace, 53, 1);
    one.run(|| udp_echo((two.address, 53), 5000)).expect("datagram");
    server.join().expect("server");
}

#[test]
fn host_and_container_reach_each_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = &topology.containers[0];
    let server = tcp_server(&container.namespace, 80, 1);
    topology.host.run(|| tcp_echo((container.address, 80), MUCH)).expect("host to container");
    assert_eq!(server.join().expect("server")[0].ip(), IpAddr::V4(GATEWAY));
    for address in [GATEWAY, HOST] {
        let server = tcp_server(&topology.host, 81, 1);
        container.run(|| tcp_echo((address, 81), MUCH)).expect("container to host");
        assert_eq!(server.join().expect("server")[0].ip(), IpAddr::V4(container.address));
    }
}

#[test]
fn the_host_reaches_its_own_published_port_by_loopback_and_address() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    topology.publish(Protocol::Udp, 8080, 0, 80);
    for address in [Ipv4Addr::LOCALHOST, HOST, GATEWAY] {
        let expected = SocketAddr::from((address, 8080));
        let server = tcp_server(&topology.containers[0].namespace, 80, 1);
        assert_eq!(topology.host.run(|| tcp_echo((address, 8080), MUCH)).expect("TCP"), expected);
        server.join().expect("server");
        let server = udp_server(&topology.containers[0].namespace, 80, 2);
        assert_eq!(topology.host.run(|| udp_echo((address, 8080), 900)).expect("UDP"), expected);
        assert_eq!(topology.host.run(|| udp_echo_connected((address, 8080), 900)).expect("UDP"), expected);
        server.join().expect("server");
    }
    let server = tcp_server(&topology.containers[0].namespace, 80, 1);
    let six: SocketAddr = "[::1]:8080".parse().expect("address");
    assert_eq!(topology.host.run(|| tcp_echo(six, 100)).expect("TCP over ::1"), six);
    server.join().expect("server");
}

#[test]
fn a_container_reaches_ports_that_its_host_publishes_its_own_too() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    topology.publish(Protocol::Udp, 8080, 0, 80);
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    for address in [HOST, GATEWAY] {
        let server = tcp_server(&one.namespace, 80, 2);
        two.run(|| tcp_echo((address, 8080), MUCH)).expect("another container");
        one.run(|| tcp_echo((address, 8080), MUCH)).expect("the container itself");
        let peers = server.join().expect("server");
        assert_eq!(peers[0].ip(), IpAddr::V4(two.address), "the address stays");
        assert_eq!(peers[1].ip(), IpAddr::V4(GATEWAY), "only its own is replaced");
        let server = udp_server(&one.namespace, 80, 2);
        let expected = SocketAddr::from((address, 8080));
        assert_eq!(two.run(|| udp_echo((address, 8080), 100)).expect("another"), expected);
        assert_eq!(one.run(|| udp_echo((address, 8080), 100)).expect("itself"), expected);
        server.join().expect("server");
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
    let uplink = topology.datapath().uplinks().expect("uplinks")[0];
    let addresses = vec![IpAddr::V4(HOST)];
    topology
        .datapath()
        .set_uplink(&UplinkSpec { ifindex: uplink, addresses, mtu: 1300, layer3: false })
        .expect("uplink");
    let container = &topology.containers[0];
    let server = tcp_server(&topology.client, 7000, 1);
    container
        .run(|| tcp_echo((CLIENT, 7000), MUCH))
        .unwrap_or_else(|error| panic!("{error}: {}", topology.drops()));
    server.join().expect("server");
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let server = tcp_server(&container.namespace, 80, 1);
    topology
        .client
        .run(|| tcp_echo((HOST, 8080), MUCH))
        .unwrap_or_else(|error| panic!("{error}: {}", topology.drops()));
    server.join().expect("server");
    // The container knows by now: its datagrams go out in fragments.
    let server = udp_server(&topology.client, 7001, 1);
    container
        .run(|| udp_echo((CLIENT, 7001), 1400))
        .unwrap_or_else(|error| panic!("{error}: {}", topology.drops()));
    server.join().expect("server");
}
