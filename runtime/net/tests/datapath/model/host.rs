//! The model: what a host with published ports and masquerade does to packets, written down as plainly as can be.
//!
//! It knows nothing of generations, stubs or flags: what ends a flow removes it at once.

use std::net::{IpAddr, SocketAddr};

use beeline_net::datapath::{DropReason, Publish};

use crate::{
    packet::{ACK, FIN, ICMP, ICMPV6, RST, SYN, TCP},
    topology::Family,
};

/// A flow as one of its sides sees it; "local" is the container's end, whichever way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) protocol: u8,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From outside to a published port.
    Published,
    /// To the outside.
    Masqueraded,
    /// Of a container to a published port of its own host.
    Hairpin,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) kind: Kind,
    /// The container at the local end.
    pub(crate) container: usize,
    pub(crate) inside: Pair,
    pub(crate) wire: Pair,
    publish: Option<Publish>,
    is_closing: bool,
    is_reset: bool,
}

/// What went through a publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) connections: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// A packet as the model sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) protocol: u8,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) hops: u8,
    /// Of a TCP segment.
    pub(crate) flags: u8,
    /// Ethernet header included.
    pub(crate) bytes: u64,
}

impl Sent {
    fn opens(&self) -> bool {
        self.protocol == TCP && self.flags & (SYN | ACK | RST | FIN) == SYN
    }

    fn is_echo(&self) -> bool {
        matches!(self.protocol, ICMP | ICMPV6)
    }

    fn outbound(&self) -> Pair {
        Pair { protocol: self.protocol, local: self.source, remote: self.destination }
    }

    fn inbound(&self) -> Pair {
        Pair { protocol: self.protocol, local: self.destination, remote: self.source }
    }
}

/// What must become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The host's stack gets it as it was.
    Pass,
    Drop(DropReason),
    /// A container's packet that ends here, and is answered with an ICMP error by the gateway.
    Answered(DropReason),
    /// The host's stack gets it as it was, by the bridge device; it may be worth counting.
    ToHost(Option<DropReason>),
    /// To a container's hardware address, or to the outside; with so many hops less.
    Redirect {
        source: SocketAddr,
        destination: SocketAddr,
        hops: u8,
        container: Option<usize>,
    },
    /// As above, for the first packet of this flow.
    Opened(Opened),
}

/// A flow that begins, with the ports it keeps if they are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) kind: Kind,
    pub(crate) container: usize,
    pub(crate) inside: Pair,
    pub(crate) wire: Pair,
    publish: Option<Publish>,
    flags: u8,
}

pub(crate) struct Host {
    /// The containers' addresses, of both families.
    addresses: Vec<[IpAddr; 2]>,
    /// Which of them are there.
    present: Vec<bool>,
    publishes: Vec<(Publish, usize, Counted)>,
    flows: Vec<Flow>,
    /// Flows that are over and that the daemon has not collected: their ports need not be free yet.
    remains: Vec<Flow>,
}

fn family(address: IpAddr) -> Family {
    Family::BOTH[usize::from(address.is_ipv6())]
}

impl Host {
    pub(crate) fn new(addresses: Vec<[IpAddr; 2]>) -> Self {
        Self {
            present: vec![true; addresses.len()],
            addresses,
            publishes: Vec::new(),
            flows: Vec::new(),
            remains: Vec::new(),
        }
    }

    pub(crate) fn flows(&self) -> &[Flow] {
        &self.flows
    }

    pub(crate) fn publishes(&self) -> impl Iterator<Item = (&Publish, &Counted)> {
        self.publishes.iter().map(|(publish, _, counted)| (publish, counted))
    }

    pub(crate) fn is_present(&self, container: usize) -> bool {
        self.present[container]
    }

    /// Publishes; false if a port of it is taken by another publish.
    pub(crate) fn publish(&mut self, publish: Publish) -> bool {
        if self.publishes.iter().any(|(taken, ..)| *taken == publish) {
            return true;
        }
        if self.publishes.iter().any(|(taken, ..)| taken.overlaps(&publish)) {
            return false;
        }
        let container = self.container_at(publish.container_ip).expect("a container's address");
        self.publishes.push((publish, container, Counted::default()));
        true
    }

    /// Withdraws a publish; its flows are over.
    pub(crate) fn unpublish(&mut self, number: usize) -> Publish {
        let (publish, ..) = self.publishes.remove(number);
        self.end(|flow| flow.publish == Some(publish));
        publish
    }

    /// Whether a container talks to another one through a port that its host publishes: such a flow is the other one's too,
    /// and goes on until it is silent.
    pub(crate) fn is_client(&self, container: usize) -> bool {
        let own = &self.addresses[container];
        self.flows.iter().any(|flow| flow.container != container && own.contains(&flow.inside.remote.ip()))
    }

