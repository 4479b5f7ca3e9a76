//! Restarts, upgrades, flows that end, and what is left behind.

use std::{
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use beeline_net::datapath::{DropReason, Error, Protocol, Timeouts};

use crate::{
    packet::{Packet, UDP},
    program::{Program, REDIRECT},
    topology::{CLIENT, HOST, Topology, is_root},
    traffic::{PATIENCE, echo, tcp_echo, tcp_server, udp_server},
};

#[test]
fn a_connection_survives_the_daemon_and_its_successor_knows_everything() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(1);
    let publish = topology.publish(Protocol::Tcp, 8080, 0, 80);
    let server = tcp_server(&topology.containers[0].namespace, 80, 2);
    let mut stream =
        topology.client.run(|| TcpStream::connect_timeout(&(HOST, 8080).into(), PATIENCE)).expect("connect");
    echo(&mut stream, 1000).expect("before");
    topology.close();
    echo(&mut stream, 1000).expect("while there is no daemon");
    topology.open();
    echo(&mut stream, 1000).expect("after");
    topology.reload();
    echo(&mut stream, 1000).expect("after an upgrade of the programs");
    drop(stream);
    let statuses = topology.datapath().publishes().expect("publishes");
    assert_eq!((statuses.len(), statuses[0].publish), (1, publish));
    assert_eq!(statuses[0].counters.connections, 1);
    assert_eq!(topology.datapath().endpoints().len(), 1);
    topology.datapath().publish(&publish).expect("the same once more");
    topology.client.run(|| tcp_echo((HOST, 8080), 100)).expect("a new connection");
    server.join().expect("server");
}

#[test]
fn a_taken_port_cannot_be_published_again() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let mut publish = topology.publish_range(crate::topology::Family::V4, Protocol::Tcp, 8000..=8999, 0, 80);
    publish.container_ip = topology.containers[1].address.into();
    (publish.host_first, publish.host_last) = (8999, 8999);
    let error = topology.datapath().publish(&publish).expect_err("taken");
    assert!(matches!(error, Error::AlreadyPublished { .. }), "{error}");
    assert_eq!(error.to_string(), "0.0.0.0:8999/tcp is already published as 0.0.0.0:8000-8999/tcp");
    publish.protocol = Protocol::Udp;
    topology.datapath().publish(&publish).expect("another protocol");
}

#[test]
fn flows_are_deleted_in_pairs_when_their_endpoint_is_gone() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Udp, 5353, 0, 53);
    let server = udp_server(&topology.containers[0].namespace, 53, 20);
    topology.client.run(|| {
        // All of them at once: a port that is free again would be taken again.
        let sockets: Vec<UdpSocket> = (0..20).map(|_| UdpSocket::bind("0.0.0.0:0").expect("bind")).collect();
        for socket in &sockets {
            socket.send_to(b"hello", (HOST, 5353)).expect("send");
        }
    });
    server.join().expect("server");
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 0, "all are young");
    assert_eq!(topology.datapath().conntrack_len(), 40, "two entries each");
    topology.datapath().remove_endpoint(topology.containers[0].ifindex).expect("remove");
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 20);
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 0);
    assert_eq!(topology.datapath().conntrack_len(), 0, "none is left, and no half of one");
}

#[test]
fn connections_survive_an_upgrade_to_maps_of_another_layout() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(1);
    let publish = topology.publish(Protocol::Tcp, 8080, 0, 80);
    let server = tcp_server(&topology.containers[0].namespace, 80, 2);
    let outside = tcp_server(&topology.client, 7000, 1);
    let mut inbound = topology.client.run(|| TcpStream::connect((HOST, 8080)).expect("connect"));
    let mut outbound = topology.containers[0].run(|| TcpStream::connect((CLIENT, 7000)).expect("connect"));
    echo(&mut inbound, 1000).expect("published");
    echo(&mut outbound, 1000).expect("masqueraded");
    topology.close();
    topology.age_maps();
    topology.reload();
    assert!(topology.datapath().is_staged());
    echo(&mut inbound, 1000).expect("the programs in place serve on");
    topology.tell_again();
    topology.datapath().publish(&publish).expect("publish");
    echo(&mut inbound, 1000).expect("and so they do when all is told");
    topology.host.run(|| topology.datapath().take_over()).expect("take over");
    assert!(!topology.datapath().is_staged());
    echo(&mut inbound, 100_000).expect("published, carried over");
    echo(&mut outbound, 100_000).expect("masqueraded, carried over");
    let versions = topology.map_versions();
    assert_eq!(versions, [format!("maps_v{}", beeline_net::datapath::LAYOUT_VERSION)]);
    // The server has one connection at a time.
    drop((inbound, outbound));
    topology.client.run(|| tcp_echo((HOST, 8080), 100)).expect("a new connection");
    server.join().expect("server");
    outside.join().expect("server");
}

