//! ICMP errors belong to the flow of the packet they carry: both the outer and the embedded headers are translated.
//!
//! Of the embedded packet only 8 bytes behind its IP header are sure to be there, so the embedded transport checksum
//! stays as it is; every change goes into the outer checksum instead.

use aya_ebpf::programs::TcContext;
use beeline_abi::{Difference, DropReason, Icmp, Ipv4Header, Ports, Side, Tuple, icmp, ip};

use crate::{
    conntrack::{self, Inbound, Outbound},
    ends::Ends,
    nat,
    packet::Packet,
    skb,
};

/// The packet that an ICMP error carries.
pub struct Embedded {
    /// Where its IP header begins.
    l3: u32,
    header: Ipv4Header,
    ports: Ports,
}

impl Embedded {
    #[inline(always)]
    pub fn parse(ctx: &TcContext, packet: &Packet) -> Result<Self, DropReason> {
        let l3 = packet.l4 + 8;
        let bytes = skb::load(ctx, l3).ok_or(DropReason::Malformed)?;
        let header = Ipv4Header::parse(&bytes).ok_or(DropReason::Malformed)?;
        let first: [u8; 8] =
            skb::load(ctx, l3 + u32::from(header.header_len)).ok_or(DropReason::Malformed)?;
        let ports = match header.protocol {
            ip::TCP | ip::UDP => Ports::parse(&[first[0], first[1], first[2], first[3]]),
            ip::ICMP => {
                let message = Icmp::parse(&first);
                match message.kind {
                    icmp::ECHO_REQUEST => Ports { source: message.id, destination: 0 },
                    icmp::ECHO_REPLY => Ports { source: 0, destination: message.id },
                    _ => return Err(DropReason::IcmpUnrelated),
                }
            }
            _ => return Err(DropReason::IcmpUnrelated),
        };
        if header.fragment_offset != 0 {
            return Err(DropReason::IcmpUnrelated);
        }
        Ok(Self { l3, header, ports })
    }

    /// The tuple of the carried packet, had it gone away from a container.
    #[inline(always)]
    fn outbound(&self, side: Side) -> Tuple {
        let source = (self.header.source_address(), self.ports.source);
        let destination = (self.header.destination_address(), self.ports.destination);
        Tuple::outbound(side, self.header.protocol, source, destination)
    }

    /// The tuple of the carried packet, had it gone towards a container.
    #[inline(always)]
    fn inbound(&self, side: Side) -> Tuple {
        let source = (self.header.source_address(), self.ports.source);
        let destination = (self.header.destination_address(), self.ports.destination);
        Tuple::inbound(side, self.header.protocol, source, destination)
    }

    /// The flow of an error that came from outside: it carries what went out.
    #[inline(always)]
    pub fn flow_from_outside(&self, packet: &Packet) -> Option<Inbound> {
        conntrack::inbound(packet, &self.outbound(Side::Wire))
    }

    /// The flow of an error that the container of this generation sends: it carries what came in.
    #[inline(always)]
    pub fn flow_from_container(&self, packet: &Packet, generation: u32) -> Option<Outbound> {
        conntrack::outbound(packet, &self.inbound(Side::Inside), generation)
    }

    /// Rewrites an error from outside as the container is to see it.
    #[inline(always)]
    pub fn translate_in(
        &self,
        ctx: &TcContext,
        packet: &Packet,
        inside: &Tuple,
        hops: u8,
    ) -> Result<(), DropReason> {
        self.rewrite(ctx, packet, &Ends::outbound(inside))?;
        let outer =
            Ends { source: packet.header.source, destination: inside.local.v4_word(), ports: packet.ports };
        nat::translate(ctx, packet, &outer, hops)
    }

    /// Rewrites a container's error as the outside is to see it.
    #[inline(always)]
    pub fn translate_out(
        &self,
        ctx: &TcContext,
        packet: &Packet,
        wire: &Tuple,
        hops: u8,
    ) -> Result<(), DropReason> {
        self.rewrite(ctx, packet, &Ends::inbound(wire))?;
        let outer =
            Ends { source: wire.local.v4_word(), destination: wire.remote.v4_word(), ports: packet.ports };
        nat::translate(ctx, packet, &outer, hops)
    }

    /// Rewrites the carried headers and the outer checksum.
    #[inline(always)]
    fn rewrite(&self, ctx: &TcContext, packet: &Packet, to: &Ends) -> Result<(), DropReason> {
        let addresses = Difference::NONE
            .word(self.header.source, to.source)
            .word(self.header.destination, to.destination);
        let check = addresses.apply(self.header.check);
        let mut all = addresses.half(self.header.check, check);
        let l4 = self.l3 + u32::from(self.header.header_len);
        if self.header.protocol == ip::ICMP {
            let id = (to.ports.source | to.ports.destination).to_be();
            all = all.half((self.ports.source | self.ports.destination).to_be(), id);
            skb::store(ctx, l4 + 4, &id)?;
        } else {
            all = all.word(self.ports.word(), to.ports.word());
            skb::store(ctx, l4, &to.ports.word())?;
        }
        skb::store(ctx, self.l3 + 10, &check)?;
        skb::store(ctx, self.l3 + 12, &[to.source, to.destination])?;
        skb::replace_check(ctx, packet.l4 + 2, 0, u64::from(all.sum()), 0)
    }
}
