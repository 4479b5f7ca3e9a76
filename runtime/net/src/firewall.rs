//! Whether a firewall of the host's drops what the host's stack forwards.
//!
//! The programs forward past the stack. What they leave to it, IPv4 packets of containers that have to be cut or answered
//! by an ICMP error, meets the chains of nftables; iptables' are among them where it is the version on top of nftables.

use std::io;

use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// The longest the kernel may take to answer. It answers at once; this keeps a fault from hanging a daemon's start.
const PATIENCE_SECONDS: i64 = 5;

/// linux/netlink.h and linux/netfilter/nfnetlink.h: a header, and the family behind it.
const HEADER_LEN: usize = 16;
const FAMILY_LEN: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// linux/netfilter/nf_tables.h.
const NFT_MSG_NEWCHAIN: u16 = 10 << 8 | 3;
const NFT_MSG_GETCHAIN: u16 = 10 << 8 | 4;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_HOOK_HOOKNUM: u16 = 1;

/// linux/netfilter.h.
const NF_INET_FORWARD: u32 = 2;
const NF_DROP: u32 = 0;
const FAMILIES: [(u8, &str); 2] = [(1, "inet"), (2, "ip")];

/// The chains of this network namespace that drop forwarded IPv4 packets unless a rule accepts them, as `FAMILY TABLE
/// CHAIN`; none where the kernel has no nftables.
///
/// # Errors
/// The kernel answers neither with chains nor that it has none.
pub(crate) fn dropping_chains() -> io::Result<Vec<String>> {
    let Ok(mut socket) = Socket::new(NETLINK_NETFILTER) else { return Ok(Vec::new()) };
    socket.bind_auto()?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE_SECONDS, 0))?;
    socket.send_to(&request(), &SocketAddr::new(0, 0), 0)?;
    let mut chains = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        for (kind, body) in messages(&answer) {
            match kind {
                NFT_MSG_NEWCHAIN => chains.extend(dropping_chain(body)),
                NLMSG_DONE => return Ok(chains),
                // Without the module the subsystem is unknown.
                NLMSG_ERROR => return Ok(Vec::new()),
                _ => {}
            }
        }
    }
}

/// Asks for the chains of all families.
fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + FAMILY_LEN);
    bytes.extend_from_slice(&((HEADER_LEN + FAMILY_LEN) as u32).to_ne_bytes());
    bytes.extend_from_slice(&NFT_MSG_GETCHAIN.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Sequence, port; family, version, resource.
    bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// The messages of a datagram: types and what follows their headers.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        let body = rest.get(HEADER_LEN..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The attributes in some bytes: types without flags, and values.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The name of a chain at the hook of forwarding whose policy is to drop.
fn dropping_chain(message: &[u8]) -> Option<String> {
    let family = FAMILIES.iter().find(|(number, _)| message.first() == Some(number))?.1;
    let attributes: Vec<_> = attributes(message.get(FAMILY_LEN..)?).collect();
    let find = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    let number = |value: &[u8]| Some(u32::from_be_bytes(*value.first_chunk()?));
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
    let hook = self::attributes(find(NFTA_CHAIN_HOOK)?).find(|(kind, _)| *kind == NFTA_HOOK_HOOKNUM)?.1;
    if number(hook)? != NF_INET_FORWARD || number(find(NFTA_CHAIN_POLICY)?)? != NF_DROP {
        return None;
    }
    Some(format!("{family} {} {}", text(find(NFTA_CHAIN_TABLE)?), text(find(NFTA_CHAIN_NAME)?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn chain(family: u8, hook: u32, policy: u32) -> Vec<u8> {
        let mut message = vec![family, 0, 0, 0];
        message.extend(attribute(NFTA_CHAIN_TABLE, b"filter\0"));
        message.extend(attribute(NFTA_CHAIN_NAME, b"FORWARD\0"));
        let nested = [attribute(NFTA_HOOK_HOOKNUM, &hook.to_be_bytes()), attribute(2, &[0; 4])].concat();
        // Nested attributes have a flag in their type.
        message.extend(attribute(NFTA_CHAIN_HOOK | 0x8000, &nested));
        message.extend(attribute(NFTA_CHAIN_POLICY, &policy.to_be_bytes()));
        message
    }

    #[test]
    fn a_chain_that_drops_what_is_forwarded_is_named() {
        assert_eq!(dropping_chain(&chain(2, NF_INET_FORWARD, NF_DROP)).as_deref(), Some("ip filter FORWARD"));
        assert_eq!(
            dropping_chain(&chain(1, NF_INET_FORWARD, NF_DROP)).as_deref(),
            Some("inet filter FORWARD")
        );
        assert_eq!(
            dropping_chain(&chain(10, NF_INET_FORWARD, NF_DROP)),
            None,
            "IPv6 is not forwarded by the stack"
        );
        assert_eq!(dropping_chain(&chain(2, NF_INET_FORWARD, 1)), None, "accepts");
        assert_eq!(dropping_chain(&chain(2, 1, NF_DROP)), None, "another hook");
        assert_eq!(dropping_chain(&[2, 0, 0, 0]), None, "no base chain");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for (_, body) in messages(&bytes) {
                let _name = dropping_chain(body);
            }
            let _name = dropping_chain(&bytes);
        }
    }
}
