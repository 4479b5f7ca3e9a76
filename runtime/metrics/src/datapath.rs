//! The series of the datapath and the resolver.

use crate::family;
use crate::page::{Labels, Page};
use crate::{Datapath, Publish, Resolver};

/// How many publishes, rules of the daemon and networks have series.
pub(crate) const MOST_PUBLISHES: usize = 1000;
pub(crate) const MOST_RULES: usize = 100;
pub(crate) const MOST_NETWORKS: usize = 500;

impl Page {
    /// Adds the datapath's series.
    pub(crate) fn datapath(&mut self, datapath: &Datapath) {
        let none = Labels::default();
        for (reason, count) in &datapath.drops {
            self.add(family::DATAPATH_DROPS, &none.with("reason", reason), *count as f64);
        }
        self.add(family::CONNTRACK_ENTRIES, &none, datapath.conntrack_entries as f64);
        self.add(family::CONNTRACK_CAPACITY, &none, datapath.conntrack_capacity as f64);
        self.add(family::PUBLISHES, &none, datapath.publishes.len() as f64);
        for (what, reason, count) in &datapath.event_losses {
            let labels = none.with("what", what).with("reason", reason);
            self.add(family::FLOW_EVENTS_LOST, &labels, *count as f64);
        }
        for publish in self.bounded("publishes", &datapath.publishes, MOST_PUBLISHES) {
            self.publish(publish);
        }
        for rule in self.bounded("rules", &datapath.daemon_rules, MOST_RULES) {
            let labels = none.with("action", &rule.action).with("source", &rule.source);
            self.add(family::DAEMON_RULE_HITS, &labels, rule.hits as f64);
        }
        for network in self.bounded("networks", &datapath.networks, MOST_NETWORKS) {
            let labels = none.with("network", &network.name);
            self.add(family::NETWORK_FLOWS, &labels, network.flows as f64);
            self.add(family::NETWORK_QUOTA, &labels, network.quota as f64);
        }
        for program in &datapath.programs {
            let labels = none.with("program", program.program);
            self.add(family::PROGRAM_RUNS, &labels, program.runs as f64);
            self.add(family::PROGRAM_SECONDS, &labels, program.seconds);
        }
    }

    fn publish(&mut self, publish: &Publish) {
        let labels = Labels::default()
            .with("name", &publish.container)
            .with("protocol", &publish.protocol)
            .with("host_ip", &publish.host_ip)
            .with("host_port", &publish.host_port);
        self.add(family::PUBLISH_CONNECTIONS, &labels, publish.connections as f64);
        self.add(family::PUBLISH_REFUSED, &labels, publish.refused as f64);
        self.add(family::PUBLISH_PACKETS, &labels, publish.packets as f64);
        self.add(family::PUBLISH_BYTES, &labels, publish.bytes as f64);
        for ((scope, action), hits) in &publish.rule_hits {
            let labels = labels.with("scope", scope).with("action", action);
            self.add(family::PUBLISH_RULE_HITS, &labels, *hits as f64);
        }
    }

    /// Adds the resolver's series.
    pub(crate) fn resolver(&mut self, resolver: &Resolver) {
        let none = Labels::default();
        for (class, count) in &resolver.queries {
            self.add(family::DNS_QUERIES, &none.with("class", class), *count as f64);
        }
        for (reason, count) in &resolver.failures {
            self.add(family::DNS_FAILURES, &none.with("reason", reason), *count as f64);
        }
    }
}
