//! ICMPv6 messages that the programs themselves send: answers of neighbour discovery, and errors to containers.
//!
//! The errors are ours to send because the host's stack forwards IPv6 only when all of the host does, which changes how it
//! configures itself; IPv4's take the long way through it.

use core::ptr;

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::{bpf_csum_diff, bpf_skb_load_bytes, bpf_skb_store_bytes},
    macros::btf_map,
    programs::TcContext,
};
use beeline_abi::{Address, DropReason, ETHERNET_LEN, IPV6_LEN, MacAddress, ether, fold, ip};

use crate::{maps, skb};

/// Bytes before an error's quote: its headers.
const HEADERS_LEN: usize = IPV6_LEN + 8;

/// Bytes that an error carries of the packet that caused it: as many as are sure to get through (RFC 4443, section 2.4).
/// Whoever traces a route finds its own marks behind the transport header.
const QUOTE_LEN: usize = 1280 - HEADERS_LEN;

/// Bytes that are summed up at once: Linux before 6.13 takes no more.
const SUM_LEN: usize = 512;

/// What precedes a message in its room: its addresses are aligned then.
const PAD: usize = 2;

/// A message with its headers, as it is written behind the padding.
#[repr(C)]
struct Message<const N: usize> {
    pad: [u8; PAD],
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    ether: u16,
    version: [u8; 4],
    payload_len: u16,
    next_header: u8,
    hop_limit: u8,
    source: Address,
    destination: Address,
    kind: u8,
    code: u8,
    check: u16,
    parameter: [u8; 4],
    body: [u8; N],
}

/// Who speaks to whom.
pub struct Envelope<'a> {
    pub source_mac: &'a MacAddress,
    pub destination_mac: &'a MacAddress,
    pub source: &'a Address,
    pub destination: &'a Address,
}

/// A neighbour advertisement: the address, and its hardware address as an option.
type Advertisement = Message<24>;

/// An error: what it is about.
type Error = Message<QUOTE_LEN>;

#[btf_map]
static ADVERTISEMENT: PerCpuArray<Advertisement, 1> = PerCpuArray::new();

#[btf_map]
static ERROR: PerCpuArray<Error, 1> = PerCpuArray::new();

/// Solicited, and in place of what was known (RFC 4861, section 4.4).
const SOLICITED_OVERRIDE: u8 = 0x60;
const TARGET_LINK_LAYER: u8 = 2;

/// Turns the packet into a neighbour advertisement.
#[inline(always)]
pub fn advertise(
    ctx: &TcContext,
    envelope: &Envelope<'_>,
    target: &Address,
    mac: &MacAddress,
) -> Result<(), DropReason> {
    let message = maps::own(&ADVERTISEMENT, 0).ok_or(DropReason::Helper)?;
    let [a, b, c, d] = target.words.map(u32::to_ne_bytes);
    let [m0, m1, m2, m3, m4, m5] = mac.octets;
    message.body = [
        a[0],
        a[1],
        a[2],
        a[3],
        b[0],
        b[1],
        b[2],
        b[3],
        c[0],
        c[1],
        c[2],
        c[3],
        d[0],
        d[1],
        d[2],
        d[3],
        TARGET_LINK_LAYER,
        1,
        m0,
        m1,
        m2,
        m3,
        m4,
        m5,
    ];
    message.parameter = [SOLICITED_OVERRIDE, 0, 0, 0];
    let length = message.body.len() as u32;
    send(ctx, message, length, envelope, beeline_abi::icmpv6::NEIGHBOUR_ADVERTISEMENT)
}

/// Turns the packet, whose IP header is behind an Ethernet header, into an error about itself.
#[inline(never)]
pub fn complain(
    ctx: &TcContext,
    envelope: &Envelope<'_>,
    kind: u8,
    parameter: u32,
) -> Result<(), DropReason> {
    let message = maps::own(&ERROR, 0).ok_or(DropReason::Helper)?;
    let length = quote(ctx, &mut message.body)?;
    message.parameter = parameter.to_be_bytes();
    send(ctx, message, length, envelope, kind)
}

/// Copies as much of the packet as is quoted, in whole words; tells how many bytes these are.
#[inline(always)]
fn quote(ctx: &TcContext, body: &mut [u8; QUOTE_LEN]) -> Result<u32, DropReason> {
    let words = skb::raw(ctx).len.wrapping_sub(ETHERNET_LEN as u32) / 4;
    let length = skb::bounded(words, QUOTE_LEN as u32 / 4) * 4;
    let to = (&raw mut *body).cast();
    // SAFETY: there is room for as much.
    match unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), ETHERNET_LEN as u32, to, length) } {
        0 => Ok(length),
        _ => Err(DropReason::Malformed),
    }
}

/// Sends a message whose body has this many bytes, a multiple of four.
#[inline(always)]
fn send<const N: usize>(
    ctx: &TcContext,
    message: &mut Message<N>,
    body_len: u32,
    envelope: &Envelope<'_>,
    kind: u8,
) -> Result<(), DropReason> {
    let length = 8 + body_len as u16;
    message.destination_mac = envelope.destination_mac.octets;
    message.source_mac = envelope.source_mac.octets;
    message.ether = ether::IPV6.to_be();
    message.version = [0x60, 0, 0, 0];
    message.payload_len = length.to_be();
    (message.next_header, message.hop_limit) = (ip::ICMPV6, 255);
    (message.source, message.destination) = (*envelope.source, *envelope.destination);
    (message.kind, message.code, message.check) = (kind, 0, 0);
    // The pseudo-header: both addresses, the length, the protocol. Addresses and message lie side by side.
    let seed = (u32::from(length) + u32::from(ip::ICMPV6)).to_be();
    let headers = size_of::<Address>() as u32 * 2 + 8;
    // SAFETY: the addresses and the message's header, all of them within the value.
    let mut sum = unsafe { add((&raw mut message.source).cast(), headers, seed)? };
    for at in (0..N).step_by(SUM_LEN) {
        if body_len <= at as u32 {
            break;
        }
        let (rest, most) = (body_len - at as u32, if N - at < SUM_LEN { N - at } else { SUM_LEN } as u32);
        let rest = if rest < most { rest } else { most };
        // SAFETY: as much is left of the body.
        sum = unsafe { add((&raw mut message.body).cast::<u8>().add(at).cast(), rest, sum)? };
    }
    message.check = !fold(sum);
    let whole = (size_of::<Message<N>>() - PAD) as u32;
    let size = whole - N as u32 + body_len;
    skb::resize(ctx, size)?;
    let from = (&raw const message.destination_mac).cast();
    // SAFETY: the helper reads the message to its end.
    match unsafe { bpf_skb_store_bytes(ctx.skb.skb, 0, from, size, 0) } {
        0 => Ok(()),
        _ => Err(DropReason::Helper),
    }
}

/// Adds what lies there to a sum, a multiple of four bytes.
///
/// # Safety
///
/// So many bytes lie there.
#[inline(always)]
unsafe fn add(bytes: *mut u32, length: u32, sum: u32) -> Result<u32, DropReason> {
    // SAFETY: the helper reads as many bytes.
    let sum = unsafe { bpf_csum_diff(ptr::null_mut(), 0, bytes, length, sum) };
    if sum < 0 { Err(DropReason::Helper) } else { Ok(sum as u32) }
}
