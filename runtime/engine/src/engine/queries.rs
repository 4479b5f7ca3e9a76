//! What readers ask. Nothing here waits for a container.

use std::collections::BTreeMap;
use std::sync::Arc;

use beeline_metrics::{Snapshot, StateCounts};
use beeline_net::{PublishRules, Scope};

use super::Engine;
use crate::container::filter::{self, Filters, ListOptions, label_matches};
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::identity::ContainerId;
use crate::info::{self, EngineInfo};
use crate::network::{PortRule, PortStatus};

impl Engine {
    /// A container as it is now.
    ///
    /// # Errors
    /// There is no such container.
    pub fn inspect(&self, reference: &str) -> Result<Arc<ContainerView>, Error> {
        self.shared.directory.find(reference).map(|handle| handle.view())
    }

    /// Containers, the newest first.
    ///
    /// # Errors
    /// A filter is unknown or malformed.
    pub fn list(&self, options: &ListOptions) -> Result<Vec<Arc<ContainerView>>, Error> {
        let image_of =
            |reference: &str| self.shared.images.resolve(reference).ok().map(|image| image.id.to_string());
        filter::select(self.shared.directory.views(), options, &image_of)
    }

    /// Removes containers that do not run and match `label` and `until` filters; answers with their ids and the bytes
    /// of disk that are free again.
    ///
    /// # Errors
    /// A filter is unknown.
    pub async fn prune(&self, filters: &Filters) -> Result<(Vec<ContainerId>, u64), Error> {
        if let Some(key) = filters.keys().find(|key| !matches!(key.as_str(), "label" | "label!" | "until")) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        let empty = Vec::new();
        let labels = filters.get("label").unwrap_or(&empty);
        let without = filters.get("label!").unwrap_or(&empty);
        let until = filter::until(filters.get("until").unwrap_or(&empty))?;
        let (mut removed, mut freed) = (Vec::new(), 0);
        for view in self.shared.directory.views() {
            let wanted = !view.status.state.is_up()
                && labels.iter().all(|label| label_matches(&view.config.labels, label))
                && !without.iter().any(|label| label_matches(&view.config.labels, label))
                && until.is_none_or(|until| view.created < until);
            if !wanted {
                continue;
            }
            let upper = view.paths.directory.clone();
            let size = tokio::task::spawn_blocking(move || info::directory_size(&upper)).await.unwrap_or(0);
            match self.remove(view.id.as_str(), false, false).await {
                Ok(()) => {
                    freed += size;
                    removed.push(view.id.clone());
                }
                // It was started or removed meanwhile.
                Err(error) => tracing::debug!(container = %view.id, error = error.full(), "not pruned"),
            }
        }
        Ok((removed, freed))
    }

    /// Every open port, and what came through it.
    #[must_use]
    pub fn ports(&self) -> Vec<PortStatus> {
        let views = self.shared.directory.views();
        let by_address: BTreeMap<_, _> = views
            .iter()
            .flat_map(|view| {
                view.endpoints.iter().flat_map(move |end| end.addresses().map(move |ip| (ip, view)))
            })
            .collect();
        let publishes = self.shared.net.publish_rules().unwrap_or_else(|error| {
            tracing::error!(error = crate::error::chain(&error), "the published ports cannot be read");
            Vec::new()
        });
        let mut ports: Vec<_> = publishes
            .into_iter()
            .filter_map(|PublishRules { status, rules }| {
                let view = by_address.get(&status.publish.container_ip)?;
                Some(PortStatus {
                    container: view.id.clone(),
                    name: view.name.clone(),
                    protocol: status.publish.protocol.into(),
                    host_ip: status.publish.host_ip,
                    host_port: status.publish.host_first,
                    host_port_end: status.publish.host_last,
                    container_ip: status.publish.container_ip,
                    container_port: status.publish.container_first,
                    connections: status.counters.connections,
                    packets: status.counters.packets,
                    bytes: status.counters.bytes,
                    refused: status.counters.refused,
                    rules: rules.iter().map(|(scope, rule)| PortRule::new(*scope, rule)).collect(),
                })
            })
            .collect();
        ports.sort_by_key(|port| (port.host_port, port.protocol, port.host_ip));
        ports
    }

    /// The rules for every open port.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn daemon_rules(&self) -> Result<Vec<PortRule>, Error> {
        let rules = self.shared.net.daemon_rules();
        let rules = rules.map_err(|error| Error::internal("read the daemon's rules", &error))?;
        Ok(rules.iter().map(|rule| PortRule::new(Scope::Daemon, rule)).collect())
    }

    /// The engine and its machine.
    ///
    /// # Errors
    /// None at present.
    pub async fn info(&self) -> Result<EngineInfo, Error> {
        Ok(info::info(&self.shared))
    }

    /// What a scrape of the metrics needs. Reads maps of the kernel: meant for a thread that may block.
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        let views = self.shared.directory.views();
        let mut states = StateCounts::default();
        for view in &views {
            if view.status.state.is_running() {
                states.running += 1;
            } else {
                states.stopped += 1;
            }
        }
        let running = views.iter().filter(|view| view.status.state.is_running());
        Snapshot {
            containers: running.filter_map(|view| self.shared.target(view)).collect(),
            host: self.shared.host(),
            states,
            events: self.shared.events.published(),
            images: self.shared.images.list().len() as u64,
            datapath: self.datapath(),
            resolver: self.resolver_figures(),
        }
    }
}
