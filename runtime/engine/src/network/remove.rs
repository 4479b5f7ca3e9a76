//! Removing a network: refused while a running container is on it. A daemon that dies in between leaves the record, from
//! which the next one makes the network again.

use std::collections::BTreeMap;

use super::{Kind, Network};
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;

pub(super) async fn remove(shared: &Shared, reference: &str) -> Result<String, Error> {
    let network = shared.networks.find(reference)?;
    if network.is_builtin() {
        return Err(Error::Forbidden(format!(
            "{} is a pre-defined network and cannot be removed",
            network.name()
        )));
    }
    let Kind::Bridge(bridge) = &network.kind else {
        return Err(Error::Forbidden(format!("{} cannot be removed", network.name())));
    };
    let closed = bridge.leases().close();
    closed.map_err(|active| in_use(shared, &network, &active))?;
    if let Err(error) = shared.net.remove_network(bridge.spec.id, &bridge.spec.device).await {
        bridge.leases().reopen();
        return Err(Error::internal(format!("remove network {}", network.name()), &error));
    }
    shared.resolver.remove_network(bridge.spec.id);
    shared.database.remove_network(&network.id).await?;
    shared.networks.remove(&network.id);
    shared.network_event("destroy", &network, BTreeMap::new());
    Ok(network.name().to_owned())
}

fn in_use(shared: &Shared, network: &Network, active: &[ContainerId]) -> Error {
    let views = shared.directory.views();
    let members: Vec<String> = active
        .iter()
        .map(|id| {
            let name = views.iter().find(|view| view.id == *id).map_or("", |view| view.name.as_str());
            format!("name:{name:?} id:{:?}", id.short())
        })
        .collect();
    Error::Forbidden(format!(
        "error while removing network: network {} has active endpoints ({})",
        network.name(),
        members.join(", ")
    ))
}
