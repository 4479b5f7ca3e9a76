//! The guard at an uplink: denied sources never become a socket buffer, and nobody else notices it.

use std::{
    net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket},
    time::Duration,
};

use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use beeline_net::{
    Rules,
    datapath::{Datapath, DatapathConfig, DropReason, Error, GuardMode, Protocol, UplinkSpec},
    parse_sources,
};

use crate::{
    packet::{Packet, UDP},
    topology::{CLIENT, HOST, Topology, is_root},
    traffic::{tcp_echo, tcp_server, udp_echo, udp_server},
};

/// Enough for GSO packets and several windows.
const MUCH: usize = 4 << 20;

const DROP: u32 = 1;
const PASS: u32 = 2;

fn deny(sources: &str) -> Rules {
    Rules::new([], parse_sources(sources).expect("sources"))
}

fn attach(topology: &Topology, device: &str) -> Option<GuardMode> {
    let index = topology.host.index(device);
    topology.host.run(|| topology.datapath().attach_guard(index, device)).expect("attach")
}

/// Opens another instance in the same namespace.
fn beside(topology: &Topology) -> Datapath {
    let config = DatapathConfig { instance: "u".into(), ..topology.config().clone() };
    topology.host.run(move || Datapath::open(&config)).expect("open")
}

/// Makes the uplink a port of a bridge, which is the uplink then: a device whose driver knows no XDP.
fn uplink_of_bridge(topology: &Topology) -> &'static str {
    let old = topology.host.index("up0");
    topology.host.run(|| topology.datapath().detach_uplink(old, "up0")).expect("detach");
    topology.datapath().remove_uplink(old).expect("uplink");
    for command in [
        "link add br0 type bridge",
        "addr del 192.0.2.1/24 dev up0",
        "addr add 192.0.2.1/24 dev br0",
        "link set up0 master br0",
        "link set br0 up",
    ] {
        topology.host.ip(command);
    }
    let ifindex = topology.host.index("br0");
    topology.host.run(|| topology.datapath().attach_uplink(ifindex, "br0")).expect("attach");
    let addresses = vec![IpAddr::V4(HOST)];
    let spec = UplinkSpec { ifindex, addresses, mtu: 1500, layer3: false };
    topology.datapath().set_uplink(&spec).expect("uplink");
    "br0"
}

/// The hits of the daemon's first rule.
fn hits(topology: &Topology) -> u64 {
    topology.datapath().daemon_rules().expect("rules")[0].hits
}

fn denied(topology: &Topology) -> u64 {
    let drops = topology.datapath().drops().expect("drops");
    drops.iter().find(|(reason, _)| *reason == DropReason::Denied).map_or(0, |(_, count)| *count)
}

/// A datagram of the client's to a socket of the host's own.
fn send(topology: &Topology) {
    topology.client.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        socket.send_to(b"hello", (HOST, 7000)).expect("send");
    });
}

#[test]
fn a_denied_source_reaches_nothing_of_the_host_by_a_guarded_uplink() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Udp, 5353, 0, 53);
    let own = topology.host.run(|| UdpSocket::bind((HOST, 7000))).expect("bind");
    own.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
    topology.datapath().set_daemon_rules(&deny("192.0.2.2")).expect("rules");
    send(&topology);
    own.recv(&mut [0; 16]).expect("without the guard the rule is for published ports alone");
    assert_eq!(hits(&topology), 0);

    assert_eq!(attach(&topology, "up0"), Some(GuardMode::Native));
    assert_eq!(attach(&topology, "up0"), None, "once more changes nothing");
    // Frames that were on their way are past it.
    let (hit, counted) = (hits(&topology), denied(&topology));
    send(&topology);
    own.recv(&mut [0; 16]).expect_err("dropped");
    assert_eq!((hits(&topology) - hit, denied(&topology) - counted), (1, 1));

    topology.datapath().set_daemon_rules(&deny("192.0.2.3")).expect("rules");
    send(&topology);
    own.recv(&mut [0; 16]).expect("another is denied now");
    topology.datapath().set_daemon_rules(&deny("192.0.2.2")).expect("rules");
    topology.datapath().detach_guard(topology.host.index("up0")).expect("detach");
    send(&topology);
    own.recv(&mut [0; 16]).expect("without the guard again");
}

#[test]
fn traffic_of_others_passes_a_guard_whole_native_or_generic() {
    if !is_root() {
        return;
    }
    for generic in [false, true] {
        let topology = Topology::new(1);
        let uplink = if generic { uplink_of_bridge(&topology) } else { "up0" };
        topology.datapath().set_daemon_rules(&deny("198.51.100.0/24,2001:db8::/32")).expect("rules");
        let mode = attach(&topology, uplink);
        assert_eq!(mode, Some(if generic { GuardMode::Generic } else { GuardMode::Native }));
        topology.publish(Protocol::Tcp, 8080, 0, 80);
        topology.publish(Protocol::Udp, 5353, 0, 53);
        let container = &topology.containers[0];
        let servers = (tcp_server(&container.namespace, 80, 1), udp_server(&container.namespace, 53, 1));
        topology
            .client
            .run(|| tcp_echo((HOST, 8080), MUCH))
            .unwrap_or_else(|error| panic!("a stream of GSO packets, {mode:?}: {error}"));
        topology.client.run(|| udp_echo((HOST, 5353), 5000)).expect("fragments");
        let peers = servers.0.join().expect("server");
        assert_eq!(peers[0].ip(), IpAddr::V4(CLIENT));
        servers.1.join().expect("server");
        let outside = tcp_server(&topology.client, 7000, 1);
        container.run(|| tcp_echo((CLIENT, 7000), MUCH)).expect("and the answers to a container's own");
        outside.join().expect("server");
        assert_eq!(hits(&topology), 0);

        topology.datapath().set_daemon_rules(&deny("192.0.2.2")).expect("rules");
        let connect =
            || TcpStream::connect_timeout(&(HOST, 8080).into(), Duration::from_millis(300)).map(drop);
        topology.client.run(connect).expect_err("dropped");
        assert!(hits(&topology) > 0);
    }
}

