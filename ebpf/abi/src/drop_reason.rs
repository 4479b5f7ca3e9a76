//! Why a packet was refused, or a thing worth counting happened.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a packet was refused; the index of its counter.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DropReason { $($(#[$doc])* $name = $number,)* }

        impl DropReason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as metrics label it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// The packet ends before its headers do, or its headers contradict each other.
    Malformed = 0, "malformed";
    /// An IPv6 packet with more extension headers than are followed.
    Extensions = 1, "extension_headers";
    /// An Ethernet protocol that is neither IP nor ARP.
    EtherType = 2, "ether_type";
    /// The device has no entry: its endpoint is going or gone.
    NoEndpoint = 3, "no_endpoint";
    /// A container sent with a hardware address that is not its own.
    SpoofedMac = 4, "spoofed_mac";
    /// A container sent with an IP address that is not its own.
    SpoofedAddress = 5, "spoofed_address";
    /// A container asked or answered ARP for an address that is not its own.
    SpoofedArp = 6, "spoofed_arp";
    /// The destination is in another network, or the network forbids its members to talk.
    Isolated = 7, "isolated";
    /// The network is internal: it has no way outside.
    Internal = 8, "internal";
    /// A container's address was addressed from outside and its network is not routed.
    NotRouted = 9, "not_routed";
    /// No route to the destination.
    NoRoute = 10, "no_route";
    /// The route leaves by a device that carries none of our programs.
    NoUplink = 11, "no_uplink";
    /// The time to live ran out.
    TtlExceeded = 12, "ttl_exceeded";
    /// The packet is larger than the device it leaves by takes.
    TooBig = 13, "too_big";
    /// No port was left for the masquerade towards this peer.
    PortsExhausted = 14, "ports_exhausted";
    /// The table of flows is full.
    FlowsExhausted = 15, "flows_exhausted";
    /// The flow's publish or endpoint has changed since.
    StaleFlow = 16, "stale_flow";
    /// A later fragment that came before its first, and is not kept for it: it is too long, or one of too many.
    Fragment = 17, "fragment";
    /// A protocol that cannot be masqueraded.
    Protocol = 18, "protocol";
    /// An ICMP message that belongs to no flow.
    IcmpUnrelated = 19, "icmp_unrelated";
    /// A multicast or broadcast packet of a container that has none to go to.
    Multicast = 20, "multicast";
    /// A helper of the kernel refused the packet.
    Helper = 21, "helper";
    /// A segment that opens no connection and belongs to no flow.
    NoFlow = 22, "no_flow";
    /// A container's neighbour discovery message under an address that is not its own, or one of a router.
    SpoofedNeighbour = 23, "spoofed_neighbour";
    /// The container's network has as many flows as it may.
    FlowQuota = 24, "flow_quota";
    /// A rule refuses the source.
    Denied = 25, "denied";
    /// A container's fragment that came before its first: a copy waits for that.
    FragmentEarly = 26, "fragment_early";
}

impl DropReason {
    /// The size of the table of counters: room for reasons to come without a new layout.
    pub const CAPACITY: u32 = 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_positions() {
        for (at, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        assert!(DropReason::ALL.len() <= DropReason::CAPACITY as usize);
    }
}
