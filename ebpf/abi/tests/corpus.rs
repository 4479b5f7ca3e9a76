//! The parsers on the packets of ebpf/corpus and on mutations of them, compared with a plain reading of the bytes.

use std::{fs, path::Path};

use beeline_abi::{
    ArpPacket, ETHERNET_LEN, EthernetHeader, Extension, IPV6_LEN, Icmp, Ipv4Header, Ipv6Header, Ports, arp,
    ether, icmpv6, ip,
};
use proptest::{prelude::*, sample::Index};

/// The frames of the corpus: lines of hexadecimal bytes, and of comments.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let seed = |path: &Path| {
        let text = fs::read_to_string(path).expect("a seed");
        let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        words.map(|word| u8::from_str_radix(word, 16).expect("a byte")).collect()
    };
    let entries = fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("entry").path());
    let seeds = entries.filter(|path| path.extension().is_some_and(|extension| extension == "hex"));
    let mut seeds: Vec<Vec<u8>> = seeds.map(|path| seed(&path)).collect();
    seeds.sort();
    seeds
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Everything that the parsers say of a frame is what its bytes say; none when they end before.
fn check(frame: &[u8]) -> Option<()> {
    let header = EthernetHeader::parse(frame.first_chunk::<ETHERNET_LEN>()?);
    assert_eq!(
        (header.destination.octets, header.source.octets),
        (frame[..6].try_into().ok()?, frame[6..12].try_into().ok()?)
    );
    assert_eq!(header.protocol, word(frame, 12));
    let packet = &frame[ETHERNET_LEN..];
    match header.protocol {
        ether::IPV4 => check_v4(packet),
        ether::IPV6 => check_v6(packet),
        ether::ARP => check_arp(packet.first_chunk()?),
        _ => None,
    }
}

fn check_arp(bytes: &[u8; arp::LEN]) -> Option<()> {
    let packet = ArpPacket::parse(bytes);
    assert_eq!(packet.is_some(), bytes[..6] == [0, 1, 8, 0, 6, 4], "IPv4 over Ethernet, and nothing else");
    let packet = packet?;
    assert_eq!(packet.operation, word(bytes, 6));
    assert_eq!(
        (packet.sender.to_ne_bytes(), packet.target.to_ne_bytes()),
        (bytes[14..18].try_into().ok()?, bytes[24..28].try_into().ok()?)
    );
    Some(())
}

fn check_v4(packet: &[u8]) -> Option<()> {
    let bytes = packet.first_chunk()?;
    let header = Ipv4Header::parse(bytes);
    assert_eq!(header.is_some(), bytes[0] >> 4 == 4 && bytes[0] & 15 >= 5);
    let header = header?;
    assert_eq!(usize::from(header.header_len), usize::from(bytes[0] & 15) * 4);
    assert_eq!((header.total_len, header.id), (word(bytes, 2), word(bytes, 4)));
    assert_eq!(header.fragment_offset, word(bytes, 6) & 0x1fff);
    assert_eq!((header.more_fragments, header.dont_fragment), (bytes[6] & 0x20 != 0, bytes[6] & 0x40 != 0));
    assert_eq!(header.is_fragment(), word(bytes, 6) & 0x3fff != 0);
    assert_eq!((header.ttl, header.protocol), (bytes[8], bytes[9]));
    let (source, destination) = (header.source_address(), header.destination_address());
    assert!(source.is_v4() && destination.is_v4());
    assert_eq!((&source.octets()[12..], &destination.octets()[12..]), (&bytes[12..16], &bytes[16..20]));
    check_transport(header.protocol, packet.get(usize::from(header.header_len)..)?)
}

fn check_v6(packet: &[u8]) -> Option<()> {
    let bytes = packet.first_chunk::<IPV6_LEN>()?;
    let header = Ipv6Header::parse(bytes);
    assert_eq!(header.is_some(), bytes[0] >> 4 == 6);
    let header = header?;
    assert_eq!(
        (header.payload_len, header.next_header, header.hop_limit),
        (word(bytes, 4), bytes[6], bytes[7])
    );
    assert_eq!(
        (header.source.octets(), header.destination.octets()),
        (bytes[8..24].try_into().ok()?, bytes[24..40].try_into().ok()?)
    );
    let (mut kind, mut rest) = (header.next_header, &packet[IPV6_LEN..]);
    while Extension::is_one(kind) {
        let first = rest.first_chunk::<8>()?;
        let extension = Extension::parse(kind, first);
        assert_eq!(extension.next_header, first[0]);
        let length = match kind {
            ip::FRAGMENT => 8,
            ip::AUTHENTICATION => 8 + 4 * usize::from(first[1]),
            _ => 8 + 8 * usize::from(first[1]),
        };
        assert_eq!(usize::from(extension.len), length, "of a header {kind}");
        assert_eq!(extension.fragment.is_some(), kind == ip::FRAGMENT);
        if let Some(fragment) = extension.fragment {
            assert_eq!((fragment.offset, fragment.more), (word(first, 2) / 8, first[3] & 1 == 1));
            assert_eq!(fragment.id.to_be_bytes(), first[4..]);
        }
        // Each is at least as long as what was read of it: the walk ends.
        rest = rest.get(length..)?;
        kind = extension.next_header;
    }
    check_transport(kind, rest)
}

fn check_transport(protocol: u8, bytes: &[u8]) -> Option<()> {
    let first = bytes.first_chunk::<8>()?;
    match protocol {
        ip::TCP | ip::UDP | ip::SCTP => {
            let ports = Ports::parse(first.first_chunk()?);
            assert_eq!((ports.source, ports.destination), (word(first, 0), word(first, 2)));
            assert_eq!(ports.word().to_ne_bytes(), first[..4]);
        }
        ip::ICMP | ip::ICMPV6 => {
            let message = Icmp::parse(first);
            assert_eq!((message.kind, message.code, message.id), (first[0], first[1], word(first, 4)));
            // No error is a question, an answer, or of neighbour discovery.
            if message.is_error(false) {
                assert!(message.kind < icmpv6::ECHO_REQUEST);
            }
            assert!(!message.is_error(true) || ![0, 8].contains(&message.kind));
        }
        _ => {}
    }
    Some(())
}

#[test]
fn the_corpus_is_read_as_its_bytes_say() {
    let seeds = corpus();
    let whole = seeds.iter().filter(|seed| check(seed).is_some()).count();
    assert!(whole > 100, "{whole} of {} are whole", seeds.len());
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::Direct(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus.regressions"),
        ))),
        ..ProptestConfig::with_cases(20_000)
    })]

    #[test]
    fn a_mutation_of_the_corpus_is_read_as_its_bytes_say(
        seed in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..8),
        length in any::<Index>(),
        is_cut in any::<bool>(),
    ) {
        thread_local!(static SEEDS: Vec<Vec<u8>> = corpus());
        let mut frame = SEEDS.with(|seeds| seed.get(seeds).clone());
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if is_cut {
            frame.truncate(length.index(frame.len()));
        }
        let _ = check(&frame);
    }
}
