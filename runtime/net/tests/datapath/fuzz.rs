//! Mutations of the packets in ebpf/corpus, run through every program that handles packets.
//!
//! Each run replays the corpus and some random mutations; `PROPTEST_CASES` asks for more of these. What failed once is kept
//! in `fuzz/regressions`; a packet that is worth keeping for good goes into the corpus, by a name that says what it is.

use std::path::Path;

use beeline_net::datapath::{DropReason, Protocol};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{FileFailurePersistence, TestCaseError, TestRunner},
};

use crate::{
    packet::{ICMPV6, L3, Packet},
    program::{Program, REDIRECT, SHOT, UNSPEC},
    topology::{Family, Topology, is_root},
};

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/datapath/fuzz/regressions");

/// The kernel hands no program less than an IP header.
const LEAST: usize = L3 + 40;
/// Nor, in one piece, more than a page less some room.
const MOST: usize = 3000;

/// What precedes a seed's bytes: its name.
type Seed = (String, Vec<u8>);

/// The packets of the corpus: lines of hexadecimal bytes, and of comments.
fn corpus() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ebpf/corpus");
    let mut seeds: Vec<Seed> = std::fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a seed");
            let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
            let bytes = words.map(|word| u8::from_str_radix(word, 16).expect("a byte")).collect();
            (path.file_stem().expect("name").to_string_lossy().into_owned(), bytes)
        })
        .collect();
    seeds.sort();
    seeds
}

/// One change of a packet.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    /// A length or an offset, at its extremes.
    Word(Index, u16),
    Cut(Index),
    Append(Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let word = prop::sample::select(vec![0, 1, 7, 8, 20, 40, 0x1fff, 0x2000, 0x7fff, 0x8000, 0xfff8, 0xffff]);
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Mutation::Set(at, value)),
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), word).prop_map(|(at, word)| Mutation::Word(at, word)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Mutation::Append),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (any::<Index>(), 1usize..9).prop_map(|(at, count)| Mutation::Remove(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    match mutation {
        Mutation::Set(at, value) => bytes[at.index(length)] = *value,
        Mutation::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Mutation::Word(at, word) => {
            let at = at.index(length - 1);
            bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
        }
        Mutation::Cut(at) => bytes.truncate(at.index(length).max(2)),
        Mutation::Append(more) => bytes.extend_from_slice(more),
        Mutation::Insert(at, more) => {
            let at = at.index(length);
            bytes.splice(at..at, more.iter().copied());
        }
        Mutation::Remove(at, count) => {
            let at = at.index(length);
            bytes.drain(at..(at + count).min(length));
            bytes.resize(bytes.len().max(2), 0);
        }
    }
}

/// A program, and which verdicts it may return.
struct Target<'a> {
    name: &'static str,
    program: Program<'a>,
    verdicts: &'static [u32],
}

fn targets(topology: &Topology) -> [Target<'_>; 4] {
    let target = |name, program, verdicts| Target { name, program, verdicts };
    [
        target("uplink_ingress", Program::uplink(topology), &[UNSPEC, SHOT, REDIRECT]),
        target("uplink_egress", Program::outgoing(topology), &[UNSPEC, SHOT]),
        target("container_ingress", Program::container(topology, 0), &[SHOT, REDIRECT]),
        target("gateway_egress", Program::gateway(topology), &[SHOT, REDIRECT]),
    ]
}

/// A topology where much leads somewhere.
fn topology() -> Topology {
    let topology = Topology::new(2);
    for container in &topology.containers {
        // What the kernel inside says on its own would be counted with ours.
        container.namespace.ip("link set eth0 down");
    }
    for family in Family::BOTH {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            topology.publish_range(family, protocol, 8000..=8999, 0, 80);
            topology.publish_range(family, protocol, 9000..=9999, 1, 80);
        }
    }
    topology
}

fn refusals(topology: &Topology) -> Vec<(DropReason, u64)> {
    topology.datapath().drops().expect("drops")
}

