//! Connecting a container's network namespace with a network.
//!
//! One thread per request does it all and ends: it makes the pair and tells the datapath from the daemon's namespace, then
//! moves into the container's for addresses and routes. Requests share no lock of ours.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    thread,
};

use tokio::sync::oneshot;

use super::{Inner, detach::remove_link_later, network::Network, tell};
use crate::{
    Address, Endpoint, EndpointSpec, Error, Families,
    netlink::{HostLink, Netlink, VethPair},
    netns,
    spec::veth_name,
    sysctl,
};

/// How often another name is tried when one is taken by a device that is on its way out.
const NAME_TRIES: u32 = 16;

pub(super) async fn attach(
    inner: &Arc<Inner>,
    netns: OwnedFd,
    spec: EndpointSpec,
) -> Result<Endpoint, Error> {
    let (answer, done) = oneshot::channel();
    let worker = Arc::clone(inner);
    let runtime = tokio::runtime::Handle::current();
    thread::Builder::new()
        .name("beeline-attach".into())
        .spawn(move || {
            let _in_runtime = runtime.enter();
            let attached = worker.attach(&netns, &spec);
            // The requester may have gone: nothing is left then.
            if let Err(Ok(endpoint)) = answer.send(attached) {
                undo(&worker, &endpoint);
            }
        })
        .map_err(|source| Error::Namespace { operation: "start a thread", source })?;
    done.await.unwrap_or(Err(Error::Task { task: "attach" }))
}

fn undo(inner: &Arc<Inner>, endpoint: &Endpoint) {
    if let Err(error) = inner.disconnect(endpoint) {
        tracing::warn!(device = endpoint.host_ifname, error = ?error, "endpoint not removed");
    }
    remove_link_later(inner, endpoint);
}

impl Inner {
    fn attach(self: &Arc<Self>, netns: &OwnedFd, spec: &EndpointSpec) -> Result<Endpoint, Error> {
        let network = self.network(spec.network)?;
        check_addresses(&network, spec)?;
        let host = Netlink::open()?;
        let link = self.make_pair(&host, netns, spec, &network)?;
        let endpoint = to_endpoint(&link, spec, &network);
        let connected = self
            .connect(&host, &endpoint)
            .and_then(|()| configure_inside(netns, &endpoint, network.mac, spec.routes))
            .and_then(|()| self.accelerate_endpoint(&endpoint, &network.spec));
        if let Err(error) = connected {
            undo(self, &endpoint);
            return Err(error);
        }
        Ok(endpoint)
    }

    fn make_pair(
        &self,
        host: &Netlink,
        netns: &OwnedFd,
        spec: &EndpointSpec,
        network: &Network,
    ) -> Result<HostLink, Error> {
        let mut name = veth_name(&self.instance, &spec.id);
        for attempt in 0..NAME_TRIES {
            let pair = VethPair {
                host: &name,
                inside: &spec.ifname,
                netns: netns.as_fd(),
                mac: spec.mac,
                mtu: network.mtu,
            };
            if host.add_veth(&pair)? {
                return host.link(&name)?.ok_or(Error::DeviceGone { device: name });
            }
            // The container's last device may still be on its way out.
            let tail: String = spec.id.chars().skip(attempt as usize + 1).collect();
            name = veth_name(&self.instance, &format!("{attempt:x}{tail}"));
        }
        Err(Error::InvalidDevice { name, reason: "devices of this and similar names are there: remove them" })
    }

    /// Brings up the host's end and tells the datapath.
    fn connect(&self, host: &Netlink, endpoint: &Endpoint) -> Result<(), Error> {
        let (index, name) = (endpoint.host_ifindex, &endpoint.host_ifname);
        self.datapath.set_endpoint(&tell::endpoint(endpoint))?;
        self.datapath.attach_container(index, name)?;
        host.raise(index, name, endpoint.mtu)
    }
}

/// Moves this thread into the container's namespace, for good.
fn configure_inside(
    netns: &OwnedFd,
    endpoint: &Endpoint,
    gateway_mac: [u8; 6],
    routes: Families,
) -> Result<(), Error> {
    netns::enter(netns.as_fd())?;
    let inside = Netlink::open()?;
    let name = &endpoint.ifname;
    let index = index_of(&inside, name)?;
    sysctl::set_ipv6(name, endpoint.ipv6.is_some());
    inside.raise_inside(index, name, endpoint.mtu)?;
    for (address, gateway) in endpoint.networks() {
        inside.add_address(index, address)?;
        // Spares the first packet a question.
        inside.add_neighbour(index, gateway, gateway_mac)?;
        let is_default = if gateway.is_ipv4() { routes.ipv4 } else { routes.ipv6 };
        if is_default {
            inside.set_default_route(index, gateway)?;
        }
    }
    Ok(())
}

/// Makes a container's default routes those by `ipv4` and `ipv6`, devices with gateways, and removes a family's without one.
pub(super) fn set_default_routes(
    netns: &OwnedFd,
    ipv4: Option<&(String, IpAddr)>,
    ipv6: Option<&(String, IpAddr)>,
) -> Result<(), Error> {
    netns::on_own_thread("beeline-routes", || {
        netns::enter(netns.as_fd())?;
        let inside = Netlink::open()?;
        for (wanted, is_ipv4) in [(ipv4, true), (ipv6, false)] {
            match wanted {
                Some((name, gateway)) => inside.set_default_route(index_of(&inside, name)?, *gateway)?,
                None => inside.remove_default_route(is_ipv4)?,
            }
        }
        Ok(())
    })
}

fn index_of(inside: &Netlink, name: &str) -> Result<u32, Error> {
    let link = inside.link(name)?.ok_or_else(|| Error::DeviceGone { device: name.to_owned() })?;
    Ok(link.index)
}

fn check_addresses(network: &Network, spec: &EndpointSpec) -> Result<(), Error> {
    let families = (network.spec.ipv4.is_some(), network.spec.ipv6.is_some());
    if (spec.ipv4.is_some(), spec.ipv6.is_some()) != families || families == (false, false) {
        return Err(Error::Families { id: spec.id.clone(), network: network.spec.name.clone() });
    }
    let addresses = spec.ipv4.map(IpAddr::from).into_iter().chain(spec.ipv6.map(IpAddr::from));
    for ((subnet, gateway), address) in network.spec.ranges().zip(addresses) {
        crate::Ipam::new(subnet, gateway)?.allocate(Some(address))?;
    }
    Ok(())
}

fn to_endpoint(link: &HostLink, spec: &EndpointSpec, network: &Network) -> Endpoint {
    let (ipv4, ipv6) = (network.spec.ipv4, network.spec.ipv6);
    Endpoint {
        id: spec.id.clone(),
        network: spec.network,
        host_ifindex: link.index,
        host_ifname: link.name.clone(),
        ifname: spec.ifname.clone(),
        ipv4: spec.ipv4.zip(ipv4).map(|(ip, range)| Address {
            ip,
            prefix_len: range.subnet.prefix_len(),
            gateway: range.gateway,
        }),
        ipv6: spec.ipv6.zip(ipv6).map(|(ip, range)| Address {
            ip,
            prefix_len: range.subnet.prefix_len(),
            gateway: range.gateway,
        }),
        mac: spec.mac,
        mtu: network.mtu,
    }
}
