//! Later fragments have no ports: the first one's are remembered for them. Those that overtake it are [`early`](crate::early).

use aya_ebpf::programs::TcContext;
use beeline_abi::{FragmentPorts, Ports};

use crate::{
    maps::{FRAGMENTS, Table as _},
    packet::Packet,
    skb,
};

/// Completes the key of the packet that a fragment is of; its identification is there already.
#[inline(always)]
pub fn name(ctx: &TcContext, packet: &mut Packet) {
    packet.whole.source = packet.source;
    packet.whole.destination = packet.destination;
    packet.whole.ifindex = skb::ifindex(ctx);
    packet.whole.protocol = u32::from(packet.protocol);
}

/// Remembers the ports of a first fragment.
#[inline(always)]
pub fn remember(packet: &Packet) {
    let ports = FragmentPorts { source: packet.ports.source, destination: packet.ports.destination };
    // Failing, the later fragments are refused and counted.
    let _ = FRAGMENTS.insert(&packet.whole, ports, 0);
}

/// The ports of a later fragment.
#[inline(always)]
pub fn recall(packet: &Packet) -> Option<Ports> {
    let ports = FRAGMENTS.find(&packet.whole)?;
    Some(Ports { source: ports.source, destination: ports.destination })
}
