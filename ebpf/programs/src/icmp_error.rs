//! ICMP errors belong to the flow of the packet they carry: both the outer and the embedded headers are translated.
//!
//! Of the embedded packet only 8 bytes behind its IP header are sure to be there, so the embedded transport checksum
//! stays as it is; every change goes into the outer checksum instead.

use aya_ebpf::programs::TcContext;
use beeline_abi::{DropReason, Side, Tuple, ip};

use crate::{
    conntrack::{self, Inbound, Outbound},
    ends::Ends,
    nat,
    packet::{Packet, Transport},
    plan::Plan,
    skb,
};

/// The packet that an ICMP error carries.
pub struct Embedded(&'static Packet);

impl Embedded {
    #[inline(always)]
    pub fn parse(ctx: &TcContext, packet: &Packet) -> Result<Self, DropReason> {
        let embedded = Packet::quoted(ctx, packet.l4 + 8)?;
        let is_followed = embedded.transport == Transport::Header && embedded.version == packet.version;
        if is_followed { Ok(Self(embedded)) } else { Err(DropReason::IcmpUnrelated) }
    }

    /// The flow of an error that came from outside: it carries what went out.
    #[inline(always)]
    pub fn flow_from_outside(&self, packet: &Packet) -> Option<Inbound> {
        conntrack::inbound(packet, &self.0.outbound(Side::Wire))
    }

    /// The flow of an error that the container of this generation sends: it carries what came in.
    #[inline(always)]
    pub fn flow_from_container(&self, packet: &Packet, generation: u32) -> Option<Outbound> {
        conntrack::outbound(packet, &self.0.inbound(Side::Inside), generation)
    }

    /// Plans that the container gets to see an error from outside as of the flow it knows.
    #[inline(always)]
    pub fn plan_in(&self, plan: &mut Plan, packet: &Packet, inside: &Tuple, hops: u8) {
        let outer = Ends { source: &packet.source, destination: &inside.local, ports: packet.ports };
        plan.translate_error(&outer, &Ends::outbound(inside), hops);
    }

    /// Plans that the outside gets to see a container's error as of the flow it knows.
    #[inline(always)]
    pub fn plan_out(&self, plan: &mut Plan, packet: &Packet, wire: &Tuple, hops: u8) {
        let outer = Ends { source: &wire.local, destination: &wire.remote, ports: packet.ports };
        plan.translate_error(&outer, &Ends::inbound(wire), hops);
    }
}

/// Rewrites the carried headers and the outer checksum.
#[inline(always)]
pub fn rewrite(ctx: &TcContext, packet: &Packet, to: &Ends<'_>) -> Result<(), DropReason> {
    let embedded = Packet::last_quoted()?;
    let addresses = nat::difference(embedded, to);
    let mut all = addresses;
    if matches!(embedded.protocol, ip::ICMP | ip::ICMPV6) {
        let id = (to.ports.source | to.ports.destination).to_be();
        all = all.half((embedded.ports.source | embedded.ports.destination).to_be(), id);
        skb::store(ctx, embedded.l4 + 4, &id)?;
    } else {
        all = all.word(embedded.ports.word(), to.ports.word());
        skb::store(ctx, embedded.l4, &to.ports.word())?;
    }
    if embedded.is_v4() {
        let check = addresses.apply(embedded.check);
        all = all.half(embedded.check, check);
        skb::store(ctx, embedded.l3 + 10, &check)?;
        skb::store(ctx, embedded.l3 + 12, &[to.source.v4_word(), to.destination.v4_word()])?;
    } else {
        skb::store(ctx, embedded.l3 + 8, to.source)?;
        skb::store(ctx, embedded.l3 + 24, to.destination)?;
    }
    skb::replace_check(ctx, packet.l4 + 2, 0, u64::from(all.sum()), 0)
}
