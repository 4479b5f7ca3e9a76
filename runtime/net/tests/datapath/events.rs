//! What the programs tell of conversations and refusals, and that they do no harm by it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use beeline_net::{
    Rules, Scope,
    datapath::{
        Direction, DropReason, EventLoss, Events, FlowRecord, PeerScope, Phase, Protocol, Refusal, Told,
    },
};

use crate::{
    packet::{ACK, FIN, Packet, RST, SYN, TCP, UDP},
    program::{Program, REDIRECT, SHOT},
    topology::{CLIENT, HOST, Topology, is_root},
};

/// What is told, kept.
struct Listener<'a> {
    topology: &'a Topology,
    events: Events,
    flows: Vec<FlowRecord>,
    refusals: Vec<Refusal>,
}

impl<'a> Listener<'a> {
    fn new(topology: &'a Topology, to_flows: bool) -> Self {
        topology.datapath().listen(to_flows).expect("listen");
        let events = topology.datapath().events().expect("events");
        Self { topology, events, flows: Vec::new(), refusals: Vec::new() }
    }

    fn drain(&mut self) {
        let Self { topology, events, flows, refusals } = self;
        let keep = |told| match told {
            Told::Flow(flow) => flows.push(flow),
            Told::Refused(refusal) => refusals.push(refusal),
        };
        topology.datapath().drain(events, keep).expect("drain");
    }

    /// Waits until a conversation is over.
    fn end(&self) -> FlowRecord {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            self.topology.datapath().listen(true).expect("listen");
            if let Some(record) = self.topology.datapath().ended_flows().expect("ended").pop() {
                return record;
            }
            assert!(Instant::now() < deadline, "no conversation is over");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn loss(topology: &Topology, what: EventLoss) -> u64 {
    let losses = topology.datapath().event_losses().expect("losses");
    losses.into_iter().find(|(loss, _)| *loss == what).expect("counter").1
}

#[test]
fn a_connection_to_a_published_port_is_told_from_its_first_packet_to_its_last() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let container = topology.containers[0].address;
    let (uplink, inside) = (Program::uplink(&topology), Program::container(&topology, 0));
    let mut listener = Listener::new(&topology, true);
    let (mut received, mut sent) = (0, 0);
    let mut ask = |flags, payload: &[u8]| {
        let packet = Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), payload).flags(flags);
        received += packet.bytes.len() as u64;
        assert_eq!(uplink.run(packet).0, REDIRECT);
    };
    let mut answer = |flags, payload: &[u8]| {
        let packet = Packet::new(TCP, (container, 80), (CLIENT, 4000), payload).flags(flags);
        sent += packet.bytes.len() as u64;
        assert_eq!(inside.run(packet).0, REDIRECT);
    };
    ask(SYN, b"");
    answer(SYN | ACK, b"");
    ask(ACK, b"a question");
    answer(ACK | FIN, b"and the answer");
    ask(ACK | FIN, b"");
    answer(ACK, b"");
    listener.drain();
    let [began] = listener.flows[..] else { panic!("{:?}", listener.flows) };
    assert_eq!(
        (began.phase, began.direction, began.peer),
        (Phase::Began, Direction::In, PeerScope::Published)
    );
    assert_eq!(began.wire.remote, SocketAddr::from((CLIENT, 4000)));
    assert_eq!(began.wire.local, SocketAddr::from((HOST, 8080)));
    assert_eq!(began.inside.local, SocketAddr::from((container, 80)));
    assert_eq!(began.inside.remote, SocketAddr::from((CLIENT, 4000)));

    let ended = listener.end();
    assert_eq!((ended.phase, ended.inside, ended.wire), (Phase::Closed, began.inside, began.wire));
    assert_eq!((ended.received.bytes, ended.received.packets), (received, 3));
    assert_eq!((ended.sent.bytes, ended.sent.packets), (sent, 3));
}

#[test]
fn what_two_containers_say_is_told_once_and_of_the_one_that_began() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let (client, server) = (topology.containers[0].address, topology.containers[1].address);
    let (asks, answers) = (Program::container(&topology, 0), Program::container(&topology, 1));
    let mut listener = Listener::new(&topology, true);
    asks.run(Packet::new(UDP, (client, 40000), (server, 53), b"?"));
    answers.run(Packet::new(UDP, (server, 53), (client, 40000), b"!"));
    asks.run(Packet::new(TCP, (client, 40001), (server, 81), b""));
    answers.run(Packet::new(TCP, (server, 81), (client, 40001), b"").flags(RST | ACK));
    listener.drain();
    let told: Vec<_> = listener.flows.iter().map(|flow| (flow.protocol, flow.inside.local)).collect();
    assert_eq!(told, [(UDP, (client, 40000).into()), (TCP, (client, 40001).into())]);
    assert!(
        listener.flows.iter().all(|flow| flow.peer == PeerScope::Network && flow.direction == Direction::Out)
    );
    let refused = listener.end();
    assert_eq!((refused.phase, refused.inside.remote), (Phase::Refused, (server, 81).into()));
}

