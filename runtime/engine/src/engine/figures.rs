//! The figures of the datapath and of the resolver, for a scrape.

use std::collections::{BTreeMap, HashMap};

use beeline_metrics::{Datapath, Network, Publish, Resolver, Rule};
use beeline_net::DnsCounters;

use super::Engine;
use crate::error::Error;
use crate::network::{Kind, PortStatus};

impl Engine {
    /// The datapath's figures; none while it cannot be read.
    pub(super) fn datapath(&self) -> Option<Datapath> {
        let net = &self.shared.net;
        let drops = net.drops().ok()?.into_iter().map(|(reason, count)| (reason.name().to_owned(), count));
        let table = net.flow_table();
        Some(Datapath {
            drops: drops.collect(),
            conntrack_entries: table.entries,
            conntrack_capacity: table.capacity.into(),
            publishes: self.ports().iter().map(publish).collect(),
            daemon_rules: self.rule_figures().unwrap_or_default(),
            networks: self.network_figures(),
            programs: self.shared.program_runs(),
            event_losses: self.event_losses(),
        })
    }

    fn rule_figures(&self) -> Result<Vec<Rule>, Error> {
        let rules = self.daemon_rules()?.into_iter();
        let source = |source: Option<_>| source.map(|source: ipnet::IpNet| source.to_string());
        let rule = |rule: crate::PortRule| Rule {
            action: rule.action.to_string(),
            source: source(rule.source).unwrap_or_default(),
            hits: rule.hits,
        };
        Ok(rules.map(rule).collect())
    }

    fn network_figures(&self) -> Vec<Network> {
        let names: HashMap<u32, String> = self
            .shared
            .networks
            .all()
            .iter()
            .filter_map(|network| match &network.kind {
                Kind::Bridge(bridge) => Some((bridge.spec.id, network.name().to_owned())),
                Kind::Host | Kind::Null => None,
            })
            .collect();
        let flows = self.shared.net.network_flows().unwrap_or_default().into_iter();
        // One that is being made or removed has no name.
        let named = flows.filter_map(|network| {
            let name = names.get(&network.network)?.clone();
            Some(Network { name, flows: network.flows, quota: network.quota.into() })
        });
        named.collect()
    }

    /// What containers asked the resolver.
    pub(super) fn resolver_figures(&self) -> Resolver {
        let DnsCounters { names, outside, refused, no_answer, no_servers, too_many } =
            self.shared.resolver.counters();
        Resolver {
            queries: vec![("names", names), ("outside", outside), ("refused", refused)],
            failures: vec![("no_answer", no_answer), ("no_servers", no_servers), ("too_many", too_many)],
        }
    }
}

fn publish(port: &PortStatus) -> Publish {
    let mut rule_hits: BTreeMap<(String, String), u64> = BTreeMap::new();
    for rule in &port.rules {
        *rule_hits.entry((rule.scope.to_string(), rule.action.to_string())).or_default() += rule.hits;
    }
    let range = format!("{}-{}", port.host_port, port.host_port_end);
    Publish {
        container: port.name.to_string(),
        protocol: port.protocol.to_string(),
        host_ip: port.host_ip.to_string(),
        host_port: if port.host_port == port.host_port_end { port.host_port.to_string() } else { range },
        connections: port.connections,
        refused: port.refused,
        packets: port.packets,
        bytes: port.bytes,
        rule_hits,
    }
}
