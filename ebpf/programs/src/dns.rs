//! A container's questions for names: what it sends to 127.0.0.11 goes to the resolver of its network, and what comes
//! from there is named so. Nothing is remembered of a socket: there is only one address that it can have asked.

use aya_ebpf::{EbpfContext as _, helpers::bpf_get_netns_cookie, programs::SockAddrContext};
use beeline_abi::{Address, Resolver};

use crate::maps::{RESOLVERS, Table as _};

/// The resolver of the socket's namespace.
#[inline(always)]
fn resolver(ctx: &SockAddrContext) -> Option<&'static Resolver> {
    // SAFETY: the kernel hands each program its context.
    let cookie = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    RESOLVERS.find(&cookie)
}

/// Where a question to this address and port goes, if it is one.
#[inline(always)]
pub fn redirect(ctx: &SockAddrContext, asked: &Address, port: u16) -> Option<(Address, u16)> {
    // What most sockets ask for is told by two comparisons.
    if port != Resolver::ASKED_PORT || *asked != Address::v4(Resolver::ASKED_WORD) {
        return None;
    }
    let resolver = resolver(ctx)?;
    Some((resolver.address, resolver.port))
}

/// Whom the socket's owner asked when this peer answers.
#[inline(always)]
pub fn name(ctx: &SockAddrContext, peer: &Address, port: u16) -> Option<(Address, u16)> {
    let resolver = resolver(ctx)?;
    let is_resolver = resolver.port == port && resolver.address == *peer;
    is_resolver.then_some((Address::v4(Resolver::ASKED_WORD), Resolver::ASKED_PORT))
}