    /// A container goes, with its flows.
    pub(crate) fn leave(&mut self, container: usize) {
        self.present[container] = false;
        self.end(|flow| flow.container == container);
    }

    pub(crate) fn join(&mut self, container: usize) {
        self.present[container] = true;
    }

    /// The daemon collects what is over.
    pub(crate) fn collect(&mut self) {
        self.remains.clear();
    }

    fn end(&mut self, is_over: impl Fn(&Flow) -> bool) {
        let (over, alive) = self.flows.iter().partition(|flow| is_over(flow));
        self.flows = alive;
        self.remains.extend::<Vec<Flow>>(over);
    }

    fn container_at(&self, address: IpAddr) -> Option<usize> {
        self.addresses.iter().position(|both| both.contains(&address))
    }

    fn published(&self, sent: &Sent) -> Option<(Publish, usize)> {
        let port = sent.destination.port();
        let leads = |publish: &Publish| {
            let host = publish.host_ip;
            publish.protocol.number() == sent.protocol
                && (publish.host_first..=publish.host_last).contains(&port)
                && (host == sent.destination.ip()
                    || host.is_unspecified() && host.is_ipv4() == sent.destination.is_ipv4())
        };
        let found = self.publishes.iter().find(|(publish, ..)| leads(publish));
        found.map(|(publish, container, _)| (*publish, *container))
    }

    fn count(&mut self, publish: Option<Publish>, connections: u64, packets: u64, bytes: u64) {
        for (other, _, counted) in &mut self.publishes {
            if Some(*other) == publish {
                counted.connections += connections;
                counted.packets += packets;
                counted.bytes += bytes;
            }
        }
    }

    fn by_wire(&self, pair: Pair) -> Option<usize> {
        self.flows.iter().position(|flow| flow.wire == pair)
    }

    fn by_inside(&self, pair: Pair) -> Option<usize> {
        self.flows.iter().position(|flow| flow.inside == pair)
    }

    /// A packet of a flow was seen; returns the flow.
    fn touch(&mut self, index: usize, sent: &Sent) -> Flow {
        let flow = &mut self.flows[index];
        if sent.protocol == TCP && sent.flags & RST != 0 {
            flow.is_reset = true;
        } else if sent.protocol == TCP {
            let is_over = flow.is_reset || flow.is_closing;
            flow.is_closing = flow.is_closing && !sent.opens() || sent.flags & FIN != 0;
            flow.is_reset = false;
            let publish = flow.publish;
            if sent.opens() && is_over {
                self.count(publish, 1, 0, 0);
            }
        }
        self.flows[index]
    }

    /// What becomes of a packet from outside.
    pub(crate) fn outside_sends(&mut self, sent: &Sent) -> Fate {
        if let Some(index) = self.by_wire(sent.inbound()) {
            let flow = self.touch(index, sent);
            if sent.hops <= 1 {
                return Fate::Drop(DropReason::TtlExceeded);
            }
            self.count(flow.publish, 0, 1, sent.bytes);
            return Fate::Redirect {
                source: flow.inside.remote,
                destination: flow.inside.local,
                hops: 1,
                container: Some(flow.container),
            };
        }
        if let Some(container) = self.container_at(sent.destination.ip()) {
            let is_there = self.present[container];
            return if is_there { Fate::Drop(DropReason::NotRouted) } else { Fate::Pass };
        }
        let Some((publish, container)) = self.published(sent) else { return Fate::Pass };
        if sent.protocol == TCP && sent.flags & RST != 0 {
            return Fate::Pass;
        }
        if sent.hops <= 1 {
            return Fate::Drop(DropReason::TtlExceeded);
        }
        if !self.present[container] {
            return Fate::Pass;
        }
        Fate::Opened(self.opened(Kind::Published, sent, publish, container, sent.source))
    }

    /// The flow that begins with a packet to a published port.
    fn opened(
        &self,
        kind: Kind,
        sent: &Sent,
        publish: Publish,
        container: usize,
        remote: SocketAddr,
    ) -> Opened {
        let port = publish.container_first + (sent.destination.port() - publish.host_first);
        let local = SocketAddr::new(publish.container_ip, port);
        let inside = Pair { protocol: sent.protocol, local, remote };
        Opened { kind, container, inside, wire: sent.inbound(), publish: Some(publish), flags: sent.flags }
    }

