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

    /// `::`: in a publish, every IPv6 address of the host.
    pub const ANY_V6: Self = Self { words: [0; 4] };

    /// The gateway of every network in the link-local range, as Docker's bridges have it: `fe80::1`.
    pub const LINK_LOCAL_GATEWAY: Self = Self { words: [Self::LINK_LOCAL, 0, 0, 1u32.to_be()] };

    /// The first word of a link-local IPv6 address.
    const LINK_LOCAL: u32 = u32::from_ne_bytes([0xfe, 0x80, 0, 0]);

    /// An IPv4 address from its word in network byte order, as a packet holds it.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self { words: [0, 0, Self::V4_MARK, word] }
    }

    /// The same, word by word: of a plain copy between places that may be the same, the compiler for BPF makes a call of a
    /// function that goes byte by byte.
    #[inline(always)]
    #[must_use]
    pub const fn by_words(&self) -> Self {
        let [a, b, c, d] = self.words;
        Self { words: [a, b, c, d] }
    }

    /// The IPv4 word in network byte order; meaningless when [`Self::is_v4`] says no.
    #[inline(always)]
    pub const fn v4_word(&self) -> u32 {
        self.words[3]
    }

    /// The 16 octets in the order of the wire.
    #[inline(always)]
    pub const fn octets(&self) -> [u8; 16] {
        let [a, b, c, d] = self.words;
        let (a, b, c, d) = (a.to_ne_bytes(), b.to_ne_bytes(), c.to_ne_bytes(), d.to_ne_bytes());
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == Self::V4_MARK
    }

    /// Whether this is `::`.
    #[inline(always)]
    pub const fn is_any_v6(&self) -> bool {
        self.words[0] | self.words[1] | self.words[2] | self.words[3] == 0
    }

    /// Whether this is a link-local IPv6 address (`fe80::/64`): the same may be in every network.
    #[inline(always)]
    pub const fn is_link_local(&self) -> bool {
        self.words[0] == Self::LINK_LOCAL && self.words[1] == 0
    }

    /// A link-local address as the table of endpoints has it, told apart by its network; any other address as it is.
    #[inline(always)]
    #[must_use]
    pub const fn scoped(&self, network: u32) -> Self {
        if !self.is_link_local() {
            return *self;
        }
        Self { words: [self.words[0], network, self.words[2], self.words[3]] }
    }

    /// The link-local address that a hardware address gives (RFC 4291, appendix A).
    pub const fn link_local(mac: [u8; 6]) -> Self {
        let high = u32::from_ne_bytes([mac[0] ^ 2, mac[1], mac[2], 0xff]);
        let low = u32::from_ne_bytes([0xfe, mac[3], mac[4], mac[5]]);
        Self { words: [Self::LINK_LOCAL, 0, high, low] }
    }

    /// Whether packets to this address are for many: 224.0.0.0 and above, or `ff00::/8`.
    #[inline(always)]
    pub const fn is_multicast(&self) -> bool {
        if self.is_v4() {
            self.words[3].to_ne_bytes()[0] >= 224
        } else {
            self.words[0].to_ne_bytes()[0] == 0xff
        }
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
        Self::V6(Ipv6Addr::from(address.octets()))
    }
}

/// The addresses of a network in one family.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The part that all have in common.
    pub prefix: Address,
    /// Which bits that is.
    pub mask: Address,
}

impl Subnet {
    /// Contains no address.
    pub const NONE: Self = Self { prefix: Address { words: [u32::MAX; 4] }, mask: Address::ANY_V6 };

    /// The subnet of an address whose first `length` bits are common; of an IPv4 address, 96 more than of its own 32.
    pub const fn new(address: Address, length: u8) -> Self {
        let ones = if length == 0 { 0 } else { u128::MAX << (128 - length as u32) };
        let bytes = ones.to_be_bytes();
        let mut mask = Address::ANY_V6;
        let mut prefix = Address::ANY_V6;
        let mut at = 0;
        while at < 4 {
            let word = [bytes[4 * at], bytes[4 * at + 1], bytes[4 * at + 2], bytes[4 * at + 3]];
            mask.words[at] = u32::from_ne_bytes(word);
            prefix.words[at] = address.words[at] & mask.words[at];
            at += 1;
        }
        Self { prefix, mask }
    }

    /// Whether an address is one of them.
    #[inline(always)]
    pub const fn contains(&self, address: &Address) -> bool {
        let [a, b, c, d] = address.words;
        let [e, f, g, h] = self.mask.words;
        let [i, j, k, l] = self.prefix.words;
        ((a & e) ^ i) | ((b & f) ^ j) | ((c & g) ^ k) | ((d & h) ^ l) == 0
    }

    /// The last of its addresses: the broadcast address of an IPv4 subnet.
    #[inline(always)]
    pub const fn last(&self) -> Address {
        let [a, b, c, d] = self.prefix.words;
        let [e, f, g, h] = self.mask.words;
        Address { words: [a | !e, b | !f, c | !g, d | !h] }
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

    proptest! {
        #[test]
        fn a_subnet_contains_what_shares_its_prefix(octets in any::<[u8; 16]>(), other in any::<[u8; 16]>(), length in 0u8..=128) {
            let (base, other) = (u128::from_be_bytes(octets), u128::from_be_bytes(other));
            let subnet = Subnet::new(Address::from(Ipv6Addr::from(base)), length);
            // The address shares some bits with the base, and may share all of the prefix.
            let other = if other & 1 == 0 { other } else { base ^ (other >> length.min(127)) };
            let shared = (base ^ other).leading_zeros() >= u32::from(length);
            prop_assert_eq!(subnet.contains(&Address::from(Ipv6Addr::from(other))), shared);
            prop_assert!(subnet.contains(&subnet.last()));
            prop_assert!(!Subnet::NONE.contains(&Address::from(Ipv6Addr::from(other))));
        }
    }

    #[test]
    fn an_ipv4_subnet_ends_with_its_broadcast_address() {
        let subnet = Subnet::new(Ipv4Addr::new(172, 17, 4, 9).into(), 96 + 24);
        assert_eq!(IpAddr::from(subnet.last()), IpAddr::from([172, 17, 4, 255]));
        assert!(!subnet.contains(&Ipv4Addr::new(172, 17, 5, 9).into()));
    }

    #[test]
    fn a_link_local_address_is_made_of_the_hardware_address_and_told_apart_by_its_network() {
        let address = Address::link_local([0x02, 0x42, 0xac, 0x11, 0x00, 0x02]);
        assert_eq!(IpAddr::from(address), "fe80::42:acff:fe11:2".parse::<IpAddr>().expect("an address"));
        assert!(address.is_link_local() && Address::LINK_LOCAL_GATEWAY.is_link_local());
        assert_ne!(address.scoped(1), address.scoped(2));
        let global = Address::from("2001:db8::1".parse::<Ipv6Addr>().expect("an address"));
        assert_eq!(global.scoped(7), global);
    }

    #[test]
    fn multicast_is_of_both_families() {
        for (text, expected) in [
            ("224.0.0.251", true),
            ("255.255.255.255", true),
            ("ff02::fb", true),
            ("10.0.0.1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(
                Address::from(text.parse::<IpAddr>().expect("an address")).is_multicast(),
                expected,
                "{text}"
            );
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
