//! Random sequences of packets and changes, run through the real programs and through a model of what they must do.

mod host;
mod step;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use beeline_net::datapath::{DropReason, EndpointSpec};
use proptest::{
    prelude::*,
    test_runner::{FileFailurePersistence, TestCaseError, TestRunner},
};

use self::{
    host::{Counted, Fate, Host, Kind, Opened, Pair, Sent},
    step::{CONTAINERS, Shape, Step, To, client, step},
};
use crate::{
    packet::{ICMP, ICMPV6, L3, Packet},
    program::{Program, REDIRECT, SHOT, UNSPEC},
    topology::{Family, Topology, is_root},
};

/// Sequences that failed once.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/datapath/model/regressions");

/// Something is not as the model has it.
type Outcome = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// The real thing and the model of it.
struct Pit<'a> {
    topology: &'a Topology,
    uplink: &'a Program<'a>,
    containers: &'a [Program<'a>],
    endpoints: &'a [EndpointSpec],
    host: Host,
}

fn refusals(topology: &Topology) -> BTreeMap<&'static str, u64> {
    let drops = topology.datapath().drops().expect("drops");
    drops.into_iter().map(|(reason, count)| (reason.name(), count)).collect()
}

impl Pit<'_> {
    /// Forgets what an earlier case left: every endpoint is there, nothing is published, no flow is left.
    fn clear(&self) -> Outcome {
        let datapath = self.topology.datapath();
        for status in datapath.publishes().expect("publishes") {
            datapath.unpublish(&status.publish).expect("unpublish");
        }
        for endpoint in self.endpoints {
            datapath.remove_endpoint(endpoint.host_ifindex).expect("remove");
        }
        self.assert_entries(0)?;
        for endpoint in self.endpoints {
            datapath.set_endpoint(endpoint).expect("endpoint");
        }
        Ok(())
    }

    /// The daemon collects: a flow has two entries, one that is over none.
    fn assert_entries(&self, flows: usize) -> Outcome {
        let datapath = self.topology.datapath();
        datapath.expire_flows().expect("expire");
        datapath.expire_flows().expect("count");
        let entries = datapath.conntrack_len();
        ensure!(entries == 2 * flows as u64, "{entries} entries of {flows} flows");
        Ok(())
    }

    fn address(&self, family: Family, to: To) -> IpAddr {
        match to {
            To::Client(number) => client(family, number),
            To::Container(number) => self.topology.containers[number].ip(family),
            To::Host => family.host(),
            To::Gateway => family.gateway(),
        }
    }

    fn take(&mut self, step: &Step) -> Outcome {
        let datapath = self.topology.datapath();
        match step {
            Step::Outside { family, client: number, to, shape } => {
                let (sent, packet) = shape.with_ports(client(*family, *number), self.address(*family, *to));
                self.outside_sends(&sent, packet)
            }
            Step::Inside { family, container, to, shape } => {
                let own = self.topology.containers[*container].ip(*family);
                let to = match to {
                    To::Container(_) => To::Container(1 - container),
                    to => *to,
                };
                let (sent, packet) = shape.with_ports(own, self.address(*family, to));
                self.container_sends(*container, &sent, packet)
            }
            Step::Along { flow, away, shape } => self.along(flow, *away, shape),
            Step::Error { flow, away, quoted, shape } => self.error(flow, *away, *quoted, shape),
            Step::Publish(publish, container) => {
                let mut publish = *publish;
                let family = if publish.host_ip.is_ipv4() { Family::V4 } else { Family::V6 };
                publish.container_ip = self.topology.containers[*container].ip(family);
                let is_taken = datapath.publish(&publish).is_err();
                ensure!(self.host.publish(publish) != is_taken, "{publish} is taken: {is_taken}");
                Ok(())
            }
            Step::Unpublish(index) => {
                let count = self.host.publishes().count();
                if count > 0 {
                    self.assert_counters()?;
                    let publish = self.host.unpublish(index.index(count));
                    datapath.unpublish(&publish).expect("unpublish");
                }
                Ok(())
            }
            Step::Leave(container) => {
                if self.host.is_present(*container) && !self.host.is_client(*container) {
                    datapath.remove_endpoint(self.endpoints[*container].host_ifindex).expect("remove");
                    self.host.leave(*container);
                }
                Ok(())
            }
            Step::Join(container) => {
                datapath.set_endpoint(&self.endpoints[*container]).expect("endpoint");
                self.host.join(*container);
                Ok(())
            }
            Step::Collect => {
                self.host.collect();
                self.assert_entries(self.host.flows().len())
            }
        }
    }

    fn along(&mut self, flow: &prop::sample::Index, away: bool, shape: &Shape) -> Outcome {
        if self.host.flows().is_empty() {
            return Ok(());
        }
        let flow = *flow.get(self.host.flows());
        if away {
            let Pair { protocol, local, remote } = flow.inside;
            let (sent, packet) = shape.between(protocol, local, remote);
            return self.container_sends(flow.container, &sent, packet);
        }
        let Pair { protocol, local, remote } = flow.wire;
        let (sent, packet) = shape.between(protocol, remote, local);
        // A flow between two containers comes from the other one.
        let sender = (0..CONTAINERS).find(|number| {
            Family::BOTH.map(|f| self.topology.containers[*number].ip(f)).contains(&remote.ip())
        });
        match sender {
            Some(container) => self.container_sends(container, &sent, packet),
            None => self.outside_sends(&sent, packet),
        }
    }

    /// An error about a packet that went out, from a router; or about one that came in, from the container.
    fn error(&mut self, flow: &prop::sample::Index, away: bool, quoted: usize, shape: &Shape) -> Outcome {
        if self.host.flows().is_empty() {
            return Ok(());
        }
        let flow = *flow.get(self.host.flows());
        if flow.kind == Kind::Hairpin {
            return Ok(());
        }
        let family = if flow.wire.local.is_ipv4() { Family::V4 } else { Family::V6 };
        let router = client(family, 1);
        let kind = if family == Family::V4 { 3 } else { 1 };
        let (outcome, from, to, ends) = if away {
            let Pair { protocol, local, remote } = flow.inside;
            let (_, about) = shape.between(protocol, remote, local);
            let error = Packet::error(local.ip(), kind, 0, &about, about.l4() - L3 + quoted);
            let outcome = self.containers[flow.container].run(error);
            (outcome, flow.wire.local.ip(), flow.wire.remote.ip(), (flow.wire.remote, flow.wire.local))
        } else {
            let Pair { protocol, local, remote } = flow.wire;
            let (_, about) = shape.between(protocol, local, remote);
            let error = Packet::error(router, kind, 0, &about, about.l4() - L3 + quoted);
            (self.uplink.run(error), router, flow.inside.local.ip(), (flow.inside.local, flow.inside.remote))
        };
        let (verdict, out) = outcome;
        ensure!(verdict == REDIRECT, "verdict {verdict} on an error about {flow:?}");
        ensure!(out.fault().is_none(), "an error with a wrong {:?}", out.fault());
        let outer = (out.source().ip(), out.destination().ip());
        ensure!(outer == (from, to), "an error {outer:?}, not {:?}", (from, to));
        let carried = (out.quoted().source(), out.quoted().destination());
        ensure!(carried == ends, "an error carries {carried:?}, not {ends:?}");
        let is_right = out.quoted().fault().is_none_or(|fault| !fault.starts_with("IPv4"));
        ensure!(is_right, "the carried header's checksum");
        Ok(())
    }

    fn outside_sends(&mut self, sent: &Sent, packet: Packet) -> Outcome {
        let fate = self.host.outside_sends(sent);
        self.check(fate, self.uplink, sent, packet)
    }

    fn container_sends(&mut self, container: usize, sent: &Sent, packet: Packet) -> Outcome {
        let fate = self.host.container_sends(container, sent);
        self.check(fate, &self.containers[container], sent, packet)
    }

    /// Runs the program, and compares what came of the packet with the model's word.
    fn check(&mut self, fate: Fate, program: &Program<'_>, sent: &Sent, packet: Packet) -> Outcome {
        let packet = packet.towards(program.mac).of(program.sender);
        let mut expected = refusals(self.topology);
        let (verdict, out) = program.run(packet.clone());
        let counted = match fate {
            Fate::Drop(reason) | Fate::Answered(reason) | Fate::ToHost(Some(reason)) => Some(reason),
            _ => None,
        };
        if let Some(reason) = counted {
            *expected.entry(DropReason::name(reason)).or_default() += 1;
        }
        let refused = refusals(self.topology);
        let expected_verdict = match fate {
            Fate::Pass => UNSPEC,
            Fate::Drop(_) => SHOT,
            _ => REDIRECT,
        };
        ensure!(
            verdict == expected_verdict,
            "verdict {verdict}, not {fate:?}; refused {}",
            self.topology.drops()
        );
        ensure!(refused == expected, "refused {refused:?}, not {expected:?} ({fate:?})");
        match fate {
            Fate::Drop(_) => Ok(()),
            Fate::Pass | Fate::ToHost(_) => {
                ensure!(out == packet, "a packet was changed on its way to the stack");
                Ok(())
            }
            Fate::Answered(_) => {
                ensure!(out.protocol() == ICMPV6 && out.fault().is_none(), "no error: {out:02x?}");
                ensure!(out.destination().ip() == sent.source.ip(), "an error to {}", out.destination());
                Ok(())
            }
            Fate::Redirect { source, destination, hops, container } => {
                let ends = (out.source(), out.destination());
                ensure!(ends == (source, destination), "{ends:?}, not {:?}", (source, destination));
                self.check_rest(&packet, &out, hops, container)
            }
            Fate::Opened(opened) => {
                self.check_opened(&opened, &out, sent)?;
                let container = (opened.kind != Kind::Masqueraded).then_some(opened.container);
                self.check_rest(&packet, &out, u8::from(opened.kind != Kind::Hairpin), container)
            }
        }
    }

    fn check_opened(&mut self, opened: &Opened, out: &Packet, sent: &Sent) -> Outcome {
        let (mut inside, mut wire) = (opened.inside, opened.wire);
        let (kept, expected): (&mut SocketAddr, SocketAddr) = match opened.kind {
            Kind::Masqueraded => (&mut wire.local, wire.remote),
            Kind::Published | Kind::Hairpin => (&mut inside.remote, inside.local),
        };
        // Its port is the program's to choose.
        kept.set_port(out.source().port());
        let ends = (out.source(), out.destination());
        ensure!(ends == (*kept, expected), "{ends:?}, not {:?}", (*kept, expected));
        self.host.begin(opened, inside, wire, sent)
    }

    /// Checksums, hops, the frame, and what is not for a translation to touch.
    fn check_rest(&self, packet: &Packet, out: &Packet, hops: u8, container: Option<usize>) -> Outcome {
        ensure!(out.fault().is_none(), "a wrong {:?}", out.fault());
        ensure!(out.ttl() + hops == packet.ttl(), "{} hops of {}", out.ttl(), packet.ttl());
        let header = if matches!(packet.protocol(), ICMP | ICMPV6) { 6 } else { 8 };
        let behind = |packet: &Packet| packet.bytes[packet.l4() + header..].to_vec();
        let is_same = behind(packet).len() == behind(out).len() && {
            // TCP's and SCTP's checksums are further behind.
            let differ = behind(packet).iter().zip(behind(out)).filter(|(a, b)| *a != b).count();
            differ <= 4
        };
        ensure!(is_same, "the payload was changed");
        if let Some(container) = container {
            let mac = self.endpoints[container].mac;
            ensure!(out.bytes[..6] == mac, "to {:02x?}, not {mac:02x?}", &out.bytes[..6]);
        }
        Ok(())
    }

    fn assert_counters(&self) -> Outcome {
        let statuses = self.topology.datapath().publishes().expect("publishes");
        for (publish, expected) in self.host.publishes() {
            let status = statuses.iter().find(|status| status.publish == *publish).expect("published");
            let counters = status.counters;
            let counted = Counted {
                connections: counters.connections,
                packets: counters.packets,
                bytes: counters.bytes,
            };
            ensure!(counted == *expected, "{publish}: {counted:?}, not {expected:?}");
        }
        Ok(())
    }
}

/// Few enough to take some seconds; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(64)
}

#[test]
fn any_sequence_of_packets_and_changes_does_what_the_model_says() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(CONTAINERS);
    for container in &topology.containers {
        // What the kernel inside says on its own would be counted with ours.
        container.namespace.ip("link set eth0 down");
    }
    let uplink = Program::uplink(&topology);
    let containers: Vec<Program<'_>> =
        (0..CONTAINERS).map(|number| Program::container(&topology, number)).collect();
    let mut endpoints = topology.datapath().endpoints();
    endpoints.sort_by_key(|endpoint| endpoint.ipv4);
    let addresses = || topology.containers.iter().map(|c| Family::BOTH.map(|family| c.ip(family))).collect();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&prop::collection::vec(step(), 1..100), |steps| {
        let mut pit = Pit {
            topology: &topology,
            uplink: &uplink,
            containers: &containers,
            endpoints: &endpoints,
            host: Host::new(addresses()),
        };
        let run = |pit: &mut Pit<'_>| {
            pit.clear()?;
            for (number, step) in steps.iter().enumerate() {
                pit.take(step).map_err(|error| format!("step {number}: {error}"))?;
            }
            pit.assert_counters()
        };
        run(&mut pit).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