#[test]
fn while_nobody_listens_nothing_is_told_or_kept() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let own = topology.containers[0].address;
    let container = Program::container(&topology, 0);
    let mut listener = Listener::new(&topology, false);
    container.run(Packet::new(UDP, (own, 1000), (CLIENT, 53), b"?"));
    topology.datapath().listen(true).expect("listen");
    container.run(Packet::new(UDP, (own, 1001), (CLIENT, 53), b"?"));
    listener.drain();
    assert_eq!(listener.flows.len(), 1, "the second alone: {:?}", listener.flows);
    topology.datapath().forget_conversations().expect("forget");
    assert_eq!(topology.datapath().ended_flows().expect("ended"), []);
}

#[test]
fn a_refusal_is_told_with_its_reason_its_ends_and_the_rule() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let publish = topology.publish(Protocol::Tcp, 8080, 0, 80);
    let denied = "192.0.2.0/24".parse().expect("subnet");
    let rules = Rules::new([], [denied]);
    topology.datapath().publish_to(&publish, &rules).expect("rules");
    let mut listener = Listener::new(&topology, false);
    let (verdict, _) = Program::uplink(&topology).run(Packet::new(TCP, (CLIENT, 4000), (HOST, 8080), b""));
    assert_eq!(verdict, SHOT);
    let spoofed = Packet::new(UDP, (Ipv4Addr::new(10, 9, 9, 9), 7), (CLIENT, 8), b"12345");
    let length = spoofed.bytes.len() as u32;
    assert_eq!(Program::container(&topology, 0).run(spoofed).0, SHOT);
    listener.drain();
    let [by_rule, by_address] = &listener.refusals[..] else { panic!("{:?}", listener.refusals) };
    assert_eq!((by_rule.reason, by_rule.protocol), (DropReason::Denied, Some(TCP)));
    assert_eq!(by_rule.source, Some((CLIENT, 4000).into()));
    assert_eq!(by_rule.destination, Some((HOST, 8080).into()));
    let rule = by_rule.rule.expect("the rule");
    assert_eq!((rule.scope, rule.source), (Scope::Publish, Some(denied)));
    assert_eq!((by_address.reason, by_address.rule), (DropReason::SpoofedAddress, None));
    assert_eq!((by_address.ifindex, by_address.length), (topology.containers[0].ifindex, length));
}

/// A hundred thousand connections within some seconds: some are told, the others counted, and each gets through.
#[test]
fn a_flood_of_connections_is_sampled_and_what_is_not_told_is_counted() {
    const CONNECTIONS: u32 = 100_000;
    if !is_root() {
        return;
    }
    let topology = Topology::build(1, 262_144, |network| network.flow_quota = Some(262_144));
    topology.publish(Protocol::Tcp, 8080, 0, 80);
    let uplink = Program::uplink(&topology);
    let mut listener = Listener::new(&topology, true);
    let (mut forwarded, mut told) = (0, 0);
    for batch in 0..CONNECTIONS / 1000 {
        let packets = (0..1000).map(|number| {
            let id = batch * 1000 + number;
            let client = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + id / 50_000);
            uplink.address(Packet::new(TCP, (client, 1024 + (id % 50_000) as u16), (HOST, 8080), b"")).bytes
        });
        let verdicts = uplink.run_all(packets.collect::<Vec<_>>().into_iter());
        forwarded += verdicts.get(&REDIRECT).copied().unwrap_or_default();
        topology.datapath().listen(true).expect("listen");
        listener.drain();
        told += listener.flows.drain(..).len() as u64;
    }
    assert_eq!(forwarded as u32, CONNECTIONS, "{}", topology.drops());
    let lost: u64 = [EventLoss::FlowRate, EventLoss::FlowBuffer, EventLoss::FlowTable]
        .into_iter()
        .map(|what| loss(&topology, what))
        .sum();
    assert_eq!(told + lost, u64::from(CONNECTIONS), "each is told or counted");
    assert!(told > 0 && lost > told, "sampled: {told} told, {lost} lost");
}
