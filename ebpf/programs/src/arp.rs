//! ARP, answered in place: the table of endpoints knows every address, so nothing is ever asked aloud.

use aya_ebpf::programs::TcContext;
use beeline_abi::{Address, ArpPacket, Device, DropReason, ETHERNET_LEN, MacAddress, Network, arp};

use crate::{
    maps::{ENDPOINTS, NETWORKS, Table as _},
    skb::{self, INGRESS, Verdict},
};

/// An ARP reply with its Ethernet header.
#[repr(C)]
struct Reply {
    destination: [u8; 6],
    source: [u8; 6],
    protocol: u16,
    fixed: [u8; 6],
    operation: u16,
    sender_mac: [u8; 6],
    sender: [u8; 4],
    target_mac: [u8; 6],
    target: [u8; 4],
}

#[inline(always)]
fn parse(ctx: &TcContext) -> Result<ArpPacket, DropReason> {
    let bytes: [u8; arp::LEN] = skb::load(ctx, ETHERNET_LEN as u32).ok_or(DropReason::Malformed)?;
    ArpPacket::parse(&bytes).ok_or(DropReason::Malformed)
}

/// Turns the question into its answer.
#[inline(always)]
fn answer(ctx: &TcContext, question: &ArpPacket, mac: &MacAddress) -> Result<(), DropReason> {
    let reply = Reply {
        destination: question.sender_mac.octets,
        source: mac.octets,
        protocol: beeline_abi::ether::ARP.to_be(),
        fixed: [0, 1, 8, 0, 6, 4],
        operation: arp::REPLY.to_be(),
        sender_mac: mac.octets,
        sender: question.target.to_ne_bytes(),
        target_mac: question.sender_mac.octets,
        target: question.sender.to_ne_bytes(),
    };
    skb::store(ctx, 0, &reply)
}

/// A container asks: it learns of its gateway and the members of its network, under no name but its own.
#[inline(never)]
pub fn from_container(ctx: &TcContext, device: &Device) -> Verdict {
    let question = parse(ctx)?;
    let own = device.address.v4_word();
    // A probe asks with no address of its own.
    if question.sender_mac != device.mac || question.sender != own && question.sender != 0 {
        return Err(DropReason::SpoofedArp);
    }
    // An announcement, or a probe of the own address: nobody else has it.
    if question.operation != arp::REQUEST || question.target == own {
        return Ok(aya_ebpf::bindings::TC_ACT_SHOT);
    }
    let network: &Network = NETWORKS.find(&device.network).ok_or(DropReason::NoEndpoint)?;
    let mac = if question.target == network.gateway.v4_word() {
        network.gateway_mac
    } else {
        let peer = ENDPOINTS.find(&Address::v4(question.target)).ok_or(DropReason::NoEndpoint)?;
        if peer.network != device.network {
            return Err(DropReason::Isolated);
        }
        peer.mac
    };
    answer(ctx, &question, &mac)?;
    skb::redirect(skb::ifindex(ctx), 0)
}

/// The host asks on a network's bridge device for a container.
#[inline(always)]
pub fn from_host(ctx: &TcContext) -> Verdict {
    let question = parse(ctx)?;
    let ifindex = skb::ifindex(ctx);
    let endpoint = ENDPOINTS.find(&Address::v4(question.target)).ok_or(DropReason::NoEndpoint)?;
    if question.operation != arp::REQUEST || endpoint.gateway_ifindex != ifindex {
        return Err(DropReason::NoEndpoint);
    }
    answer(ctx, &question, &endpoint.mac)?;
    skb::redirect(ifindex, INGRESS)
}
