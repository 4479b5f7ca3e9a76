//! Connecting a container's network namespace with a network.
//!
//! One thread per request does it all and ends: it makes the pair and tells the datapath from the daemon's namespace, then
//! moves into the container's for addresses and routes. Requests share no lock of ours.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    thread,
};

use tokio::sync::oneshot;

use super::{Inner, detach::remove_link_later, network::Network};
use crate::{
    Endpoint, EndpointSpec, Error, datapath,
    netlink::{HostLink, Netlink, VethPair},
    netns,
    spec::veth_name,
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
        check_address(&network, spec)?;
        let host = Netlink::open()?;
        let link = self.make_pair(&host, netns, spec, &network)?;
        let endpoint = to_endpoint(&link, spec, &network);
        let connected = self
            .connect(&host, &link, spec, network.mtu)
            .and_then(|()| configure_inside(netns, spec, &network));
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
    fn connect(&self, host: &Netlink, link: &HostLink, spec: &EndpointSpec, mtu: u32) -> Result<(), Error> {
        self.datapath.set_endpoint(&datapath::EndpointSpec {
            ipv4: Some(spec.ip),
            ipv6: None,
            mac: spec.mac,
            host_ifindex: link.index,
            network: spec.network,
        })?;
        self.datapath.attach_container(link.index, &link.name)?;
        // The route look-up of packets that leave the host asks whether the device they came by may forward.
        host.raise(link.index, &link.name, mtu, true)
    }
}

/// Moves this thread into the container's namespace, for good.
fn configure_inside(netns: &OwnedFd, spec: &EndpointSpec, network: &Network) -> Result<(), Error> {
    netns::enter(netns.as_fd())?;
    let inside = Netlink::open()?;
    let device = || Error::DeviceGone { device: spec.ifname.clone() };
    let index = inside.link(&spec.ifname)?.ok_or_else(device)?.index;
    inside.raise(index, &spec.ifname, network.mtu, false)?;
    inside.add_address(index, spec.ip, network.spec.subnet.prefix_len())?;
    // Spares the first packet a question.
    inside.add_neighbour(index, network.spec.gateway, network.mac)?;
    inside.add_default_route(index, network.spec.gateway)
}

fn check_address(network: &Network, spec: &EndpointSpec) -> Result<(), Error> {
    let mut pool = crate::Ipam::new(network.spec.subnet, network.spec.gateway)?;
    pool.allocate(Some(spec.ip)).map(drop)
}

fn to_endpoint(link: &HostLink, spec: &EndpointSpec, network: &Network) -> Endpoint {
    Endpoint {
        id: spec.id.clone(),
        network: spec.network,
        host_ifindex: link.index,
        host_ifname: link.name.clone(),
        ifname: spec.ifname.clone(),
        ip: spec.ip,
        prefix_len: network.spec.subnet.prefix_len(),
        gateway: network.spec.gateway,
        mac: spec.mac,
        mtu: network.mtu,
    }
}
