//! What the programs tell, through a ring buffer, while somebody listens.

use crate::{Conversation, ETHERNET_LEN, Tuple};

/// Bytes of the ring buffer.
pub const EVENT_BYTES: u32 = 1 << 19;

/// How long one window of a budget is, in nanoseconds.
pub const BUDGET_WINDOW: u64 = 100_000_000;

/// The kinds of events: the first word of each.
pub mod event_kind {
    /// A conversation began: [`super::Begun`].
    pub const BEGUN: u32 = 1;
    /// A packet, or a socket's wish, was refused: [`super::Dropped`].
    pub const DROPPED: u32 = 2;
}

/// What is told, and how much of it. The daemon says it again every second: what it does not say any more ends by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Until when conversations are told of, in monotonic nanoseconds; zero for not at all.
    pub flows_until: u64,
    /// The same for what is refused.
    pub drops_until: u64,
    /// How many beginnings a processor tells of in a [`BUDGET_WINDOW`].
    pub flow_budget: u32,
    /// How many refusals.
    pub drop_budget: u32,
}

/// What a processor may still tell in this window.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Which window it is.
    pub window: u64,
    /// How many it has told.
    pub used: u64,
}

macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $what:literal, $reason:literal;)*) => {
        /// Why something was not told; the index of its counter.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventLoss { $($(#[$doc])* $name = $number,)* }

        impl EventLoss {
            /// Every loss, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What is lost, and why, as metrics label it.
            pub const fn names(self) -> (&'static str, &'static str) {
                match self { $(Self::$name => ($what, $reason),)* }
            }
        }
    };
}

losses! {
    /// More conversations began than are told of in a while.
    FlowRate = 0, "flow", "rate";
    /// The ring buffer was full when a conversation began.
    FlowBuffer = 1, "flow", "buffer";
    /// The table of conversations was full.
    FlowTable = 2, "flow", "table";
    /// More was refused than is told of in a while.
    DropRate = 3, "drop", "rate";
    /// The ring buffer was full when something was refused.
    DropBuffer = 4, "drop", "buffer";
}

impl EventLoss {
    /// The size of the table of counters: room for losses to come.
    pub const CAPACITY: u32 = 16;
}

/// A conversation began.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// [`event_kind::BEGUN`].
    pub kind: u32,
    /// Always zero.
    pub pad: u32,
    /// Its key.
    pub inside: Tuple,
    /// What it is so far.
    pub conversation: Conversation,
}

/// How much of a refused packet is told: what the parsers need of either family.
pub const DROPPED_FRONT: usize = ETHERNET_LEN + 60;

/// Where the bytes of a refusal come from.
pub mod drop_origin {
    /// An Ethernet frame.
    pub const FRAME: u32 = 0;
    /// A packet of a device without Ethernet headers.
    pub const PACKET: u32 = 1;
    /// A socket of the host: the bytes are a [`crate::PortKey`] of what it wanted.
    pub const SOCKET: u32 = 2;
}

/// Something was refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// [`event_kind::DROPPED`].
    pub kind: u32,
    /// A [`crate::DropReason`].
    pub reason: u32,
    /// Monotonic nanoseconds.
    pub time: u64,
    /// The device it came in or went out by; zero for a socket.
    pub ifindex: u32,
    /// The counter of the rule that refuses it, or [`crate::MAX_RULES`].
    pub rule: u32,
    /// Bytes of the packet.
    pub length: u32,
    /// Bytes of it that are here.
    pub held: u32,
    /// See [`drop_origin`].
    pub origin: u32,
    /// Its front.
    pub front: [u8; DROPPED_FRONT],
    /// Always zero.
    pub pad: [u8; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_no_padding_that_the_kernel_would_not_write() {
        assert_eq!(size_of::<Dropped>(), 4 + 4 + 8 + 5 * 4 + DROPPED_FRONT + 2);
        assert_eq!(size_of::<Begun>(), 8 + size_of::<Tuple>() + size_of::<Conversation>());
        assert_eq!(size_of::<Conversation>(), size_of::<Tuple>() + 6 * 8 + 8);
    }

    #[test]
    fn losses_are_numbered_by_their_positions() {
        for (at, loss) in EventLoss::ALL.iter().enumerate() {
            assert_eq!(*loss as usize, at);
        }
        assert!(EventLoss::ALL.len() <= EventLoss::CAPACITY as usize);
    }
}
