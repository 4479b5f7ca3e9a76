//! Connections within the host, past the network: which networks ask for it, and whose sockets take part.

use super::{Inner, Net};
use crate::{
    Endpoint, Error, NetworkSpec,
    datapath::{self, Acceleration, EndSpec, netns_cookie},
};

impl Net {
    /// Why connections within the host are not accelerated although a network asks for it.
    pub fn acceleration_failure(&self) -> Option<String> {
        self.inner.datapath.acceleration_failure()
    }

    /// What of an endpoint's traffic went past the network: a part of [`Self::counters`].
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn accelerated(&self, endpoint: &Endpoint) -> Result<datapath::EndpointCounters, Error> {
        Ok(self.inner.datapath.accelerated(endpoint.host_ifindex)?)
    }
}

impl Inner {
    /// Accelerates a network as it asks for, or ends it. A kernel that cannot is no failure: everything takes the long way.
    pub(super) fn accelerate_network(&self, network: &NetworkSpec) -> Result<(), Error> {
        if !self.is_accelerated(network) {
            return Ok(self.datapath.stop_accelerating(network.id, false)?);
        }
        if !self.accelerate_host {
            return Ok(self.datapath.stop_accelerating(network.id, true)?);
        }
        let netns_cookie = here()?;
        for (_, address) in network.ranges() {
            let end = EndSpec { address, netns_cookie, network: network.id, host_ifindex: None };
            self.datapath.accelerate(&end)?;
        }
        Ok(())
    }

    fn is_accelerated(&self, network: &NetworkSpec) -> bool {
        let wanted = network.accelerate;
        wanted != Acceleration::Off && self.datapath.can_accelerate(wanted).is_ok()
    }

    /// Accelerates connections of an endpoint in whose namespace the calling thread is.
    pub(super) fn accelerate_endpoint(
        &self,
        endpoint: &Endpoint,
        network: &NetworkSpec,
    ) -> Result<(), Error> {
        if !self.is_accelerated(network) {
            return Ok(());
        }
        let (netns_cookie, host_ifindex) = (here()?, Some(endpoint.host_ifindex));
        for address in endpoint.addresses() {
            let end = EndSpec { address, netns_cookie, network: endpoint.network, host_ifindex };
            self.datapath.accelerate(&end)?;
        }
        Ok(())
    }

    /// Ends what networks do not ask for any more.
    pub(super) fn end_acceleration_without_networks(&self, networks: &[NetworkSpec]) -> Result<(), Error> {
        if networks.iter().any(|network| network.accelerate != Acceleration::Off) {
            return Ok(());
        }
        Ok(self.datapath.stop_all_acceleration()?)
    }
}

fn here() -> Result<u64, Error> {
    netns_cookie()
        .map_err(|source| Error::Namespace { operation: "tell the network namespace's cookie", source })
}
