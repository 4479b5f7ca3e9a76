//! Networks: a bridge device without ports that carries the gateway's address.

use std::net::IpAddr;

use ipnet::Ipv4Net;

use super::Inner;
use crate::{
    Error, NetworkSpec, datapath,
    host::HostNetwork,
    mac_of,
    netlink::{HostLink, Netlink},
    spec::check_device,
};

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
        // Checks the subnet and the gateway.
        crate::Ipam::new(spec.subnet, spec.gateway)?;
        let netlink = Netlink::open()?;
        let mtu = match spec.mtu {
            Some(mtu) => mtu,
            None => HostNetwork::read()?.default_mtu(),
        };
        let link = self.gateway_device(&netlink, spec, mtu)?;
        let mac = link.mac.unwrap_or(mac_of(spec.gateway));
        self.datapath.set_network(&datapath::NetworkSpec {
            id: spec.id,
            gateway_ifindex: link.index,
            gateway_mac: mac,
            ipv4: Some((spec.subnet.trunc(), spec.gateway)),
            ipv6: None,
            mtu,
            icc: spec.icc,
            internal: spec.internal,
            masquerade: spec.masquerade,
            routed: false,
            flow_quota: None,
        })?;
        self.datapath.attach_gateway(link.index, &link.name)?;
        let mut networks = self.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        networks.insert(spec.id, Network { spec: spec.clone(), mac, mtu });
        drop(networks);
        // The gateway's address is one of the host's own.
        self.refresh_uplinks()
    }

    /// The network's device, up and with the gateway's address alone.
    fn gateway_device(&self, netlink: &Netlink, spec: &NetworkSpec, mtu: u32) -> Result<HostLink, Error> {
        let name = &spec.device;
        if netlink.link(name)?.is_none() {
            netlink.add_bridge(name, mac_of(spec.gateway), mtu)?;
        }
        let link = netlink.link(name)?.ok_or_else(|| Error::DeviceGone { device: name.clone() })?;
        if !link.bridge {
            return Err(Error::InvalidDevice {
                name: name.clone(),
                reason: "a device of this name is there and is no bridge: remove it or configure another instance",
            });
        }
        // What needs an ICMP error, or cutting, is forwarded by the host's stack: it comes by this device.
        netlink.raise(link.index, name, mtu, true)?;
        for address in netlink.addresses()?.iter().filter(|address| address.index == link.index) {
            if let IpAddr::V4(ip) = address.address
                && ip != spec.gateway
                && let Ok(address) = Ipv4Net::new(ip, address.prefix_len)
            {
                netlink.remove_address(link.index, address)?;
            }
        }
        netlink.add_address(link.index, spec.gateway, spec.subnet.prefix_len())?;
        Ok(link)
    }

    pub(super) fn remove_network(&self, id: u32, device: &str) -> Result<(), Error> {
        check_device(device, &self.instance)?;
        self.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
        let mut errors = Vec::new();
        errors.extend(self.datapath.remove_network(id).map_err(Error::from).err());
        let removed = Netlink::open().and_then(|netlink| match netlink.link(device)? {
            Some(link) => self.remove_gateway(&netlink, &link),
            None => Ok(()),
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
