//! Where the containers' questions for names go.

use core::net::Ipv4Addr;

use crate::Address;

/// Where a network namespace's questions to [`Resolver::ASKED`] go, by the cookie of the namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// The resolver's address, IPv4.
    pub address: Address,
    /// The host's end of the veth pair through which the namespace reaches it: the entry goes with it.
    pub ifindex: u32,
    /// The resolver's port, for UDP and TCP.
    pub port: u16,
    /// Always zero.
    pub pad: [u8; 2],
}

impl Resolver {
    /// The address containers ask; nothing has it.
    pub const ASKED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

    /// The port containers ask.
    pub const ASKED_PORT: u16 = 53;

    /// [`Self::ASKED`] as it lies in a packet.
    pub const ASKED_WORD: u32 = u32::from_ne_bytes(Self::ASKED.octets());
}
