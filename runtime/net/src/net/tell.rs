//! Networks and endpoints as the datapath is told of them.

use super::network::Network;
use crate::{Endpoint, datapath};

impl Network {
    /// The network whose gateway device is `gateway_ifindex`.
    pub(super) fn to_datapath(&self, gateway_ifindex: u32) -> datapath::NetworkSpec {
        let spec = &self.spec;
        datapath::NetworkSpec {
            id: spec.id,
            gateway_ifindex,
            gateway_mac: self.mac,
            ipv4: spec.ipv4.map(|range| (range.subnet.trunc(), range.gateway)),
            ipv6: spec.ipv6.map(|range| (range.subnet.trunc(), range.gateway)),
            mtu: self.mtu,
            icc: spec.icc,
            internal: spec.internal,
            masquerade: spec.masquerade,
            routed: spec.routed,
            flow_quota: spec.flow_quota,
            rules: spec.rules.clone(),
        }
    }
}

/// An endpoint.
pub(super) fn endpoint(endpoint: &Endpoint) -> datapath::EndpointSpec {
    datapath::EndpointSpec {
        ipv4: endpoint.ipv4.map(|address| address.ip),
        ipv6: endpoint.ipv6.map(|address| address.ip),
        mac: endpoint.mac,
        host_ifindex: endpoint.host_ifindex,
        network: endpoint.network,
    }
}
