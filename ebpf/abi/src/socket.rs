//! What is remembered of a host's socket whose destination was rewritten.

use crate::Address;

/// A socket and the container it talks to in place of a published port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketKey {
    /// The socket's cookie.
    pub cookie: u64,
    /// The container's address.
    pub address: Address,
    /// The container's port.
    pub port: u16,
    /// Always zero.
    pub pad: [u8; 6],
}

/// Where the program that owns the socket thinks it talks to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// The address it gave.
    pub address: Address,
    /// The port it gave.
    pub port: u16,
    /// Always zero.
    pub pad: [u8; 6],
}
