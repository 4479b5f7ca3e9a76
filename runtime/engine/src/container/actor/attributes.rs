//! What events say about a container.

use std::collections::BTreeMap;

use super::Actor;
use crate::event::EventSubject;
use crate::network::Network;

impl Actor {
    /// Tells listeners that the container exists.
    pub(crate) fn created(&self) {
        self.event("create", []);
    }

    /// Tells listeners what happened to the container.
    pub(super) fn event<const N: usize>(&self, action: &str, more: [(&str, String); N]) {
        let mut attributes = self.record.config.labels.clone();
        attributes.insert("image".into(), self.record.config.image.clone());
        attributes.insert("name".into(), self.record.name.to_string());
        attributes.extend(more.map(|(key, value)| (key.to_owned(), value)));
        self.shared.events.publish(EventSubject::Container, action, self.record.id.as_str(), attributes);
    }

    /// Tells listeners what happened between the container and a network.
    pub(super) fn network_event(&self, action: &str, network: &Network) {
        let attributes = BTreeMap::from([("container".to_owned(), self.record.id.to_string())]);
        self.shared.network_event(action, network, attributes);
    }
}