    /// What becomes of a container's packet under its own addresses.
    pub(crate) fn container_sends(&mut self, container: usize, sent: &Sent) -> Fate {
        if !self.present[container] {
            return Fate::Drop(DropReason::NoEndpoint);
        }
        let to = sent.destination.ip();
        if let Some(member) = self.container_at(to) {
            return self.reaches_member(member, sent);
        }
        if to == family(to).host() || to == family(to).gateway() {
            return self.reaches_host(container, sent);
        }
        let spent = || match to {
            IpAddr::V4(_) => Fate::ToHost(Some(DropReason::TtlExceeded)),
            IpAddr::V6(_) => Fate::Answered(DropReason::TtlExceeded),
        };
        if let Some(index) = self.by_inside(sent.outbound()) {
            let flow = self.touch(index, sent);
            if sent.hops <= 1 {
                return spent();
            }
            return redirect(flow.wire.local, flow.wire.remote, 1, None);
        }
        let is_answer = sent.is_echo() && sent.destination.port() != 0;
        if sent.protocol == TCP && sent.flags & RST != 0 || is_answer {
            return Fate::Drop(DropReason::NoFlow);
        }
        if sent.hops <= 1 {
            return spent();
        }
        let local = SocketAddr::new(family(to).host(), sent.source.port());
        let wire = Pair { protocol: sent.protocol, local, remote: sent.destination };
        Fate::Opened(Opened {
            kind: Kind::Masqueraded,
            container,
            inside: sent.outbound(),
            wire,
            publish: None,
            flags: sent.flags,
        })
    }

    fn reaches_member(&mut self, member: usize, sent: &Sent) -> Fate {
        if !self.present[member] {
            return Fate::Drop(DropReason::NoEndpoint);
        }
        if let Some(index) = self.by_inside(sent.outbound()) {
            let flow = self.touch(index, sent);
            return redirect(flow.wire.local, flow.wire.remote, 0, Some(member));
        }
        redirect(sent.source, sent.destination, 0, Some(member))
    }

    fn reaches_host(&mut self, container: usize, sent: &Sent) -> Fate {
        if sent.is_echo() {
            return Fate::ToHost(None);
        }
        if let Some(index) = self.by_wire(sent.inbound()) {
            let flow = self.touch(index, sent);
            self.count(flow.publish, 0, 1, sent.bytes);
            return redirect(flow.inside.remote, flow.inside.local, 0, Some(flow.container));
        }
        if let Some(index) = self.by_inside(sent.outbound()) {
            let flow = self.touch(index, sent);
            return redirect(flow.wire.local, flow.wire.remote, 0, Some(container));
        }
        if sent.protocol == TCP && !sent.opens() {
            return Fate::ToHost(None);
        }
        let Some((publish, target)) = self.published(sent) else { return Fate::ToHost(None) };
        if !self.present[target] {
            return Fate::ToHost(None);
        }
        let gateway = SocketAddr::new(family(sent.source.ip()).gateway(), sent.source.port());
        let remote = if target == container { gateway } else { sent.source };
        Fate::Opened(self.opened(Kind::Hairpin, sent, publish, target, remote))
    }

    /// Whether a flow may begin with these pairs, when these were wanted; what is free is kept.
    pub(crate) fn begin(
        &mut self,
        wanted: &Opened,
        inside: Pair,
        wire: Pair,
        sent: &Sent,
    ) -> Result<(), String> {
        let has = |flows: &[Flow], inside: Pair, wire: Pair| {
            flows.iter().any(|flow| flow.inside == inside || flow.wire == wire)
        };
        let is_kept = (inside, wire) == (wanted.inside, wanted.wire);
        let is_zero = wanted.kind == Kind::Masqueraded && wanted.wire.local.port() == 0;
        let was_free = !has(&self.flows, wanted.inside, wanted.wire) && !is_zero;
        if was_free && !is_kept && !has(&self.remains, wanted.inside, wanted.wire) {
            return Err(format!("{:?} was free", wanted.wire));
        }
        if has(&self.flows, inside, wire) {
            return Err(format!("{inside:?} or {wire:?} is another flow's"));
        }
        let chosen = if wanted.kind == Kind::Masqueraded { wire.local.port() } else { inside.remote.port() };
        if !is_kept && chosen < 1024 {
            return Err(format!("port {chosen}, below 1024, was chosen"));
        }
        // What is left of a flow that is over is gone where a new one takes its place.
        self.remains.retain(|flow| flow.inside != inside && flow.wire != wire);
        self.count(wanted.publish, 1, 1, sent.bytes);
        self.flows.push(Flow {
            kind: wanted.kind,
            container: wanted.container,
            inside,
            wire,
            publish: wanted.publish,
            is_closing: sent.protocol == TCP && wanted.flags & FIN != 0,
            is_reset: false,
        });
        Ok(())
    }
}

fn redirect(source: SocketAddr, destination: SocketAddr, hops: u8, container: Option<usize>) -> Fate {
    Fate::Redirect { source, destination, hops, container }
}