#[test]
fn a_guard_outlives_the_daemon_and_ends_with_the_instance() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(0);
    topology.datapath().set_daemon_rules(&deny("192.0.2.2")).expect("rules");
    attach(&topology, "up0");
    let own = topology.host.run(|| UdpSocket::bind((HOST, 7000))).expect("bind");
    own.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
    let reaches = |topology: &Topology| {
        send(topology);
        own.recv(&mut [0; 16]).is_ok()
    };
    topology.close();
    assert!(!reaches(&topology), "while there is no daemon");
    topology.reload();
    assert_eq!(attach(&topology, "up0"), None, "adopted");
    assert!(!reaches(&topology), "after an upgrade of the programs");
    topology.datapath().destroy().expect("destroy");
    assert!(reaches(&topology), "no guard is left");
    topology.open();
    topology.configure_again();
}

#[test]
fn a_device_with_another_program_is_named_with_what_to_do() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(0);
    attach(&topology, "up0");
    let second = beside(&topology);
    let index = topology.host.index("up0");
    let error = topology.host.run(|| second.attach_guard(index, "up0")).expect_err("taken");
    second.destroy().expect("destroy");
    assert!(matches!(error, Error::GuardBusy { .. }), "{error}");
    assert!(error.to_string().contains("ip link set dev up0 xdp off"), "{error}");
}

/// Puts VLAN tags behind the addresses of a frame.
fn tagged(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut bytes = frame[..12].to_vec();
    for tag in tags {
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&[0, 7]);
    }
    bytes.extend_from_slice(&frame[12..]);
    bytes
}

#[test]
fn tagged_frames_are_judged_and_what_is_no_whole_ip_packet_passes() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(0);
    topology.datapath().set_daemon_rules(&deny("203.0.113.0/24,2001:db8:1::/48,::/8")).expect("rules");
    let layer3 = topology.host.index("bl0");
    let spec = UplinkSpec { ifindex: layer3, addresses: Vec::new(), mtu: 1500, layer3: true };
    topology.datapath().set_uplink(&spec).expect("uplink");
    let guard =
        Xdp::from_pin(topology.program_path("uplink_guard"), XdpAttachType::Interface).expect("program");
    let run = |device: &str, bytes: &[u8]| {
        let index = topology.host.index(device);
        // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let words = [0, bytes.len() as u32, 0, index, 0, 0];
        let context: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        topology.host.run(|| {
            let options =
                TestRunOptions { data_in: Some(bytes), ctx_in: Some(&context), ..TestRunOptions::default() };
            guard.test_run(options).expect("run").return_value
        })
    };
    let four = |source: [u8; 4]| Packet::new(UDP, (Ipv4Addr::from(source), 4000), (HOST, 53), b"hello").bytes;
    let six = |source: &str| {
        let mut bytes = vec![0; 12];
        bytes.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64]);
        bytes.extend_from_slice(&source.parse::<std::net::Ipv6Addr>().expect("address").octets());
        bytes.extend_from_slice(&[0; 16]);
        bytes
    };
    let (bad, good) = (four([203, 0, 113, 9]), four([192, 0, 2, 2]));
    for (bytes, verdict, case) in [
        (bad.clone(), DROP, "denied"),
        (good.clone(), PASS, "not denied: a rule for IPv6 is none for mapped IPv4"),
        (six("2001:db8:1::5"), DROP, "denied IPv6"),
        (six("2001:db8:2::5"), PASS, "not denied IPv6"),
        (tagged(&bad, &[0x8100]), DROP, "denied behind a tag"),
        (tagged(&bad, &[0x88a8, 0x8100]), DROP, "denied behind two tags"),
        (tagged(&six("2001:db8:1::5"), &[0x8100]), DROP, "denied IPv6 behind a tag"),
        (tagged(&good, &[0x8100]), PASS, "not denied behind a tag"),
        (tagged(&bad, &[0x88a8, 0x88a8, 0x8100]), PASS, "three tags"),
        (bad[..33].to_vec(), PASS, "truncated"),
        (tagged(&bad, &[0x8100])[..20].to_vec(), PASS, "truncated behind a tag"),
        (six("2001:db8:1::5")[..30].to_vec(), PASS, "truncated IPv6"),
        ([&bad[..14], &[0x55], &bad[15..]].concat(), PASS, "another version"),
        ([&bad[..12], &[0x08, 0x06], &bad[14..]].concat(), PASS, "ARP"),
    ] {
        assert_eq!(run("up0", &bytes), verdict, "{case}");
    }
    assert_eq!(run("bl0", &bad[14..]), DROP, "without an Ethernet header");
    assert_eq!(run("bl0", &good[14..]), PASS, "without an Ethernet header");
    assert_eq!(run("bl0", &six("2001:db8:1::5")[14..]), DROP, "IPv6 without an Ethernet header");
    assert_eq!(run("lo", &bad), PASS, "a device that is no uplink");
    assert_eq!(denied(&topology), 7);
}
