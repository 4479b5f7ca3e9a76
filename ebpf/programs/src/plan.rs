//! What becomes of a packet is decided first and done then.
//!
//! The plan lies in a per-CPU map between the two. So the code that rewrites and hands on is there once, not once for each
//! way that leads to it; and the verifier, which knows nothing of what it reads from a map, walks through it once.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, btf_maps::PerCpuArray, macros::btf_map, programs::TcContext};
use beeline_abi::{
    Address, Direction, DropReason, Endpoint, MacAddress, Network, PeerScope, Ports, TrafficClass,
    TrafficKind, ip,
};

use crate::{
    conversation::{self, Noted},
    count,
    ends::Ends,
    forward::{self, Route},
    icmp_error, maps, nat,
    packet::{self, Packet},
    skb::{self, INGRESS, Verdict},
};

/// The loopback device is the first of each network namespace.
const LOOPBACK_IFINDEX: u32 = 1;

/// Where a packet goes.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On, past this program.
    Past,
    /// Into a container, from anywhere.
    Container,
    /// The same, and the frame has been written with the rest.
    Readdressed,
    /// Into a container from another one of its network: the frame is theirs, only its way is ours.
    Member,
    /// To the host's own stack, as if it came in by a device.
    Host,
    /// To the outside by a route that is still to be looked up: to the host's routing rules the container sends it.
    Leave,
    /// The same of an answer, which goes by the way of the host's address that was asked.
    Answer,
    /// To the outside.
    Outside,
}

/// Addresses and ports.
#[repr(C)]
struct Bearing {
    source: Address,
    destination: Address,
    ports: Ports,
}

impl Bearing {
    #[inline(always)]
    fn set(&mut self, ends: &Ends<'_>) {
        self.source = ends.source.by_words();
        self.destination = ends.destination.by_words();
        self.ports = ends.ports;
    }

    #[inline(always)]
    fn ends(&self) -> Ends<'_> {
        Ends { source: &self.source, destination: &self.destination, ports: self.ports }
    }
}

/// What is to be done with a packet.
#[repr(C)]
pub struct Plan {
    /// What it is to bear.
    outer: Bearing,
    /// What the packet that an ICMP error carries is to bear.
    quoted: Bearing,
    next_hop: Address,
    /// The device it goes to.
    ifindex: u32,
    /// The counters of the container it goes to.
    slot: u32,
    destination_mac: MacAddress,
    source_mac: MacAddress,
    way: Way,
    /// With whom the container has to do.
    peer: PeerScope,
    changes: Changes,
}

/// What is to be changed; a word, so that a new plan is made by one instruction.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Changes {
    /// How much is taken off the time to live.
    hops: u8,
    is_translated: bool,
    is_error: bool,
    /// Whether a flow begins with the packet, once its route is known.
    is_new: bool,
}

impl Changes {
    const NONE: Self = Self { hops: 0, is_translated: false, is_error: false, is_new: false };
}

#[btf_map]
static PLANS: PerCpuArray<Plan, 1> = PerCpuArray::new();

/// A plan that leaves the packet as it is, and has it go on.
#[inline(always)]
pub fn new() -> Result<&'static mut Plan, DropReason> {
    let plan = maps::own(&PLANS, 0).ok_or(DropReason::Helper)?;
    (plan.way, plan.peer, plan.changes) = (Way::Past, PeerScope::Outside, Changes::NONE);
    Ok(plan)
}

/// The plan as it was made, of which the verifier knows nothing any more.
#[inline(always)]
pub fn made() -> Result<&'static mut Plan, DropReason> {
    maps::own(&PLANS, 0).ok_or(DropReason::Helper)
}

impl Plan {
    /// The packet is to bear these ends, and to lose `hops` of its time to live.
    #[inline(always)]
    pub fn translate(&mut self, ends: &Ends<'_>, hops: u8) {
        self.outer.set(ends);
        (self.changes.hops, self.changes.is_translated) = (hops, true);
    }

    /// The packet is an ICMP error: it, and the packet it carries, are to bear these ends.
    #[inline(always)]
    pub fn translate_error(&mut self, outer: &Ends<'_>, quoted: &Ends<'_>, hops: u8) {
        self.translate(outer, hops);
        self.quoted.set(quoted);
        self.changes.is_error = true;
    }

    /// Into a container, from such a peer.
    #[inline(always)]
    pub fn enter(&mut self, endpoint: &Endpoint, from: PeerScope) {
        (self.way, self.peer) = (Way::Container, from);
        self.aim(endpoint);
        self.source_mac = endpoint.gateway_mac;
    }

    /// Into another container of the sender's network.
    #[inline(always)]
    pub fn pass_over(&mut self, endpoint: &Endpoint) {
        (self.way, self.peer) = (Way::Member, PeerScope::Network);
        self.aim(endpoint);
    }

    #[inline(always)]
    fn aim(&mut self, endpoint: &Endpoint) {
        self.destination_mac = endpoint.mac;
        (self.ifindex, self.slot) = (endpoint.ifindex, endpoint.slot);
    }

    /// To the host's own stack, as if it came in by the network's bridge device.
    #[inline(always)]
    pub fn go_up(&mut self, network: &Network) {
        (self.way, self.peer) = (Way::Host, PeerScope::Host);
        self.destination_mac = network.gateway_mac;
        self.ifindex = network.gateway_ifindex;
    }

    /// To the host's own stack by its loopback device, which has no hardware address.
    #[inline(always)]
    pub fn go_up_by_loopback(&mut self) {
        (self.way, self.peer) = (Way::Host, PeerScope::Host);
        self.destination_mac = MacAddress::default();
        self.ifindex = LOOPBACK_IFINDEX;
    }

