//! Later fragments have no ports: the first one's are remembered for them. A later fragment that overtakes its first
//! is counted and, where a translation would be needed, refused.

use aya_ebpf::programs::TcContext;
use beeline_abi::{FragmentKey, FragmentPorts, Ipv4Header, Ports};

use crate::{maps::FRAGMENTS, skb};

#[inline(always)]
fn key(ctx: &TcContext, header: &Ipv4Header) -> FragmentKey {
    FragmentKey {
        source: header.source_address(),
        destination: header.destination_address(),
        id: u32::from(header.id),
        ifindex: skb::raw(ctx).ifindex,
        protocol: u32::from(header.protocol),
    }
}

/// Remembers the ports of a first fragment.
#[inline(never)]
pub fn remember(ctx: &TcContext, header: &Ipv4Header, ports: Ports) {
    let ports = FragmentPorts { source: ports.source, destination: ports.destination };
    // Failing, the later fragments are refused and counted.
    let _ = FRAGMENTS.insert(key(ctx, header), ports, 0);
}

/// The ports of a later fragment.
#[inline(always)]
pub fn recall(ctx: &TcContext, header: &Ipv4Header) -> Option<Ports> {
    let ports = unsafe { FRAGMENTS.get(key(ctx, header)) }?;
    Some(Ports { source: ports.source, destination: ports.destination })
}
