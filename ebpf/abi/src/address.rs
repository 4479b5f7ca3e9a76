//! Addresses as the maps hold them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv6 address, or an IPv4 address in its v4-mapped form (`::ffff:a.b.c.d`), as four words in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The words as they lie in memory: `u32::from_ne_bytes` of the octets.
    pub words: [u32; 4],
}

impl Address {
    /// The third word of a v4-mapped address: `00 00 ff ff`.
    pub const V4_MARK: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

    /// `0.0.0.0`: in a publish, every IPv4 address of the host.
    pub const ANY_V4: Self = Self::v4(0);

    /// An IPv4 address from its word in network byte order, as a packet holds it.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self { words: [0, 0, Self::V4_MARK, word] }
    }

    /// The IPv4 word in network byte order; meaningless when [`Self::is_v4`] says no.
    #[inline(always)]
    pub const fn v4_word(&self) -> u32 {
        self.words[3]
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == Self::V4_MARK
    }

    /// Whether this is an IPv4 loopback address (127.0.0.0/8) or `::1`.
    #[inline(always)]
    pub const fn is_loopback(&self) -> bool {
        if self.is_v4() {
            self.words[3].to_ne_bytes()[0] == 127
        } else {
            self.words[0] == 0 && self.words[1] == 0 && self.words[2] == 0 && self.words[3] == 1u32.to_be()
        }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(u32::from_ne_bytes(address.octets()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        let word =
            |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        Self { words: [word(0), word(4), word(8), word(12)] }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<Address> for IpAddr {
    /// A v4-mapped address comes back as IPv4.
    fn from(address: Address) -> Self {
        if address.is_v4() {
            return Self::V4(Ipv4Addr::from(address.words[3].to_ne_bytes()));
        }
        let mut octets = [0u8; 16];
        for (chunk, word) in octets.chunks_exact_mut(4).zip(address.words) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        Self::V6(Ipv6Addr::from(octets))
    }
}

/// An Ethernet address, padded to eight bytes so that it can be a field of any key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MacAddress {
    /// The six octets in the order of the wire.
    pub octets: [u8; 6],
    /// Always zero.
    pub pad: [u8; 2],
}

impl MacAddress {
    /// From the six octets in the order of the wire.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self { octets, pad: [0; 2] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_survives_the_round_trip(octets in any::<[u8; 16]>(), v4 in any::<[u8; 4]>()) {
            let four = IpAddr::V4(Ipv4Addr::from(v4));
            prop_assert_eq!(IpAddr::from(Address::from(four)), four);
            let six = Ipv6Addr::from(octets);
            prop_assume!(six.to_ipv4_mapped().is_none());
            prop_assert_eq!(IpAddr::from(Address::from(six)), IpAddr::V6(six));
        }
    }

    #[test]
    fn loopback_is_the_whole_of_127_and_one_of_v6() {
        assert!(Address::from(Ipv4Addr::new(127, 3, 2, 1)).is_loopback());
        assert!(!Address::from(Ipv4Addr::new(128, 0, 0, 1)).is_loopback());
        assert!(Address::from(Ipv6Addr::LOCALHOST).is_loopback());
        assert!(!Address::from(Ipv6Addr::UNSPECIFIED).is_loopback());
    }
}
