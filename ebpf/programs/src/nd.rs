//! Neighbour discovery, answered in place as ARP is: the table of endpoints knows every address.

use aya_ebpf::{bindings::TC_ACT_SHOT, programs::TcContext};
use beeline_abi::{Address, Device, DropReason, EthernetHeader, MacAddress, Network, icmpv6 as types};

use crate::{
    icmpv6::{self, Envelope},
    maps::{ENDPOINTS, Table as _},
    packet::Packet,
    skb::{self, INGRESS, Verdict},
};

/// Neighbour discovery counts only when it has passed no router (RFC 4861, section 7.1).
const HOP_LIMIT: u8 = 255;

/// Whether an ICMPv6 message is of neighbour discovery.
#[inline(always)]
pub fn is_one(packet: &Packet) -> bool {
    matches!(packet.icmp, types::ROUTER_SOLICITATION..=types::REDIRECT)
}

/// The address that is asked for.
#[inline(always)]
fn target(ctx: &TcContext, packet: &Packet) -> Result<Address, DropReason> {
    skb::load_address(ctx, packet.l4 + 8).ok_or(DropReason::Malformed)
}

/// A container's message of neighbour discovery; none if it is another one. It learns of its gateway and the members of its
/// network, and speaks for nobody but itself.
#[inline(always)]
pub fn from_container(
    ctx: &TcContext,
    device: &Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
) -> Option<Verdict> {
    match packet.icmp {
        types::NEIGHBOUR_SOLICITATION => Some(solicited(ctx, device, frame, packet, network)),
        // No router is needed to find the gateway, and an announcement tells nothing new.
        types::ROUTER_SOLICITATION | types::NEIGHBOUR_ADVERTISEMENT => Some(Ok(TC_ACT_SHOT)),
        types::ROUTER_ADVERTISEMENT | types::REDIRECT => Some(Err(DropReason::SpoofedNeighbour)),
        _ => None,
    }
}

#[inline(always)]
fn solicited(
    ctx: &TcContext,
    device: &Device,
    frame: &EthernetHeader,
    packet: &Packet,
    network: &Network,
) -> Verdict {
    if packet.hops != HOP_LIMIT {
        return Err(DropReason::SpoofedNeighbour);
    }
    let target = target(ctx, packet)?;
    // A probe whether an address is free: nobody else has this container's own, and another's it cannot use.
    if packet.source.is_any_v6() || target == device.address6 || target == device.link_local {
        return Ok(TC_ACT_SHOT);
    }
    let mac = if target == network.gateway6 || target == Address::LINK_LOCAL_GATEWAY {
        network.gateway_mac
    } else {
        let peer = ENDPOINTS.find(&target.scoped(device.network)).ok_or(DropReason::NoEndpoint)?;
        if peer.network != device.network {
            return Err(DropReason::Isolated);
        }
        peer.mac
    };
    answer(ctx, &frame.source, packet, &target, &mac)?;
    skb::redirect(skb::ifindex(ctx), 0)
}

/// The host asks on a network's bridge device for a container.
#[inline(always)]
pub fn from_host(ctx: &TcContext, frame: &EthernetHeader, packet: &Packet, network: u32) -> Verdict {
    if packet.icmp != types::NEIGHBOUR_SOLICITATION {
        return Ok(TC_ACT_SHOT);
    }
    let target = target(ctx, packet)?;
    let endpoint = ENDPOINTS.find(&target.scoped(network)).ok_or(DropReason::NoEndpoint)?;
    if endpoint.network != network {
        return Err(DropReason::NoEndpoint);
    }
    answer(ctx, &frame.source, packet, &target, &endpoint.mac)?;
    skb::claim(ctx);
    skb::redirect(skb::ifindex(ctx), INGRESS)
}

/// Turns the question into its answer.
#[inline(always)]
fn answer(
    ctx: &TcContext,
    asker: &MacAddress,
    packet: &Packet,
    target: &Address,
    mac: &MacAddress,
) -> Result<(), DropReason> {
    let envelope =
        Envelope { source_mac: mac, destination_mac: asker, source: target, destination: &packet.source };
    icmpv6::advertise(ctx, &envelope, target, mac)
}
