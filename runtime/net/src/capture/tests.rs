//! Frames on the loopback of a namespace, and which of them a capture has.

use std::{net::IpAddr, os::fd::AsFd as _, time::Duration};

use nix::sys::socket::{MsgFlags, send};

use super::*;
use crate::Netns;
use std::os::fd::AsRawFd as _;

/// A frame of Ethernet.
fn frame(kind: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A packet of IPv4 with options, whose transport header begins with these ports.
fn ipv4(from: u8, to: u8, protocol: u8, ports: [u16; 2], offset: u16) -> Vec<u8> {
    let mut packet = vec![0x46, 0, 0, 44, 0, 0];
    packet.extend(offset.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, from, 192, 0, 2, to, 1, 1, 1, 1]);
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    packet.extend([0; 16]);
    frame(0x0800, &packet)
}

/// A packet of IPv6 with these extension headers, each with the number of the next.
fn ipv6(from: u8, to: u8, first: u8, extensions: &[&[u8]], ports: [u16; 2]) -> Vec<u8> {
    let length = extensions.iter().map(|header| header.len()).sum::<usize>() + 20;
    let mut packet = vec![0x60, 0, 0, 0, 0, length as u8, first, 64];
    for end in [from, to] {
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end]);
    }
    packet.extend(extensions.concat());
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    packet.extend([0; 16]);
    frame(0x86dd, &packet)
}

fn arp(from: u8, to: u8) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, from, 0, 0, 0, 0, 0, 0];
    packet.extend([192, 0, 2, to]);
    frame(0x0806, &packet)
}

/// Every frame with the name that the tests have for it.
fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let options: &[u8] = &[43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let routing: &[u8] = &[44, 0, 0, 0, 0, 0, 0, 0];
    let [first, rest]: [&[u8]; 2] = [&[17, 0, 0, 1, 0, 0, 0, 7], &[17, 0, 0, 9, 0, 0, 0, 7]];
    vec![
        ("tcp4", ipv4(1, 2, 6, [40000, 80], 0)),
        ("udp4", ipv4(2, 1, 17, [53, 40001], 0x4000)),
        ("rest4", ipv4(1, 2, 17, [53, 53], 0x2001)),
        ("icmp4", ipv4(1, 3, 1, [0x0800, 80], 0)),
        ("gre4", ipv4(1, 2, 47, [80, 80], 0)),
        ("tcp6", ipv6(1, 2, 6, &[], [80, 40000])),
        ("udp6", ipv6(1, 2, 0, &[options, routing, first], [40001, 53])),
        ("rest6", ipv6(1, 2, 0, &[options, routing, rest], [53, 53])),
        ("icmp6", ipv6(3, 1, 58, &[], [0x8000, 80])),
        ("arp", arp(1, 3)),
        ("other", frame(0x88cc, &[1, 2, 3])),
    ]
}

fn filter(hosts: &[&str], ports: &[u16], protocols: &[&str]) -> CaptureFilter {
    CaptureFilter {
        hosts: hosts.iter().map(|host| host.parse::<IpAddr>().unwrap()).collect(),
        ports: ports.to_vec(),
        protocols: protocols.iter().map(|protocol| protocol.parse().unwrap()).collect(),
    }
}

/// The names of the frames that a capture with this filter has, and how long each is in it.
async fn captured(netns: &Netns, filter: CaptureFilter, snaplen: u32) -> (String, Vec<usize>) {
    let spec = CaptureSpec { interface: Some("lo".into()), filter, snaplen };
    let mut capture = Capture::open(netns.as_fd(), spec).await.unwrap();
    let lo = capture.interfaces()[0].index;
    let frames = frames();
    on_own_thread("sender", || {
        enter(netns.as_fd())?;
        let socket = PacketSocket::open()?;
        socket.bind(Some(lo))?;
        for (name, frame) in &frames {
            let sent = send(socket.as_raw_fd(), frame, MsgFlags::empty());
            assert_eq!(sent, Ok(frame.len()), "{name}");
        }
        Ok(())
    })
    .unwrap();
    capture.stop().unwrap();
    let (mut names, mut lengths) = (Vec::new(), Vec::new());
    while let Ok(ready) = tokio::time::timeout(CAPTURE_LATENCY, capture.ready()).await {
        ready.unwrap();
        for packet in capture.block().unwrap().packets() {
            assert_eq!((packet.interface, packet.direction), (lo, PacketDirection::Received));
            let (name, frame) = frames.iter().find(|(_, frame)| frame.starts_with(packet.data)).unwrap();
            assert_eq!(packet.length as usize, frame.len());
            names.push(*name);
            lengths.push(packet.data.len());
        }
    }
    assert_eq!(
        capture.counters().unwrap(),
        CaptureCounters { matched: names.len() as u64, dropped: 0 },
        "{names:?}"
    );
    (names.join(" "), lengths)
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "a test that needs root says when it is skipped")]
async fn a_filter_lets_through_what_it_says() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let netns = Netns::create().unwrap();
    let all = "tcp4 udp4 rest4 icmp4 gre4 tcp6 udp6 rest6 icmp6 arp other";
    for (hosts, ports, protocols, expected) in [
        (&[][..], &[][..], &[][..], all),
        (&["192.0.2.2"], &[], &[], "tcp4 udp4 rest4 gre4"),
        (&["192.0.2.3", "2001:db8::2"], &[], &[], "icmp4 tcp6 udp6 rest6 arp"),
        (&[], &[80], &[], "tcp4 tcp6"),
        (&[], &[53, 40000], &[], "tcp4 udp4 tcp6 udp6"),
        (&[], &[], &["udp"], "udp4 rest4 udp6 rest6"),
        (&[], &[], &["icmp", "arp"], "icmp4 icmp6 arp"),
        (&[], &[], &["47"], "gre4"),
        (&[], &[80], &["udp", "icmp", "tcp"], "tcp4 tcp6"),
        (&["2001:db8::1"], &[53], &["udp"], "udp6"),
        (&["192.0.2.9"], &[], &[], ""),
    ] {
        let filter = filter(hosts, ports, protocols);
        let (names, _) = captured(&netns, filter.clone(), CAPTURE_SNAPLEN).await;
        assert_eq!(names, expected, "{filter:?}");
    }
    let (names, lengths) = captured(&netns, CaptureFilter::default(), 40).await;
    assert_eq!(names.split(' ').count(), lengths.len());
    assert!(lengths.iter().all(|length| *length == 40), "{lengths:?}");
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "a test that needs root says when it is skipped")]
async fn an_interface_that_goes_ends_its_capture() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let netns = Netns::create().unwrap();
    let run = |args: &'static [&'static str]| {
        on_own_thread("ip", || {
            enter(netns.as_fd())?;
            assert!(std::process::Command::new("ip").args(args).status().unwrap().success());
            Ok(())
        })
        .unwrap();
    };
    run(&["link", "add", "one", "type", "veth", "peer", "name", "two"]);
    let spec = |name: &str| CaptureSpec {
        interface: Some(name.into()),
        filter: CaptureFilter::default(),
        snaplen: CAPTURE_SNAPLEN,
    };
    let missing = Capture::open(netns.as_fd(), spec("three")).await.unwrap_err();
    assert!(matches!(missing, Error::DeviceGone { device } if device == "three"));
    let mut capture = Capture::open(netns.as_fd(), spec("one")).await.unwrap();
    assert_eq!(capture.interfaces()[0].name, "one");
    run(&["link", "delete", "two"]);
    let ended = async {
        while let Ok(()) = capture.ready().await {
            drop(capture.block());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
}