/// Which refusals were counted since, each as often as it was.
fn counted(before: &[(DropReason, u64)], after: &[(DropReason, u64)]) -> Vec<DropReason> {
    let since = before.iter().zip(after).map(|((reason, before), (_, after))| (*reason, after - before));
    since.flat_map(|(reason, count)| std::iter::repeat_n(reason, count as usize)).collect()
}

/// Whether a packet is of those that end at the bridge without being refused: address resolution, and memberships in groups.
fn is_housekeeping(bytes: &[u8]) -> bool {
    let kind = [bytes[12], bytes[13]];
    let packet = Packet { bytes: bytes.to_vec() };
    kind == [8, 6] || kind == [8, 0] && bytes[L3 + 9] == 2 || packet.is_sound() && packet.protocol() == ICMPV6
}

/// Runs a program on a packet and says what must not be.
fn run(topology: &Topology, target: &Target<'_>, bytes: &[u8]) -> Result<(), String> {
    let packet = Packet { bytes: bytes.to_vec() };
    let before = refusals(topology);
    let (verdict, out) = target.program.run_bytes(bytes);
    let counted = counted(&before, &refusals(topology));
    let out = Packet { bytes: out };
    let is_answer = out.is_sound() && out.protocol() == ICMPV6 && out.ttl() == 255;
    let is_group = bytes[0] & 1 == 1;
    let wrong = if !target.verdicts.contains(&verdict) {
        "an unknown verdict"
    } else if verdict == SHOT && counted.len() != 1 && !is_group && !is_housekeeping(bytes) {
        "a packet was dropped and not counted once"
    } else if verdict != SHOT && counted.len() > 1 {
        "more than one refusal was counted"
    } else if verdict == UNSPEC && target.name == "uplink_ingress" && out != packet {
        "a packet was changed on its way to the stack"
    } else if verdict != SHOT && out.bytes.len() != bytes.len() && !is_answer {
        "a packet has another length"
    } else if verdict != SHOT && packet.is_sound() && packet.fault().is_none() && out.fault().is_some() {
        "a packet with right checksums has wrong ones"
    } else {
        return Ok(());
    };
    Err(format!(
        "{}: {wrong}: verdict {verdict}, counted {counted:?}\n{packet:02x?}\n{out:02x?}",
        target.name
    ))
}

/// Between hardware addresses that the program takes, of a length that the kernel takes.
fn addressed(target: &Target<'_>, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().clamp(LEAST, MOST), 0);
    let is_group = bytes[0] & 1 == 1;
    let packet = Packet { bytes }.of(target.program.sender);
    if is_group { packet.bytes } else { packet.towards(target.program.mac).bytes }
}

#[test]
fn every_packet_of_the_corpus_is_passed_moved_or_refused_for_a_reason() {
    if !is_root() {
        return;
    }
    let topology = topology();
    let seeds = corpus();
    assert!(seeds.len() > 60, "{} seeds", seeds.len());
    for target in &targets(&topology) {
        for (name, bytes) in &seeds {
            run(&topology, target, &addressed(target, bytes))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// Few enough to take some seconds; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(4000)
}

#[test]
fn no_mutation_of_the_corpus_confuses_a_program() {
    if !is_root() {
        return;
    }
    let topology = topology();
    let targets = targets(&topology);
    let seeds = corpus();
    let strategy = (any::<Index>(), 0..targets.len(), prop::collection::vec(mutation(), 0..6), any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&strategy, |(seed, target, mutations, is_sealed)| {
        let (_, bytes) = seed.get(&seeds);
        let target = &targets[target];
        let mut bytes = addressed(target, bytes);
        for mutation in &mutations {
            apply(&mut bytes, mutation);
        }
        bytes.resize(bytes.len().clamp(LEAST, MOST), 0);
        let packet = Packet { bytes };
        // With right checksums it gets further, and they must be right afterwards.
        let packet = if is_sealed && packet.is_sound() { packet.seal() } else { packet };
        run(&topology, target, &packet.bytes).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
