//! What events say about a container.

use std::collections::BTreeMap;

use super::Actor;
use super::network::Plan;
use crate::container::ahead::Ahead;
use crate::container::record::Record;
use crate::container::user_namespace;
use crate::network::Network;

impl Actor {
    /// Tells listeners that the container exists, and makes ready for its start.
    pub(crate) fn created(&mut self) {
        self.event("create", []);
        // That of a user namespace's own is made together with it.
        let is_plain = user_namespace::remap(&self.shared, &self.record.config.host).is_none();
        if is_plain && matches!(self.plan_network(), Ok(Plan::Networks(_))) {
            self.ahead = Ahead::begin();
        }
    }

    /// Tells listeners what happened to the container.
    pub(super) fn event<const N: usize>(&self, action: &str, more: [(&str, String); N]) {
        let Record { id, name, config, .. } = &self.record;
        let more = more.map(|(key, value)| (key.to_owned(), value));
        self.shared.container_event(action, id, name, config, more);
    }

    /// Tells listeners what happened between the container and a network.
    pub(super) fn network_event(&self, action: &str, network: &Network) {
        let attributes = BTreeMap::from([("container".to_owned(), self.record.id.to_string())]);
        self.shared.network_event(action, network, attributes);
    }
}
