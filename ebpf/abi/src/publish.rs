//! Published ports.
//!
//! A publish is one entry, also when it is a range. A longest-prefix-match table leads from (address, protocol, port)
//! to its slot: an interval of ports is at most 30 prefixes, so its cost grows with the logarithm of its length, and a
//! lookup's with the depth of the table, not with the number of ports.

use crate::{Address, RuleSets, Tuple};

/// The slot of a flow that goes through no publish.
pub const NO_PUBLISH: u32 = u32::MAX;

/// A published interval of ports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// The host's address, or [`Address::ANY_V4`] or [`Address::ANY_V6`] for all of a family.
    pub host: Address,
    /// The container's address.
    pub container: Address,
    /// The first port of the host.
    pub host_first: u16,
    /// The last port of the host, inclusive.
    pub host_last: u16,
    /// The container's port that the first port of the host leads to; the others follow.
    pub container_first: u16,
    /// The IP protocol.
    pub protocol: u8,
    /// One when the slot is in use.
    pub used: u8,
    /// Raised with every change of the slot: flows of another generation are dead.
    pub generation: u32,
    /// Always zero.
    pub flags: u32,
    /// Who may come.
    pub rules: RuleSets,
}

impl Publish {
    /// The container's port behind a port of the host, if it is in the interval.
    #[inline(always)]
    pub const fn container_port(&self, host_port: u16) -> Option<u16> {
        if host_port < self.host_first || host_port > self.host_last {
            return None;
        }
        Some(self.container_first.wrapping_add(host_port - self.host_first))
    }
}

/// The data of a key of the port table: compared bit by bit from the front.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// The host's address, or [`Address::ANY_V4`] or [`Address::ANY_V6`].
    pub address: Address,
    /// The IP protocol.
    pub protocol: u8,
    /// Always zero.
    pub pad: u8,
    /// The port in network byte order.
    pub port: [u8; 2],
}

impl PortKey {
    /// The prefix length, in bits, that compares everything.
    pub const FULL: u32 = 8 * size_of::<Self>() as u32;

    /// A key for one port.
    #[inline(always)]
    pub const fn new(address: Address, protocol: u8, port: u16) -> Self {
        Self { address, protocol, pad: 0, port: port.to_be_bytes() }
    }
}

/// The prefixes, as (first port, bits of the whole key), that cover an interval of ports exactly.
#[derive(Clone, Debug)]
pub struct PortPrefixes {
    next: u32,
    last: u32,
}

impl PortPrefixes {
    /// Covers `first..=last`.
    pub const fn new(first: u16, last: u16) -> Self {
        Self { next: first as u32, last: last as u32 }
    }
}

impl Iterator for PortPrefixes {
    type Item = (u16, u32);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next > self.last {
            return None;
        }
        let mut bits = self.next.trailing_zeros().min(16);
        while self.next + (1 << bits) - 1 > self.last {
            bits -= 1;
        }
        let first = self.next as u16;
        self.next += 1 << bits;
        Some((first, PortKey::FULL - bits))
    }
}

/// A candidate for deletion: a tracking entry and the `last_seen` it was judged by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The key of the tracking entry.
    pub tuple: Tuple,
    /// The flow is deleted only if it is still this.
    pub last_seen: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_cover_exactly_the_interval(a in any::<u16>(), b in any::<u16>()) {
            let (first, last) = (a.min(b), a.max(b));
            let mut expected = u32::from(first);
            let mut count = 0;
            for (start, length) in PortPrefixes::new(first, last) {
                let size = 1u32 << (PortKey::FULL - length);
                prop_assert_eq!(u32::from(start), expected);
                prop_assert_eq!(u32::from(start) % size, 0);
                expected += size;
                count += 1;
            }
            prop_assert_eq!(expected, u32::from(last) + 1);
            prop_assert!(count <= 30);
        }

        #[test]
        fn ports_of_an_interval_map_in_order(first in 1u16.., length in 0u16..1000, to in 1u16.., port in any::<u16>()) {
            let last = first.saturating_add(length);
            let publish = Publish { host_first: first, host_last: last, container_first: to, ..Publish::default() };
            match publish.container_port(port) {
                Some(inside) => {
                    prop_assert!((first..=last).contains(&port));
                    prop_assert_eq!(inside.wrapping_sub(to), port - first);
                }
                None => prop_assert!(!(first..=last).contains(&port)),
            }
        }
    }

    #[test]
    fn a_single_port_is_one_prefix_and_all_ports_too() {
        assert_eq!(PortPrefixes::new(80, 80).collect::<std::vec::Vec<_>>(), [(80, 160)]);
        assert_eq!(PortPrefixes::new(0, 65535).collect::<std::vec::Vec<_>>(), [(0, 144)]);
    }
}
