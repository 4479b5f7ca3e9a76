//! Both ends of a packet.

use beeline_abi::{Address, Ports, Tuple};

/// The addresses and ports that a packet has, or is to have.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub source: &'a Address,
    pub destination: &'a Address,
    pub ports: Ports,
}

impl<'a> Ends<'a> {
    /// Of a packet that goes away from a container.
    #[inline(always)]
    pub fn outbound(tuple: &'a Tuple) -> Self {
        Self {
            source: &tuple.local,
            destination: &tuple.remote,
            ports: Ports { source: tuple.local_port, destination: tuple.remote_port },
        }
    }

    /// Of a packet that goes towards a container.
    #[inline(always)]
    pub fn inbound(tuple: &'a Tuple) -> Self {
        Self {
            source: &tuple.remote,
            destination: &tuple.local,
            ports: Ports { source: tuple.remote_port, destination: tuple.local_port },
        }
    }
}
