//! Both ends of a packet.

use beeline_abi::{Ports, Tuple};

/// The addresses and ports that a packet has, or is to have.
#[derive(Clone, Copy)]
pub struct Ends {
    /// As it lies in the packet.
    pub source: u32,
    /// As it lies in the packet.
    pub destination: u32,
    pub ports: Ports,
}

impl Ends {
    /// Of a packet that goes away from a container.
    #[inline(always)]
    pub fn outbound(tuple: &Tuple) -> Self {
        Self {
            source: tuple.local.v4_word(),
            destination: tuple.remote.v4_word(),
            ports: Ports { source: tuple.local_port, destination: tuple.remote_port },
        }
    }

    /// Of a packet that goes towards a container.
    #[inline(always)]
    pub fn inbound(tuple: &Tuple) -> Self {
        Self {
            source: tuple.remote.v4_word(),
            destination: tuple.local.v4_word(),
            ports: Ports { source: tuple.remote_port, destination: tuple.local_port },
        }
    }
}
