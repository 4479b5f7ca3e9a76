//! What the programs tell of new flows, when they are asked to.
//!
//! Of IPv6 one address a line: both at once need so much stack that Linux 6.1 does not let the container's program call this.

use aya_ebpf::programs::TcContext;
use aya_log_ebpf::debug;

use crate::scratch::Scratch;

/// A flow to a published port.
#[inline(always)]
pub fn published(ctx: &TcContext, flow: &Scratch) {
    let (wire, inside) = (&flow.wire, &flow.inside);
    if wire.local.is_v4() {
        debug!(
            ctx,
            "new flow {:i}:{} -> published port {} -> {:i}:{}",
            u32::from_be(wire.remote.v4_word()),
            wire.remote_port,
            wire.local_port,
            u32::from_be(inside.local.v4_word()),
            inside.local_port
        );
    } else {
        debug!(
            ctx,
            "new flow [{:i}]:{} -> published port {}",
            wire.remote.octets(),
            wire.remote_port,
            wire.local_port
        );
        debug!(
            ctx,
            "published port {} -> [{:i}]:{}",
            wire.local_port,
            inside.local.octets(),
            inside.local_port
        );
    }
}

/// A flow of a container to the outside.
#[inline(always)]
pub fn masqueraded(ctx: &TcContext, flow: &Scratch) {
    let (wire, inside) = (&flow.wire, &flow.inside);
    if wire.local.is_v4() {
        debug!(
            ctx,
            "new flow {:i}:{} masqueraded as port {} -> {:i}:{}",
            u32::from_be(inside.local.v4_word()),
            inside.local_port,
            wire.local_port,
            u32::from_be(inside.remote.v4_word()),
            inside.remote_port
        );
    } else {
        debug!(
            ctx,
            "new flow [{:i}]:{} masqueraded as port {}",
            inside.local.octets(),
            inside.local_port,
            wire.local_port
        );
        debug!(
            ctx,
            "masqueraded port {} -> [{:i}]:{}",
            wire.local_port,
            inside.remote.octets(),
            inside.remote_port
        );
    }
}
