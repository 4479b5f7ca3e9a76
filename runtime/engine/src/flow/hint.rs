//! What to do about a refusal.

use beeline_net::DropReason;

/// What the reason means, and what to do about it.
#[must_use]
pub fn hint(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Malformed => {
            "the packet's headers contradict each other or are cut off: look at its sender"
        }
        DropReason::Extensions => "more than six IPv6 extension headers: look at its sender",
        DropReason::EtherType => "networks carry IPv4, IPv6 and ARP alone",
        DropReason::NoEndpoint => "no container has this address: it has stopped, or the address is mistyped",
        DropReason::SpoofedMac => "a container sends from its own hardware address alone",
        DropReason::SpoofedAddress => {
            "a container sends from its own addresses alone: bind to one of them, and do not route through it"
        }
        DropReason::SpoofedArp | DropReason::SpoofedNeighbour => {
            "a container speaks for its own addresses alone: floating addresses are not to be had"
        }
        DropReason::Isolated => {
            "the containers are not on one network, or it has icc off: connect both to one (beeline network connect)"
        }
        DropReason::Internal => "the network is internal: connect the container to one that is not",
        DropReason::NotRouted => {
            "containers' addresses are not reachable from outside: publish the port, or make the network routed"
        }
        DropReason::NoRoute => "the host has no route there: see ip route get ADDRESS",
        DropReason::NoUplink => {
            "the route leaves by a device that is no uplink, or has no address of this family: see ip route get ADDRESS"
        }
        DropReason::TtlExceeded => "the time to live ran out: a traceroute, or a loop of routes",
        DropReason::TooBig => "larger than the link takes: the sender was told, and sends smaller ones",
        DropReason::PortsExhausted => {
            "every port towards this peer is taken: use fewer connections to it, or keep them open"
        }
        DropReason::FlowsExhausted => "the table of connections is full: raise conntrack-entries",
        DropReason::StaleFlow => {
            "the port or container of the connection has changed: the client connects again"
        }
        DropReason::Fragment => {
            "too long, or one of too many, to be kept until its packet's first fragment comes: avoid fragments"
        }
        DropReason::Protocol => {
            "only TCP, UDP, SCTP and ICMP leave by the host's address: make the network routed"
        }
        DropReason::IcmpUnrelated => "an ICMP error about a connection that is not known",
        DropReason::Multicast => "multicast stays within a network",
        DropReason::Helper => "the kernel refused it, for want of memory perhaps: see dmesg",
        DropReason::NoFlow => "it belongs to no connection that is known: it was idle too long, or is over",
        DropReason::FlowQuota => "the network has as many connections as it may: raise conntrack-entries",
        DropReason::Denied => "a rule refuses the source: see beeline ports --rules",
        DropReason::FragmentEarly => "no loss: a copy goes on when its packet's first fragment comes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_of_its_own_length() {
        for reason in DropReason::ALL {
            let words = hint(*reason);
            assert!(words.len() > 20 && !words.ends_with('.'), "{reason:?}: {words}");
        }
    }
}
