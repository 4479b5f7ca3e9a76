//! Networks: a bridge device without ports that carries the gateway's address.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};

use super::Inner;
use crate::{
    Error, NetworkSpec,
    host::HostNetwork,
    mac_of,
    netlink::{HostLink, Netlink},
    network_device,
    spec::{check_device, mark_of},
    sysctl,
};

/// The gateway's address in the link-local range, as on Docker's bridges: `fe80::1/64`. The kernel asks for neighbours under
/// it when a packet has no other address of the device.
const LINK_LOCAL_GATEWAY: IpNet =
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 64));

/// A network that was created.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) spec: NetworkSpec,
    pub(super) mac: [u8; 6],
    pub(super) mtu: u32,
}

impl Inner {
    pub(super) fn create_network(&self, spec: &NetworkSpec) -> Result<(), Error> {
        check_device(&spec.device, &self.instance)?;
        for (subnet, gateway) in spec.ranges() {
            crate::Ipam::new(subnet, gateway)?;
        }
        let netlink = Netlink::open()?;
        let mtu = match spec.mtu {
            Some(mtu) => mtu,
            None => HostNetwork::read()?.default_mtu(),
        };
        let link = self.gateway_device(&netlink, spec, mtu)?;
        let mac = link.mac.ok_or_else(|| Error::DeviceGone { device: link.name.clone() })?;
        let network = Network { spec: spec.clone(), mac, mtu };
        self.datapath.set_network(&network.to_datapath(link.index))?;
        self.datapath.attach_gateway(link.index, &link.name)?;
        self.accelerate_network(spec)?;
        let mut networks = self.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        networks.insert(spec.id, network);
        drop(networks);
        // The gateway's addresses are of the host's own.
        self.refresh_uplinks()
    }

    /// The network's device, up and with the gateway's addresses alone.
    fn gateway_device(&self, netlink: &Netlink, spec: &NetworkSpec, mtu: u32) -> Result<HostLink, Error> {
        let name = &spec.device;
        let link = match netlink.link(name)? {
            Some(link) => link,
            None => self.make_gateway(netlink, spec, mtu)?,
        };
        if !link.bridge || !link.is_of_instance(&self.instance) {
            return Err(Error::InvalidDevice {
                name: name.clone(),
                reason: "another device of this name is there: remove it, or choose another name",
            });
        }
        if spec.ipv6.is_some() {
            sysctl::set_ipv6(name, true);
            sysctl::forward_ipv6(name);
        }
        netlink.raise_gateway(link.index, name, mtu, &mark_of(&self.instance))?;
        let wanted: Vec<IpNet> = spec
            .ranges()
            .filter_map(|(subnet, gateway)| IpNet::new(gateway, subnet.prefix_len()).ok())
            .chain(spec.ipv6.is_some().then_some(LINK_LOCAL_GATEWAY))
            .collect();
        for address in netlink.addresses()?.iter().filter(|address| address.index == link.index) {
            if let Ok(address) = IpNet::new(address.address, address.prefix_len)
                && !wanted.contains(&address)
            {
                netlink.remove_address(link.index, address)?;
            }
        }
        for address in wanted {
            netlink.add_address(link.index, address)?;
        }
        Ok(link)
    }

    /// Makes the bridge device. It gets a name of the user's together with its description, so that one whose maker died
    /// half way is known for the instance's by one or the other.
    fn make_gateway(&self, netlink: &Netlink, spec: &NetworkSpec, mtu: u32) -> Result<HostLink, Error> {
        let gone = || Error::DeviceGone { device: spec.device.clone() };
        let (_, gateway) =
            spec.ranges().next().ok_or_else(|| Error::NoAddresses { network: spec.name.clone() })?;
        let first_name = if crate::spec::is_of_instance(&spec.device, None, &self.instance) {
            spec.device.clone()
        } else {
            network_device(&self.instance, spec.id)
        };
        if netlink.link(&first_name)?.is_none() {
            netlink.add_bridge(&first_name, mac_of(gateway), mtu)?;
        }
        if first_name != spec.device {
            let link = netlink.link(&first_name)?.ok_or_else(gone)?;
            netlink.rename(&link, &spec.device, &mark_of(&self.instance))?;
        }
        netlink.link(&spec.device)?.ok_or_else(gone)
    }

    pub(super) fn remove_network(&self, id: u32, device: &str) -> Result<(), Error> {
        check_device(device, &self.instance)?;
        self.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
        let mut errors = Vec::new();
        errors.extend(self.datapath.stop_accelerating(id, false).map_err(Error::from).err());
        errors.extend(self.datapath.remove_network(id).map_err(Error::from).err());
        let removed = Netlink::open().and_then(|netlink| match netlink.link(device)? {
            Some(link) if link.is_of_instance(&self.instance) => self.remove_gateway(&netlink, &link),
            // A device of somebody else's has the name: the network could not be made for that.
            _ => Ok(()),
        });
        errors.extend(removed.err());
        errors.extend(self.refresh_uplinks().err());
        Error::collect(|| format!("remove the network of {device}"), errors)
    }

    pub(super) fn remove_gateway(&self, netlink: &Netlink, link: &HostLink) -> Result<(), Error> {
        let detached = self.datapath.detach_gateway(link.index, &link.name).map_err(Error::from);
        netlink.delete_link(link).and(detached)
    }

    pub(super) fn network(&self, id: u32) -> Result<Network, Error> {
        let networks = self.networks.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        networks.get(&id).cloned().ok_or(Error::UnknownNetwork { network: id })
    }
}