    /// To the outside, to such a peer; what the packet is to bear is known.
    #[inline(always)]
    pub fn leave(&mut self, to: PeerScope) {
        let way = if to == PeerScope::Published { Way::Answer } else { Way::Leave };
        (self.way, self.peer) = (way, to);
    }

    /// To the outside, by a flow that begins with this packet.
    #[inline(always)]
    pub fn leave_anew(&mut self, packet: &Packet) {
        self.outer.set(&packet.ends());
        (self.way, self.changes.is_new) = (Way::Leave, true);
    }

    /// By the host's own stack to the outside, or back with an error.
    #[inline(always)]
    pub fn detour(&mut self, network: &Network) {
        self.go_up(network);
        self.peer = PeerScope::Outside;
    }

    /// With whom the container has to do.
    #[inline(always)]
    pub fn peer(&self) -> PeerScope {
        self.peer
    }

    /// Whether the packet is to bear other ends than it does.
    #[inline(always)]
    pub fn is_translated(&self) -> bool {
        self.changes.is_translated
    }

    /// The kind of traffic that the packet is.
    #[inline(always)]
    pub fn kind(&self, packet: &Packet) -> TrafficKind {
        TrafficKind::new(TrafficClass::of(packet.protocol), self.peer)
    }

    /// Whether the packet leaves, by a route that is still to be looked up.
    #[inline(always)]
    pub fn is_leaving(&self) -> bool {
        matches!(self.way, Way::Leave | Way::Answer)
    }

    /// The source that the route is looked up for. Masquerade comes after routing, as the host's stack has it: a rule by
    /// source is about the container, in the first packet of a flow and in all that follow.
    #[inline(always)]
    pub fn route_source(&self, packet: &Packet) -> Address {
        if self.way == Way::Answer { self.outer.source.by_words() } else { packet.source.by_words() }
    }

    /// Whether the packet is one of a masqueraded flow of datagrams that bears another address than this one: its route has
    /// moved to an uplink with this address since. A connection cannot take another, and is left to its ends.
    #[inline(always)]
    pub fn has_moved(&self, packet: &Packet, address: &Address) -> bool {
        let changes = self.changes;
        self.way == Way::Leave
            && changes.is_translated
            && !changes.is_error
            && matches!(packet.protocol, ip::UDP | ip::ICMP | ip::ICMPV6)
            && self.outer.source != packet.source
            && self.outer.source != *address
    }

    /// Whether the packet goes on as it is.
    #[inline(always)]
    pub fn is_past(&self) -> bool {
        self.way == Way::Past
    }

    /// Whether a flow begins with the packet.
    #[inline(always)]
    pub fn is_new(&self) -> bool {
        self.changes.is_new
    }

    /// What the packet is to bear.
    #[inline(always)]
    pub fn ends(&self) -> Ends<'_> {
        self.outer.ends()
    }

    /// To the outside by this route.
    #[inline(always)]
    pub fn take(&mut self, route: &Route) {
        self.way = Way::Outside;
        (self.ifindex, self.next_hop) = (route.ifindex, route.next_hop);
    }
}

/// Does what was decided, and notes what enters a container.
#[inline(always)]
pub fn follow(ctx: &TcContext, packet: &Packet) -> Verdict {
    let action = carry_out(ctx, packet)?;
    let plan = made()?;
    if matches!(plan.way, Way::Container | Way::Readdressed | Way::Member) {
        let noted = Noted { slot: plan.slot, direction: Direction::In };
        conversation::note(packet, plan, noted, count::volume(ctx));
    }
    Ok(action)
}

/// A function of its own, below which is no other: together with its caller it fills the stack.
#[inline(never)]
fn carry_out(ctx: &TcContext, packet: &Packet) -> Verdict {
    let plan = made()?;
    if plan.changes.is_error {
        icmp_error::rewrite(ctx, packet, &plan.quoted.ends())?;
    }
    if plan.changes.is_translated {
        translate(ctx, packet, plan)?;
    }
    hand_on(ctx, packet, made()?)
}

#[inline(always)]
fn translate(ctx: &TcContext, packet: &Packet, plan: &mut Plan) -> Result<(), DropReason> {
    if !packet.is_plain {
        return nat::translate(ctx, packet, &plan.outer.ends(), plan.changes.hops);
    }
    if plan.way == Way::Container {
        packet::taken()?.readdress(&plan.destination_mac, &plan.source_mac);
        plan.way = Way::Readdressed;
    }
    nat::translate_plain(ctx, packet, &plan.outer.ends(), plan.changes.hops)
}

#[inline(always)]
fn hand_on(ctx: &TcContext, packet: &Packet, plan: &Plan) -> Verdict {
    match plan.way {
        Way::Past | Way::Leave | Way::Answer => Ok(TC_ACT_UNSPEC),
        Way::Container => {
            forward::frame(ctx, packet, &plan.destination_mac, &plan.source_mac)?;
            deliver(ctx, packet, plan)
        }
        Way::Readdressed => deliver(ctx, packet, plan),
        Way::Member => {
            forward::readdress(ctx, &plan.destination_mac)?;
            deliver(ctx, packet, plan)
        }
        Way::Host => {
            forward::readdress(ctx, &plan.destination_mac)?;
            skb::claim(ctx);
            skb::redirect(plan.ifindex, INGRESS)
        }
        Way::Outside => forward::out(packet, plan.ifindex, &plan.next_hop),
    }
}

/// Into the container.
#[inline(always)]
fn deliver(ctx: &TcContext, packet: &Packet, plan: &Plan) -> Verdict {
    forward::into_container(ctx, plan.ifindex, plan.slot, plan.kind(packet))
}
