//! Per-CPU counters, indexed by the slot of their endpoint or publish.

/// One endpoint's traffic as the container sees it: received is what was delivered to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Bytes delivered to the container, Ethernet header included.
    pub rx_bytes: u64,
    /// Packets delivered to the container; a GSO packet counts its segments.
    pub rx_packets: u64,
    /// Bytes the container sent.
    pub tx_bytes: u64,
    /// Packets the container sent; a GSO packet counts its segments.
    pub tx_packets: u64,
    /// Packets meant for the container and refused.
    pub rx_dropped: u64,
    /// Packets of the container that were refused.
    pub tx_dropped: u64,
}

/// One publish's traffic towards its container.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishCounters {
    /// Flows made through this publish, those of the host's own sockets included.
    pub connections: u64,
    /// Packets translated towards the container; a GSO packet counts its segments.
    pub packets: u64,
    /// Bytes translated towards the container.
    pub bytes: u64,
    /// Packets and sockets that would have opened a flow and were refused by a rule.
    pub refused: u64,
}

impl core::ops::AddAssign for EndpointCounters {
    fn add_assign(&mut self, other: Self) {
        self.rx_bytes += other.rx_bytes;
        self.rx_packets += other.rx_packets;
        self.tx_bytes += other.tx_bytes;
        self.tx_packets += other.tx_packets;
        self.rx_dropped += other.rx_dropped;
        self.tx_dropped += other.tx_dropped;
    }
}

impl core::ops::AddAssign for PublishCounters {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.refused += other.refused;
    }
}
