//! The host's own clients of published ports: their destination is rewritten at the socket, so their packets go to the
//! container without a translation. And the host's own servers: a published port is not theirs to bind.
//!
//! Programs at the root cgroup see every socket of the machine; only those of the daemon's network namespace matter.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval},
    programs::{SockAddrContext, SockContext},
};
use beeline_abi::{Address, DropReason, Original, PortKey, SocketKey, ip};

use crate::{
    count, dns, event,
    maps::{ADDRESSES, NETNS_COOKIE, SOCKETS, Table as _},
    policy::{self, Client},
    publish::{self, Target},
};

const ALLOW: i32 = 1;
const REFUSE: i32 = 0;
const EADDRINUSE: i32 = 98;
const ECONNREFUSED: i32 = 111;
const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;

/// 127.0.0.1 as it lies in a packet.
const LOOPBACK: u32 = u32::from_ne_bytes([127, 0, 0, 1]);

/// ::1.
const LOOPBACK_V6: Address = Address { words: [0, 0, 0, 1u32.to_be()] };

/// Whether the socket is of the namespace that the daemon serves.
#[inline(always)]
fn is_ours(context: *mut core::ffi::c_void) -> bool {
    // SAFETY: the kernel hands each program its context.
    unsafe { bpf_get_netns_cookie(context) == NETNS_COOKIE.load() }
}

/// The socket's cookie.
#[inline(always)]
fn cookie(context: *mut core::ffi::c_void) -> u64 {
    // SAFETY: as above.
    unsafe { bpf_get_socket_cookie(context) }
}

/// The addresses that a program may change.
#[inline(always)]
fn addresses(ctx: &SockAddrContext) -> &mut bpf_sock_addr {
    // SAFETY: the kernel hands each program its context, and nobody else writes it meanwhile.
    unsafe { &mut *ctx.sock_addr }
}

/// The IP protocol of a socket.
#[inline(always)]
fn protocol(kind: u32) -> Option<u8> {
    match kind {
        STREAM => Some(ip::TCP),
        DATAGRAM => Some(ip::UDP),
        _ => None,
    }
}

/// What a destination of a host's socket leads to. Publishes of all addresses include the loopback's.
#[inline(always)]
fn target(address: &Address, protocol: u8, port: u16) -> Option<Target> {
    if !address.is_loopback() && ADDRESSES.find(address).is_none() {
        return None;
    }
    publish::find(address, protocol, port)
}

/// Remembers what the socket's owner asked for.
#[inline(always)]
fn remember(context: *mut core::ffi::c_void, target: &Target, asked: Address, port: u16) {
    let key = SocketKey {
        cookie: cookie(context),
        address: target.publish.container,
        port: target.port,
        pad: [0; 6],
    };
    let original = Original { address: asked, port, pad: [0; 6] };
    if SOCKETS.find(&key).is_none_or(|known| *known != original) {
        // Failing, the owner sees the container's address: nothing else suffers.
        let _ = SOCKETS.insert(&key, &original, 0);
    }
}

/// Whether a client of the host may reach what it asks for.
#[inline(always)]
fn admit(target: &Target, asked: Address, port: u16, client: Client) -> Result<(), DropReason> {
    policy::admit(target, &asked, client).map_err(|rule| {
        event::socket_refused(&PortKey::new(asked, target.publish.protocol, port), DropReason::Denied, rule);
        DropReason::Denied
    })
}

/// Rewrites an IPv4 destination; returns what it leads to.
#[inline(always)]
fn rewrite4(ctx: &SockAddrContext, client: Client) -> Result<Option<Target>, DropReason> {
    let context = ctx.as_ptr();
    let raw = addresses(ctx);
    let port = u16::from_be(raw.user_port as u16);
    if !is_ours(context) {
        if let Some((address, port)) = dns::redirect(ctx, &Address::v4(raw.user_ip4), port) {
            raw.user_ip4 = address.v4_word();
            raw.user_port = u32::from(port.to_be());
        }
        return Ok(None);
    }
    let Some(protocol) = protocol(raw.type_) else { return Ok(None) };
    // "Any" as a destination is this host.
    let word = if raw.user_ip4 == 0 { LOOPBACK } else { raw.user_ip4 };
    let asked = Address::v4(word);
    let Some(target) = target(&asked, protocol, port) else { return Ok(None) };
    admit(&target, asked, port, client)?;
    remember(context, &target, asked, port);
    raw.user_ip4 = target.publish.container.v4_word();
    raw.user_port = u32::from(target.port.to_be());
    Ok(Some(target))
}

/// Reads the IPv6 destination. Word by word: the verifier wants each access by itself.
#[inline(always)]
fn destination6(raw: &bpf_sock_addr) -> Address {
    // SAFETY: reads a field of a reference.
    let read = |at: usize| unsafe { core::ptr::read_volatile(&raw.user_ip6[at]) };
    Address { words: [read(0), read(1), read(2), read(3)] }
}

#[inline(always)]
fn write6(raw: &mut bpf_sock_addr, address: &Address) {
    for at in 0..4 {
        // SAFETY: writes a field of a reference.
        unsafe { core::ptr::write_volatile(&mut raw.user_ip6[at], address.words[at]) };
    }
}

