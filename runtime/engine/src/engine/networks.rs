//! Networks: making, removing, listing, and putting containers on them.

use std::time::Instant;

use super::Engine;
use crate::container::filter::{Filters, label_matches};
use crate::container::handle::Command;
use crate::error::Error;
use crate::network::{self, EndpointConfig, NetworkConfig, NetworkView};

/// Networks. A `reference` is a name, an id or an unambiguous beginning of an id.
impl Engine {
    /// Creates a network; the answer is its id.
    ///
    /// # Errors
    /// The request is wrong, the name is taken, or the subnet is.
    pub async fn create_network(&self, config: NetworkConfig) -> Result<String, Error> {
        self.shared.networks.create(config).await
    }

    /// Removes a network.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`] while a running container is on it, and for the networks that are always there.
    pub async fn remove_network(&self, reference: &str) -> Result<(), Error> {
        self.shared.networks.remove_named(reference).await.map(drop)
    }

    /// Removes the networks of users that no running container is on and that match `label` and `until` filters; answers
    /// with their names.
    ///
    /// # Errors
    /// A filter is unknown.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<Vec<String>, Error> {
        if let Some(key) = filters.keys().find(|key| !matches!(key.as_str(), "label" | "label!" | "until")) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        let values = |key: &str| filters.get(key).cloned().unwrap_or_default();
        let until = crate::container::filter::until(&values("until"))?;
        let (labels, without) = (values("label"), values("label!"));
        let mut removed = Vec::new();
        for network in self.shared.networks.all() {
            let has = |label: &String| label_matches(&network.config.labels, label);
            let wanted = !network.is_builtin()
                && labels.iter().all(has)
                && !without.iter().any(has)
                && until.is_none_or(|until| network.created < until);
            if !wanted {
                continue;
            }
            match self.shared.networks.remove_named(&network.id).await {
                Ok(name) => removed.push(name),
                // A container is on it.
                Err(error) => tracing::debug!(network = network.name(), error = error.full(), "not pruned"),
            }
        }
        Ok(removed)
    }

    /// Networks by name.
    ///
    /// # Errors
    /// A filter is unknown.
    pub fn networks(&self, filters: &Filters) -> Result<Vec<NetworkView>, Error> {
        let containers = self.shared.directory.views();
        let views = self.shared.networks.all().iter().map(|one| network::view(one, &containers)).collect();
        network::select(views, filters)
    }

    /// A network as it is now.
    ///
    /// # Errors
    /// There is no such network.
    pub fn inspect_network(&self, reference: &str) -> Result<NetworkView, Error> {
        let network = self.shared.networks.find(reference)?;
        Ok(network::view(&network, &self.shared.directory.views()))
    }

    /// Puts a container on a further network: at once if it runs, else with its next start.
    ///
    /// # Errors
    /// There is no such container or network, it is on it already, or what it asks for there cannot be had.
    pub async fn connect(&self, network: &str, container: &str, config: EndpointConfig) -> Result<(), Error> {
        // A network that does not exist is told before a container that does not.
        let network = self.shared.networks.find(network)?;
        let config = Box::new(config);
        let handle = self.shared.directory.find(container)?;
        let began = Instant::now();
        handle.ask(|reply| Command::Connect { network, config, reply }).await?;
        self.shared.recorder.network_action("connect", began.elapsed());
        Ok(())
    }

    /// Takes a container off a network.
    ///
    /// # Errors
    /// There is no such container, or it is not on the network.
    pub async fn disconnect(&self, network: &str, container: &str, force: bool) -> Result<(), Error> {
        let handle = self.shared.directory.find(container)?;
        // By force also off a network that is gone: the container's own word is enough.
        let network = match self.shared.networks.find(network) {
            Ok(network) => network.name().to_owned(),
            Err(_) if force => network.to_owned(),
            Err(error) => return Err(error),
        };
        let began = Instant::now();
        handle.ask(|reply| Command::Disconnect { network, reply }).await?;
        self.shared.recorder.network_action("release", began.elapsed());
        Ok(())
    }
}
