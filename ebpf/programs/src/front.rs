//! The front of a packet, copied once and back once: the call of a helper costs more than what it copies.

use core::mem::{offset_of, size_of};

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::{bpf_skb_load_bytes, bpf_skb_store_bytes},
    macros::btf_map,
    programs::TcContext,
};
use beeline_abi::{Address, DropReason, ETHERNET_LEN, IPV6_LEN, MacAddress};

use crate::{maps, skb};

/// Bytes of a TCP header without options.
const TRANSPORT_LEN: usize = 20;

/// How much is held of a packet, from the IP header on.
const IP_LEN: usize = IPV6_LEN + TRANSPORT_LEN;

/// The front of a packet.
#[repr(C, align(8))]
pub struct Front {
    /// So that the words of the IP header are words here.
    pad: [u8; 2],
    frame: [u8; ETHERNET_LEN],
    ip: [u32; IP_LEN / size_of::<u32>()],
    /// Bytes that are here from the IP header on.
    held: u32,
}

/// Of the packet that is worked on, and of the one that an ICMP error carries.
#[btf_map]
static FRONTS: PerCpuArray<Front, 2> = PerCpuArray::new();

/// This processor's front in a slot.
#[inline(always)]
pub fn own(slot: u32) -> Result<&'static mut Front, DropReason> {
    maps::own(&FRONTS, slot).ok_or(DropReason::Helper)
}

impl Front {
    /// Takes the frame of an Ethernet device.
    #[inline(always)]
    pub fn take_frame(&mut self, ctx: &TcContext) -> Result<(), DropReason> {
        let room = (ETHERNET_LEN + IP_LEN) as u32;
        let length = skb::raw(ctx).len;
        let length = if length < room { length } else { room };
        if length < ETHERNET_LEN as u32 {
            return Err(DropReason::Malformed);
        }
        self.held = length - ETHERNET_LEN as u32;
        let to = (&raw mut self.frame).cast();
        // SAFETY: the frame's header and the words lie side by side, and there is room for both.
        match unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), 0, to, length) } {
            0 => Ok(()),
            _ => Err(DropReason::Malformed),
        }
    }

    /// Takes what begins with an IP header.
    #[inline(always)]
    pub fn take(&mut self, ctx: &TcContext, l3: u32) -> Result<(), DropReason> {
        // Less one, so that the verifier sees it is never zero: of a header at the end, or beyond, it becomes so much that
        // the helper refuses.
        let but_one = skb::raw(ctx).len.wrapping_sub(l3).wrapping_sub(1);
        let most = IP_LEN as u32 - 1;
        let rest = if but_one < most { but_one } else { most } + 1;
        self.held = rest;
        let to = (&raw mut self.ip).cast();
        // SAFETY: there is room for as much.
        match unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), l3, to, rest) } {
            0 => Ok(()),
            _ => Err(DropReason::Malformed),
        }
    }

    /// The header of the frame.
    #[inline(always)]
    pub fn frame(&self) -> &[u8; ETHERNET_LEN] {
        &self.frame
    }

    /// Bytes from a place behind the beginning of the IP header; none if they are not all here.
    #[inline(always)]
    pub fn bytes<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        if at > IP_LEN - N || at + N > self.held as usize {
            return None;
        }
        let ip: *const u8 = (&raw const self.ip).cast();
        // SAFETY: within the words, of which any bytes are valid.
        Some(unsafe { &*ip.add(at).cast() })
    }

    /// The frame is to go from one hardware address to another.
    #[inline(always)]
    pub fn readdress(&mut self, destination: &MacAddress, source: &MacAddress) {
        let [a, b, c, d, e, f] = destination.octets;
        let [g, h, i, j, k, l] = source.octets;
        let [.., m, n] = self.frame;
        self.frame = [a, b, c, d, e, f, g, h, i, j, k, l, m, n];
    }

    /// Writes a word of the IP header, or behind it.
    #[inline(always)]
    pub fn set<const AT: usize>(&mut self, word: u32) {
        self.ip[AT] = word;
    }

    /// Writes an IPv6 address from a word on.
    #[inline(always)]
    pub fn set_address<const AT: usize>(&mut self, address: &Address) {
        for word in 0..4 {
            self.ip[AT + word] = address.words[word];
        }
    }

    /// Puts the frame back as it is here, with so many words behind its header.
    #[inline(always)]
    pub fn put_back<const WORDS: usize>(&self, ctx: &TcContext) -> Result<(), DropReason> {
        const { assert!(WORDS * size_of::<u32>() <= IP_LEN && offset_of!(Self, ip) == 2 + ETHERNET_LEN) };
        let from = (&raw const self.frame).cast();
        let length = (ETHERNET_LEN + WORDS * size_of::<u32>()) as u32;
        // SAFETY: the frame's header and the words lie side by side.
        match unsafe { bpf_skb_store_bytes(ctx.skb.skb, 0, from, length, 0) } {
            0 => Ok(()),
            _ => Err(DropReason::Helper),
        }
    }
}
