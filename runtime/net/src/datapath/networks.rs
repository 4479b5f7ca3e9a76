//! Networks in their maps: by id, by gateway device, and each one's list of members.
//!
//! The list is dense, so that what is sent to all of a network goes through it by position: who leaves gives its place to the
//! last one. A position is written before the count includes it, and removed after the count does not.

use beeline_abi::{Address, MacAddress, Member, MemberKey, Network, Subnet, network_flags};

use super::{
    Error, NetworkSpec,
    state::State,
    tables::{self, failed},
};
use crate::rules::Scope;

impl State {
    pub(super) fn set_network(&mut self, spec: &NetworkSpec) -> Result<(), Error> {
        let flag = |condition: bool, bit: u32| if condition { bit } else { 0 };
        let subnet = |address: Address, length: u8| Subnet::new(address, length);
        let earlier = tables::get(&self.tables.networks, "NETWORKS", &spec.id)?;
        let old = earlier.map_or(0, |earlier| earlier.rules);
        let rules = self.replace_set(old, Scope::Network, &spec.rules)?;
        let network = Network {
            gateway: spec.ipv4.map(|(_, gateway)| gateway.into()).unwrap_or_default(),
            gateway6: spec.ipv6.map(|(_, gateway)| gateway.into()).unwrap_or_default(),
            subnet: spec
                .ipv4
                .map_or(Subnet::NONE, |(net, _)| subnet(net.addr().into(), 96 + net.prefix_len())),
            subnet6: spec.ipv6.map_or(Subnet::NONE, |(net, _)| subnet(net.addr().into(), net.prefix_len())),
            gateway_mac: MacAddress::new(spec.gateway_mac),
            gateway_ifindex: spec.gateway_ifindex,
            mtu: spec.mtu,
            flags: flag(spec.icc, network_flags::ICC)
                | flag(spec.internal, network_flags::INTERNAL)
                | flag(spec.masquerade, network_flags::MASQUERADE)
                | flag(spec.routed.ipv4, network_flags::ROUTED)
                | flag(spec.routed.ipv6, network_flags::ROUTED6),
            flow_quota: spec.flow_quota.unwrap_or(self.default_flow_quota),
            members: self.members.get(&spec.id).map_or(0, |members| members.len() as u32),
            rules,
        };
        if earlier.is_none() {
            self.tables.network_flows.insert(spec.id, 0, 0).map_err(failed("write", "NETWORK_FLOWS"))?;
        }
        self.tables.networks.insert(spec.id, network, 0).map_err(failed("write", "NETWORKS"))?;
        let gateways = &mut self.tables.gateways;
        gateways.insert(spec.gateway_ifindex, spec.id, 0).map_err(failed("write", "GATEWAYS"))?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.gateway_ifindex != spec.gateway_ifindex) {
            tables::remove(&mut self.tables.gateways, "GATEWAYS", &earlier.gateway_ifindex)?;
        }
        if rules == old {
            return Ok(());
        }
        self.lead_to_sets(|_| true)?;
        self.retire(old, rules)
    }

    pub(super) fn remove_network(&mut self, id: u32) -> Result<(), Error> {
        let known = tables::get(&self.tables.networks, "NETWORKS", &id)?;
        if let Some(network) = known {
            tables::remove(&mut self.tables.gateways, "GATEWAYS", &network.gateway_ifindex)?;
        }
        tables::remove(&mut self.tables.networks, "NETWORKS", &id)?;
        tables::remove(&mut self.tables.network_flows, "NETWORK_FLOWS", &id)?;
        for position in 0..self.members.remove(&id).unwrap_or_default().len() as u32 {
            tables::remove(&mut self.tables.members, "MEMBERS", &MemberKey { network: id, position })?;
        }
        let Some(network) = known.filter(|network| network.rules != 0) else { return Ok(()) };
        self.lead_to_sets(|_| true)?;
        self.retire(network.rules, 0)
    }

    /// The bridge devices of the networks.
    pub(super) fn gateways(&self) -> Result<Vec<u32>, Error> {
        self.tables.gateways.keys().collect::<Result<_, _>>().map_err(failed("read", "GATEWAYS"))
    }

    /// Adds a member, unless it is one.
    pub(super) fn join(&mut self, network: u32, member: Member) -> Result<(), Error> {
        let members = self.members.entry(network).or_default();
        if members.contains(&member) {
            // An earlier daemon may have died before it counted the member.
            return self.count_members(network);
        }
        let key = MemberKey { network, position: members.len() as u32 };
        self.tables.members.insert(key, member, 0).map_err(failed("write", "MEMBERS"))?;
        members.push(member);
        self.count_members(network)
    }

    /// Removes a member, if it is one.
    pub(super) fn leave(&mut self, network: u32, ifindex: u32) -> Result<(), Error> {
        let Some(members) = self.members.get_mut(&network) else { return Ok(()) };
        let Some(at) = members.iter().position(|member| member.ifindex == ifindex) else {
            return self.count_members(network);
        };
        members.swap_remove(at);
        let last = members.len() as u32;
        if let Some(moved) = members.get(at) {
            let key = MemberKey { network, position: at as u32 };
            self.tables.members.insert(key, *moved, 0).map_err(failed("write", "MEMBERS"))?;
        }
        self.count_members(network)?;
        tables::remove(&mut self.tables.members, "MEMBERS", &MemberKey { network, position: last })
    }

    /// Tells the programs how many members there are.
    fn count_members(&mut self, id: u32) -> Result<(), Error> {
        let count = self.members.get(&id).map_or(0, |members| members.len() as u32);
        match tables::get(&self.tables.networks, "NETWORKS", &id)? {
            Some(network) => {
                let network = Network { members: count, ..network };
                self.tables.networks.insert(id, network, 0).map_err(failed("write", "NETWORKS"))
            }
            None => Ok(()),
        }
    }
}
