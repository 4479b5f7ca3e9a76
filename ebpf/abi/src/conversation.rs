//! Conversations: what an endpoint has to do with one peer, as long as somebody wants to know.
//!
//! The table of flows serves the translation, and has nothing of what is not translated. A conversation is any packets
//! between an endpoint and a peer's port.

use crate::{PeerScope, Tuple, Volume};

/// How many conversations are known at once.
pub const MAX_CONVERSATIONS: u32 = 65_536;

/// What a conversation is doing.
pub mod conversation_state {
    /// A connection is asked for.
    pub const OPENING: u8 = 0;
    /// Packets go to and fro.
    pub const OPEN: u8 = 1;
    /// The connection was refused.
    pub const REFUSED: u8 = 2;
    /// Both ends have closed it, or one has reset it.
    pub const CLOSED: u8 = 3;
}

/// A conversation. Its key is the tuple as the container sees it, with the endpoint's slot as the zone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The same as the other end sees it.
    pub wire: Tuple,
    /// Monotonic nanoseconds of the first packet.
    pub began: u64,
    /// Monotonic nanoseconds of the last packet.
    pub last_seen: u64,
    /// What the container sent.
    pub sent: Volume,
    /// What was delivered to it.
    pub received: Volume,
    /// See [`conversation_state`].
    pub state: u8,
    /// A [`PeerScope`].
    pub peer: u8,
    /// Who began, as [`crate::Direction::index`]: zero for the container.
    pub direction: u8,
    /// A bit for each [`crate::Direction`] in which a FIN was seen.
    pub closed: u8,
    /// Whether it was found in the middle, so that who began is a guess.
    pub is_found: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

impl Conversation {
    /// With whom it is.
    pub fn peer_scope(&self) -> PeerScope {
        PeerScope::ALL.into_iter().find(|peer| *peer as u8 == self.peer).unwrap_or(PeerScope::Outside)
    }
}
