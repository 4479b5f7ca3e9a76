//! What the programs know of connections whose two ends are on this host.

use crate::{Address, MAX_ENDPOINTS};

/// The index of the host's own counters: it is no endpoint.
pub const HOST_SLOT: u32 = MAX_ENDPOINTS;

/// The index of the counters of the daemon's test of this kernel.
pub const TEST_SLOT: u32 = MAX_ENDPOINTS + 1;

/// How many connections can be accelerated at once, times two.
pub const MAX_ACCELERATED: u32 = 65536;

/// What may be accelerated, by its address: a container's end, or the host's at a gateway.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceleratedEnd {
    /// The cookie of the network namespace whose sockets have the address: others that bear it are somebody else's.
    pub netns: u64,
    /// The network's id: both ends are in one.
    pub network: u32,
    /// The index of its counters.
    pub slot: u32,
}

/// A connected socket, as it names both ends.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketPair {
    /// The socket's own address.
    pub local: Address,
    /// The other end's.
    pub remote: Address,
    /// The socket's own port.
    pub local_port: u16,
    /// The other end's.
    pub remote_port: u16,
    /// Always zero.
    pub pad: u32,
}

impl SocketPair {
    /// The same connection, as the socket at the other end names it.
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
            local_port: self.remote_port,
            remote_port: self.local_port,
            pad: 0,
        }
    }
}

/// What a socket's peer needs to know of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceleratedSocket {
    /// Where the kernel has it.
    pub socket: u64,
    /// The cookie of its network namespace.
    pub netns: u64,
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn both_ends_name_one_connection() {
        let client = SocketPair {
            local: Ipv4Addr::new(172, 17, 0, 2).into(),
            remote: Ipv4Addr::new(172, 17, 0, 3).into(),
            local_port: 40_000,
            remote_port: 80,
            pad: 0,
        };
        let server = client.reversed();
        assert_eq!((server.local, server.local_port), (client.remote, 80));
        assert_eq!(server.reversed(), client);
    }
}
