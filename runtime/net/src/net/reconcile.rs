//! After a restart: what is to be, is; what is not to be, is removed. And the end of an instance.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Inner, lock, tell};
use crate::{
    Endpoint, Error, NetworkSpec, Publish, PublishSpec,
    netlink::{HostLink, Netlink},
    spec::veth_prefix,
};

/// What a restarted daemon knows to be in use.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The networks.
    pub networks: Vec<NetworkSpec>,
    /// The endpoints of running containers.
    pub endpoints: Vec<Endpoint>,
    /// Their published ports.
    pub publishes: Vec<PublishSpec>,
}

impl Inner {
    pub(super) fn reconcile(&self, keep: &Keep) -> Result<Vec<Endpoint>, Error> {
        let netlink = Netlink::open()?;
        let links = netlink.links()?;
        let (present, lost): (Vec<_>, Vec<_>) =
            keep.endpoints.iter().cloned().partition(|endpoint| is_present(endpoint, &links));
        let mut errors = Vec::new();
        for network in &keep.networks {
            errors.extend(self.create_network(network).err());
        }
        for endpoint in &present {
            errors.extend(self.keep_endpoint(endpoint).err());
        }
        self.remove_other_publishes(keep, &lost, &mut errors);
        self.remove_other_resolvers(&present, &mut errors);
        self.remove_other_endpoints(&present, &mut errors);
        self.remove_other_links(&netlink, keep, &present, &links, &mut errors);
        self.remove_other_networks(keep, &mut errors);
        errors.extend(self.end_acceleration_without_networks(&keep.networks).err());
        errors.extend(self.refresh_uplinks().err());
        errors.extend(self.datapath.take_over().map_err(Error::from).err());
        Error::collect(|| format!("bring the network of instance {} in order", self.instance), errors)?;
        Ok(lost)
    }

    /// Says again what is, which changes nothing but puts new programs behind old links.
    fn keep_endpoint(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.datapath.set_endpoint(&tell::endpoint(endpoint))?;
        Ok(self.datapath.attach_container(endpoint.host_ifindex, &endpoint.host_ifname)?)
    }

    fn remove_other_publishes(&self, keep: &Keep, lost: &[Endpoint], errors: &mut Vec<Error>) {
        let wanted: Vec<PublishSpec> = keep
            .publishes
            .iter()
            .filter(|spec| !lost.iter().any(|endpoint| has_address(endpoint, spec.publish.container_ip)))
            .cloned()
            .collect();
        let present = lock(&self.published).all();
        let is_wanted = |publish: &Publish| wanted.iter().any(|spec| spec.publish == *publish);
        let others: Vec<Publish> = present.into_iter().filter(|publish| !is_wanted(publish)).collect();
        errors.extend(self.unpublish(&others).err());
        errors.extend(self.publish(&wanted).err());
    }

    fn remove_other_endpoints(&self, present: &[Endpoint], errors: &mut Vec<Error>) {
        for endpoint in self.datapath.endpoints() {
            let index = endpoint.host_ifindex;
            if !present.iter().any(|kept| kept.host_ifindex == index) {
                errors.extend(self.datapath.remove_endpoint(index).map_err(Error::from).err());
                // Its device may be gone and its name unknown; the pin of its link is named by its index.
                errors.extend(self.datapath.detach_container(index, "").map_err(Error::from).err());
            }
        }
    }

    fn remove_other_links(
        &self,
        netlink: &Netlink,
        keep: &Keep,
        present: &[Endpoint],
        links: &[HostLink],
        errors: &mut Vec<Error>,
    ) {
        for link in links.iter().filter(|link| link.is_of_instance(&self.instance)) {
            let is_kept = present.iter().any(|endpoint| endpoint.host_ifindex == link.index)
                || keep.networks.iter().any(|network| network.device == link.name);
            if !is_kept {
                errors.extend(self.remove_device(netlink, link).err());
            }
        }
    }

    fn remove_other_networks(&self, keep: &Keep, errors: &mut Vec<Error>) {
        let wanted: BTreeSet<u32> = keep.networks.iter().map(|network| network.id).collect();
        match self.datapath.networks() {
            Ok(ids) => {
                for id in ids.into_iter().filter(|id| !wanted.contains(id)) {
                    let stopped = self.datapath.stop_accelerating(id, false);
                    errors.extend(stopped.map_err(Error::from).err());
                    errors.extend(self.datapath.remove_network(id).map_err(Error::from).err());
                }
            }
            Err(error) => errors.push(error.into()),
        }
        let mut networks = self.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        networks.retain(|id, _| wanted.contains(id));
    }

    fn remove_device(&self, netlink: &Netlink, link: &HostLink) -> Result<(), Error> {
        if link.name.starts_with(&veth_prefix(&self.instance)) {
            let detached = self.datapath.detach_container(link.index, &link.name).map_err(Error::from);
            netlink.delete_link(link).and(detached)
        } else {
            self.remove_gateway(netlink, link)
        }
    }

    /// Removes every device of the instance, then its programs and maps.
    pub(super) fn destroy(&self) -> Result<(), Error> {
        let mut errors = Vec::new();
        self.detach_uplinks();
        let removed = Netlink::open().and_then(|netlink| {
            let links = netlink.links()?;
            let own = links.iter().filter(|link| link.is_of_instance(&self.instance));
            errors.extend(own.filter_map(|link| self.remove_device(&netlink, link).err()));
            Ok(())
        });
        errors.extend(removed.err());
        errors.extend(self.datapath.destroy().map_err(Error::from).err());
        *lock(&self.published) = super::Table::default();
        self.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        Error::collect(|| format!("remove the network of instance {}", self.instance), errors)
    }
}

fn is_present(endpoint: &Endpoint, links: &[HostLink]) -> bool {
    links.iter().any(|link| link.index == endpoint.host_ifindex && link.name == endpoint.host_ifname)
}

fn has_address(endpoint: &Endpoint, address: IpAddr) -> bool {
    endpoint.addresses().any(|own| own == address)
}