#[test]
fn a_network_has_no_more_flows_than_its_quota() {
    if !is_root() {
        return;
    }
    let topology = Topology::with(1, |network| network.flow_quota = Some(8));
    topology.publish(Protocol::Udp, 5353, 0, 53);
    let quota = |topology: &Topology| {
        let drops = topology.datapath().drops().expect("drops");
        drops.iter().find(|(reason, _)| *reason == DropReason::FlowQuota).map_or(0, |(_, count)| *count)
    };
    let ask = || {
        topology.client.run(|| {
            for _ in 0..12 {
                let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
                socket.send_to(b"hello", (HOST, 5353)).expect("send");
            }
        });
    };
    ask();
    assert_eq!(quota(&topology), 4);
    topology.datapath().expire_flows().expect("count");
    assert_eq!(topology.datapath().conntrack_len(), 16);
    // Flows that end make room, also those that end with their publish.
    let publish = topology.datapath().publishes().expect("publishes")[0].publish;
    topology.datapath().unpublish(&publish).expect("unpublish");
    topology.datapath().publish(&publish).expect("publish");
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 8);
    ask();
    assert_eq!(quota(&topology), 8);
}

#[test]
fn two_containers_with_the_same_source_port_get_different_ones_outside() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let server = udp_server(&topology.client, 7000, 2);
    for container in &topology.containers {
        container.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:4000").expect("bind");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
            socket.send_to(b"hello", (CLIENT, 7000)).expect("send");
            socket.recv(&mut [0; 16]).expect("the answer finds its way");
        });
    }
    let peers = server.join().expect("server");
    assert_eq!(peers[0].port(), 4000, "the first keeps its port");
    assert_ne!(peers[1].port(), 4000);
}

#[test]
fn a_socket_of_the_host_keeps_its_port_from_masquerade() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let socket = topology.host.run(|| UdpSocket::bind("0.0.0.0:4000")).expect("bind");
    let server = udp_server(&topology.client, 7000, 2);
    topology.containers[0].run(|| {
        let socket = UdpSocket::bind("0.0.0.0:4000").expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
        socket.send_to(b"container", (CLIENT, 7000)).expect("send");
        socket.recv(&mut [0; 16]).expect("the container's answer");
    });
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
    socket.send_to(b"host", (CLIENT, 7000)).expect("send");
    let mut buffer = [0; 16];
    let count = socket.recv(&mut buffer).expect("the host's answer");
    assert_eq!(&buffer[..count], b"host");
    let peers = server.join().expect("server");
    assert_ne!(peers[0].port(), 4000);
    assert_eq!(peers[1].port(), 4000);
}

#[test]
fn one_client_port_through_two_publishes_to_one_container_stays_two_connections() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Udp, 5001, 0, 53);
    topology.publish(Protocol::Udp, 5002, 0, 53);
    let server = udp_server(&topology.containers[0].namespace, 53, 2);
    topology.client.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:4000").expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
        for port in [5001, 5002] {
            socket.send_to(b"hello", (HOST, port)).expect("send");
            let (_, from) = socket.recv_from(&mut [0; 16]).expect("answer");
            assert_eq!(from, (HOST, port).into());
        }
    });
    let peers = server.join().expect("server");
    assert_eq!(peers[0].port(), 4000);
    assert_ne!(peers[1].port(), 4000);
}

#[test]
fn the_timeouts_of_the_daemon_that_is_hold_also_for_flows_that_were() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(1);
    topology.publish(Protocol::Udp, 53, 0, 53);
    let packet = Packet::new(UDP, (CLIENT, 4000), (HOST, 53), b"who");
    assert_eq!(Program::uplink(&topology).run(packet).0, REDIRECT);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 0, "a minute has not passed");
    topology.open_with(Timeouts { udp: 1_000_000_000, ..Timeouts::NORMAL });
    assert_eq!(topology.datapath().expire_flows().expect("expire"), 1);
}

#[test]
fn a_flow_between_containers_through_a_published_port_ends_with_either() {
    if !is_root() {
        return;
    }
    for gone in [0, 1] {
        let topology = Topology::new(2);
        topology.publish(Protocol::Udp, 53, 0, 5353);
        let client = topology.containers[1].address;
        let packet = Packet::new(UDP, (client, 4000), (HOST, 53), b"who");
        assert_eq!(Program::container(&topology, 1).run(packet).0, REDIRECT, "{}", topology.drops());
        assert_eq!(topology.datapath().expire_flows().expect("expire"), 0);
        topology.datapath().remove_endpoint(topology.containers[gone].ifindex).expect("remove");
        assert_eq!(topology.datapath().expire_flows().expect("expire"), 1, "container {gone}");
        topology.datapath().expire_flows().expect("expire");
        assert_eq!(topology.datapath().conntrack_len(), 0, "no half is left");
    }
}
