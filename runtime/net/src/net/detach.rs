//! Disconnecting endpoints, and removing their devices.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Inner, blocking};
use crate::{Endpoint, Error, netlink::Netlink};

/// When to look whether a device went with its namespace. The kernel then removes many at once, and waits for readers once;
/// a removal on request waits for each with all of networking locked.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
];

pub(super) async fn detach(inner: &Arc<Inner>, endpoint: Endpoint) -> Result<(), Error> {
    let worker = Arc::clone(inner);
    let disconnected = {
        let endpoint = endpoint.clone();
        blocking("detach", move || worker.disconnect(&endpoint)).await
    };
    remove_link_later(inner, &endpoint);
    disconnected
}

/// Disconnects an endpoint whose namespace goes on: its device goes at once.
pub(super) async fn remove(inner: &Arc<Inner>, endpoint: Endpoint) -> Result<(), Error> {
    let worker = Arc::clone(inner);
    blocking("remove an endpoint", move || {
        let mut errors = Vec::new();
        errors.extend(worker.disconnect(&endpoint).err());
        errors.extend(remove_link(endpoint.host_ifindex, &endpoint.host_ifname).err());
        Error::collect(|| format!("remove the endpoint {}", endpoint.host_ifname), errors)
    })
    .await
}

/// Removes the host's device in the background, unless it goes by itself.
pub(super) fn remove_link_later(inner: &Arc<Inner>, endpoint: &Endpoint) {
    let (index, name) = (endpoint.host_ifindex, endpoint.host_ifname.clone());
    inner.removals.spawn(async move {
        for pause in PATIENCE {
            sleep(pause).await;
            let name = name.clone();
            if matches!(blocking("look up a device", move || is_there(index, &name)).await, Ok(false)) {
                return;
            }
        }
        let device = name.clone();
        if let Err(error) = blocking("remove a device", move || remove_link(index, &name)).await {
            tracing::warn!(device, error = ?error, "device not removed");
        }
    });
}

fn is_there(index: u32, name: &str) -> Result<bool, Error> {
    Ok(Netlink::open()?.link(name)?.is_some_and(|link| link.index == index))
}

/// Removes a device if the name is still its own.
fn remove_link(index: u32, name: &str) -> Result<(), Error> {
    let netlink = Netlink::open()?;
    match netlink.link(name)? {
        Some(link) if link.index == index => netlink.delete_link(&link),
        _ => Ok(()),
    }
}

impl Inner {
    /// Takes an endpoint out of the datapath with everything published for it.
    pub(super) fn disconnect(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let mut errors = Vec::new();
        for address in endpoint.addresses() {
            errors.extend(self.unpublish_all_of(address).err());
        }
        errors.extend(self.datapath.remove_resolver(endpoint.host_ifindex).map_err(Error::from).err());
        errors.extend(self.datapath.remove_endpoint(endpoint.host_ifindex).map_err(Error::from).err());
        let detached = self.datapath.detach_container(endpoint.host_ifindex, &endpoint.host_ifname);
        errors.extend(detached.map_err(Error::from).err());
        Error::collect(|| format!("detach the endpoint {}", endpoint.host_ifname), errors)
    }
}