/// Rewrites an IPv6 destination, v4-mapped ones among them. `::1` is the loopback of both families: who asks for
/// `localhost` gets what is published for either.
#[inline(always)]
fn rewrite6(ctx: &SockAddrContext, client: Client) -> Result<Option<Target>, DropReason> {
    let context = ctx.as_ptr();
    let raw = addresses(ctx);
    let port = u16::from_be(raw.user_port as u16);
    let asked = destination6(raw);
    if !is_ours(context) {
        if let Some((address, port)) = dns::redirect(ctx, &asked, port) {
            write6(raw, &address);
            raw.user_port = u32::from(port.to_be());
        }
        return Ok(None);
    }
    let Some(protocol) = protocol(raw.type_) else { return Ok(None) };
    // "Any" as a destination is this host.
    let looked_up = if asked.is_any_v6() { LOOPBACK_V6 } else { asked };
    let mut target = target(&looked_up, protocol, port);
    if target.is_none() && looked_up == LOOPBACK_V6 {
        target = publish::find(&Address::v4(LOOPBACK), protocol, port);
    }
    let Some(target) = target else { return Ok(None) };
    admit(&target, looked_up, port, client)?;
    remember(context, &target, asked, port);
    write6(raw, &target.publish.container);
    raw.user_port = u32::from(target.port.to_be());
    Ok(Some(target))
}

/// Counts a connection, or refuses it as a closed port does.
#[inline(always)]
fn connected(outcome: Result<Option<Target>, DropReason>) -> i32 {
    if let Ok(Some(target)) = &outcome {
        count::connected(target.slot);
    }
    sent(outcome)
}

#[inline(always)]
fn sent(outcome: Result<Option<Target>, DropReason>) -> i32 {
    let Err(reason) = outcome else { return ALLOW };
    count::dropped(reason);
    // SAFETY: sets what the system call returns.
    unsafe { bpf_set_retval(-ECONNREFUSED) };
    REFUSE
}

#[inline(always)]
pub fn connect4(ctx: &SockAddrContext) -> i32 {
    connected(rewrite4(ctx, Client::Connecting))
}

#[inline(always)]
pub fn connect6(ctx: &SockAddrContext) -> i32 {
    connected(rewrite6(ctx, Client::Connecting))
}

#[inline(always)]
pub fn sendmsg4(ctx: &SockAddrContext) -> i32 {
    sent(rewrite4(ctx, Client::Sending))
}

#[inline(always)]
pub fn sendmsg6(ctx: &SockAddrContext) -> i32 {
    sent(rewrite6(ctx, Client::Sending))
}

/// What the socket's owner asked for when it got this peer: address and port.
#[inline(always)]
fn original(ctx: &SockAddrContext, address: Address, port: u16) -> Option<(Address, u16)> {
    let context = ctx.as_ptr();
    if !is_ours(context) {
        return dns::name(ctx, &address, port);
    }
    let original = SOCKETS.find(&SocketKey { cookie: cookie(context), address, port, pad: [0; 6] })?;
    Some((original.address, original.port))
}

/// Names the peer as the socket's owner knows it.
#[inline(always)]
pub fn name4(ctx: &SockAddrContext) -> i32 {
    let raw = addresses(ctx);
    let port = u16::from_be(raw.user_port as u16);
    if let Some((address, port)) = original(ctx, Address::v4(raw.user_ip4), port) {
        raw.user_ip4 = address.v4_word();
        raw.user_port = u32::from(port.to_be());
    }
    ALLOW
}

/// Names the peer as the socket's owner knows it.
#[inline(always)]
pub fn name6(ctx: &SockAddrContext) -> i32 {
    let raw = addresses(ctx);
    let port = u16::from_be(raw.user_port as u16);
    if let Some((address, port)) = original(ctx, destination6(raw), port) {
        write6(raw, &address);
        raw.user_port = u32::from(port.to_be());
    }
    ALLOW
}

/// Refuses an address and port that are published.
#[inline(always)]
fn reserve(context: *mut core::ffi::c_void, kind: u32, address: &Address, port: u32) -> i32 {
    if !is_ours(context) {
        return ALLOW;
    }
    let Some(protocol) = protocol(kind) else { return ALLOW };
    if publish::find(address, protocol, port as u16).is_none() {
        return ALLOW;
    }
    // SAFETY: sets what the system call returns.
    unsafe { bpf_set_retval(-EADDRINUSE) };
    REFUSE
}

#[inline(always)]
fn socket(ctx: &SockContext) -> &bpf_sock {
    // SAFETY: the kernel hands each program its context.
    unsafe { &*ctx.sock }
}

#[inline(always)]
pub fn post_bind4(ctx: &SockContext) -> i32 {
    let raw = socket(ctx);
    reserve(ctx.as_ptr(), raw.type_, &Address::v4(raw.src_ip4), raw.src_port)
}

/// An IPv6 socket takes the IPv4 port too when it is bound to any address.
#[inline(always)]
pub fn post_bind6(ctx: &SockContext) -> i32 {
    let raw = socket(ctx);
    // SAFETY: reads a field of a reference.
    let read = |at: usize| unsafe { core::ptr::read_volatile(&raw.src_ip6[at]) };
    let address = Address { words: [read(0), read(1), read(2), read(3)] };
    let context = ctx.as_ptr();
    let outcome = reserve(context, raw.type_, &address, raw.src_port);
    if outcome == ALLOW && address.is_any_v6() {
        return reserve(context, raw.type_, &Address::ANY_V4, raw.src_port);
    }
    outcome
}
