//! Packets in fragments, in order and out of it.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use beeline_net::datapath::{DropReason, Protocol};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};

use crate::{
    packet::{L3, Packet, UDP},
    program::{Program, REDIRECT, SHOT, UNSPEC},
    topology::{Family, Topology, is_root},
    traffic::{PATIENCE, udp_server},
};

/// Bytes of a packet in each of its fragments: as much as Ethernet takes of either family.
const SIZE: usize = 1432;

/// More than fits three of them.
const SEVERAL: usize = 5000;

/// The orders that the four fragments of such a packet come in.
const ORDERS: [[usize; 4]; 5] = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [1, 2, 3, 0]];

/// Sends packets from the calling thread's namespace as they are.
fn send(packets: &[Packet]) {
    for packet in packets {
        let family = if packet.is_v4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket =
            socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).expect("socket");
        let to = SockaddrStorage::from(SocketAddr::new(packet.destination().ip(), 0));
        sendto(socket.as_raw_fd(), &packet.bytes[L3..], &to, MsgFlags::empty()).expect("send");
    }
}

/// A payload that differs from place to place, and from one number to another.
fn payload(number: usize) -> Vec<u8> {
    (0..SEVERAL).map(|at| (at * 7 + at / 251 + number) as u8).collect()
}

/// Sends a datagram in fragments in each of the orders from the calling thread's namespace, and expects it back every time.
fn echo(from: SocketAddr, to: SocketAddr) {
    let socket = UdpSocket::bind(from).expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    for (number, order) in ORDERS.into_iter().enumerate() {
        let sent = payload(number);
        let fragments = Packet::new(UDP, from, to, &sent).split(SIZE, 100 + number as u16);
        send(&order.map(|at| fragments[at].clone()));
        let mut received = vec![0; 65536];
        let (count, answered) = socket.recv_from(&mut received).unwrap_or_else(|error| {
            panic!("{from} to {to}, {order:?}: {error}");
        });
        assert_eq!((&received[..count], answered), (&sent[..], to), "{order:?}");
    }
}

#[test]
fn fragments_reach_a_published_port_in_any_order() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_both(Protocol::Udp, 5353, 0, 53);
    for family in Family::BOTH {
        let server = udp_server(&topology.containers[0].namespace, 53, ORDERS.len());
        topology.client.run(|| echo((family.client(), 4000).into(), (family.host(), 5353).into()));
        assert!(server.join().expect("server").iter().all(|peer| peer.ip() == family.client()));
    }
    assert_eq!(topology.drops(), "");
}

#[test]
fn a_containers_fragments_get_outside_in_any_order() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = &topology.containers[0];
    for family in Family::BOTH {
        let server = udp_server(&topology.client, 7000, ORDERS.len());
        container.run(|| echo((container.ip(family), 4000).into(), (family.client(), 7000).into()));
        assert!(server.join().expect("server").iter().all(|peer| peer.ip() == family.host()));
    }
    // All orders but the first have one, two or three that come before the first fragment.
    assert_eq!(topology.drops(), format!("{}={}", DropReason::FragmentEarly.name(), 2 * (3 + 1 + 2 + 3)));
}

#[test]
fn fragments_to_a_server_of_the_host_come_in_any_order_and_once() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish_both(Protocol::Udp, 5353, 0, 53);
    for family in Family::BOTH {
        let server = udp_server(&topology.host, 5454, ORDERS.len());
        topology.client.run(|| echo((family.client(), 4000).into(), (family.host(), 5454).into()));
        server.join().expect("server");
    }
    assert_eq!(topology.drops(), "");
}

#[test]
fn fragments_are_translated_as_one_packet() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    topology.publish_both(Protocol::Udp, 53, 0, 5353);
    for family in Family::BOTH {
        let container = topology.containers[0].ip(family);
        let translated = |program: &Program<'_>, packet: &Packet, id| {
            let fragments = packet.split(64, id).into_iter().map(|fragment| {
                let (verdict, out) = program.run(fragment);
                assert_eq!(verdict, REDIRECT, "{family:?} {}", topology.drops());
                out
            });
            let whole = Packet::join(&fragments.collect::<Vec<_>>());
            whole.assert_checksums();
            whole
        };
        let question = Packet::new(UDP, (family.client(), 4000), (family.host(), 53), &[9; 100]);
        assert_eq!(translated(&uplink, &question, 1).destination(), (container, 5353).into());
        let answer = Packet::new(UDP, (container, 5353), (family.client(), 4000), &[8; 100]);
        assert_eq!(translated(&inside, &answer, 2).source(), (family.host(), 53).into());
    }
}

#[test]
fn a_fragment_before_its_first_waits_for_it_and_the_first_is_what_it_was() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = &topology.containers[0];
    let uplink = Program::uplink(&topology);
    let inside = Program::container(&topology, 0);
    topology.publish_both(Protocol::Udp, 53, 0, 5353);
    for family in Family::BOTH {
        let received =
            || topology.datapath().endpoint_counters(container.ifindex).expect("counters").rx_packets;
        let before = received();
        let question = Packet::new(UDP, (family.client(), 4000), (family.host(), 53), &[9; 300]);
        let mut fragments = question.split(104, 3);
        let first = fragments.remove(0);
        for later in &fragments {
            assert_eq!(uplink.run(later.clone()).0, UNSPEC, "the stack's, too");
        }
        let (verdict, out) = uplink.run(first);
        assert_eq!((verdict, out.destination()), (REDIRECT, (container.ip(family), 5353).into()));
        let out: Vec<Packet> =
            [out].into_iter().chain(fragments.into_iter().map(|later| uplink.run(later).1)).collect();
        Packet::join(&out).assert_checksums();
        // What was kept has come in by the device itself. Of the rest only this program's runs know.
        let deadline = Instant::now() + PATIENCE;
        let expected = before + 1 + 2 * (out.len() as u64 - 1);
        while received() != expected {
            assert!(Instant::now() < deadline, "{} packets, not {expected}", received() - before);
            std::thread::sleep(Duration::from_millis(10));
        }
        // A container's own is the stack's to put together never: an echo request, which begins a flow by its first alone.
        let echo = Packet::echo(container.ip(family), family.client(), true, 9, &[1; 100]);
        let [first, later] = &echo.split(56, 4)[..] else { panic!("two fragments") };
        assert_eq!(inside.run(later.clone()).0, SHOT);
        assert_eq!(inside.run(first.clone()).0, REDIRECT);
    }
    assert_eq!(topology.drops(), format!("{}=2", DropReason::FragmentEarly.name()));
}

#[test]
fn fragments_that_are_too_long_or_too_many_are_not_kept_and_counted() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let inside = Program::container(&topology, 0);
    for family in Family::BOTH {
        let packet = |size| {
            Packet::new(UDP, (topology.containers[0].ip(family), 1), (family.client(), 2), &vec![3; size])
        };
        let before = topology.refused(DropReason::Fragment);
        let long = packet(3000).split(1600, 5).remove(1);
        assert_eq!(inside.run(long).0, SHOT);
        assert_eq!(topology.refused(DropReason::Fragment), before);
        let longer = packet(4000).split(1600, 6).remove(1);
        assert_eq!(inside.run(longer).0, SHOT);
        assert_eq!(topology.refused(DropReason::Fragment), before + 1);
        for tiny in packet(8 * 66).split(8, 7).into_iter().skip(1) {
            assert_eq!(inside.run(tiny).0, SHOT);
        }
        assert_eq!(topology.refused(DropReason::Fragment), before + 3, "64 are kept");
    }
}
