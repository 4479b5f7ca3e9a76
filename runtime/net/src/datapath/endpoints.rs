//! Networks, endpoints, uplinks and the host's addresses in their maps.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

use beeline_abi::{
    Address, Device, Endpoint, LocalAddress, MAX_ENDPOINTS, MacAddress, Network, Uplink, network_flags,
    uplink_flags,
};

use super::{
    EndpointCounters, EndpointSpec, Error, NetworkSpec, UplinkSpec,
    state::State,
    tables::{self, failed},
};

impl State {
    pub(super) fn set_uplink(&mut self, spec: &UplinkSpec) -> Result<(), Error> {
        let v4 = spec.addresses.iter().find(|address| address.is_ipv4());
        let v6 = spec.addresses.iter().find(|address| address.is_ipv6());
        let uplink = Uplink {
            address: v4.map(|address| (*address).into()).unwrap_or_default(),
            address6: v6.map(|address| (*address).into()).unwrap_or_default(),
            flags: if spec.layer3 { uplink_flags::LAYER3 } else { 0 },
            mtu: spec.mtu,
        };
        self.tables.uplinks.insert(spec.ifindex, uplink, 0).map_err(failed("write", "UPLINKS"))
    }

    pub(super) fn remove_uplink(&mut self, ifindex: u32) -> Result<(), Error> {
        tables::remove(&mut self.tables.uplinks, "UPLINKS", &ifindex)
    }

    pub(super) fn set_network(&mut self, spec: &NetworkSpec) -> Result<(), Error> {
        let flag = |condition: bool, bit: u32| if condition { bit } else { 0 };
        let network = Network {
            gateway: spec.gateway.into(),
            gateway6: spec.ipv6.map(|(_, gateway)| gateway.into()).unwrap_or_default(),
            subnet: u32::from_ne_bytes(spec.subnet.network().octets()),
            mask: u32::from_ne_bytes(spec.subnet.netmask().octets()),
            gateway_mac: MacAddress::new(spec.gateway_mac),
            gateway_ifindex: spec.gateway_ifindex,
            mtu: spec.mtu,
            flags: flag(spec.icc, network_flags::ICC)
                | flag(spec.internal, network_flags::INTERNAL)
                | flag(spec.masquerade, network_flags::MASQUERADE)
                | flag(spec.routed, network_flags::ROUTED),
            pad: 0,
        };
        self.tables.networks.insert(spec.id, network, 0).map_err(failed("write", "NETWORKS"))
    }

    pub(super) fn remove_network(&mut self, id: u32) -> Result<(), Error> {
        tables::remove(&mut self.tables.networks, "NETWORKS", &id)
    }

    /// The bridge devices of the networks.
    pub(super) fn gateways(&self) -> Result<Vec<u32>, Error> {
        let networks = self.tables.networks.iter();
        networks.map(|pair| Ok(pair.map_err(failed("read", "NETWORKS"))?.1.gateway_ifindex)).collect()
    }

    /// Sets an endpoint. One that is there unchanged keeps its generation, and so its flows.
    pub(super) fn set_endpoint(&mut self, spec: &EndpointSpec) -> Result<(), Error> {
        let network = tables::get(&self.tables.networks, "NETWORKS", &spec.network)?
            .ok_or(Error::UnknownNetwork { network: spec.network })?;
        let address = Address::from(spec.ip);
        let mac = MacAddress::new(spec.mac);
        let device = tables::get(&self.tables.devices, "DEVICES", &spec.host_ifindex)?;
        let endpoint = tables::get(&self.tables.endpoints, "ENDPOINTS", &address)?;
        let kept = match (&device, &endpoint) {
            (Some(device), Some(endpoint)) => {
                device.address == address
                    && device.mac == mac
                    && device.network == spec.network
                    && device.generation == endpoint.generation
                    && endpoint.ifindex == spec.host_ifindex
            }
            _ => false,
        };
        let (slot, generation, flags) = match device {
            Some(device) if kept => (device.slot, device.generation, device.flags),
            _ => {
                self.remove_endpoint(spec.ip)?;
                if let Some(device) = device {
                    self.forget_device(spec.host_ifindex, &device)?;
                }
                let slot = self.free_endpoint_slot()?;
                tables::clear(&mut self.tables.endpoint_counters, "ENDPOINT_COUNTERS", slot)?;
                (slot, self.next_generation(), 0)
            }
        };
        let device = Device {
            address,
            address6: Address::default(),
            mac,
            network: spec.network,
            slot,
            generation,
            flags,
        };
        let endpoint = Endpoint {
            mac,
            gateway_mac: network.gateway_mac,
            ifindex: spec.host_ifindex,
            network: spec.network,
            generation,
            slot,
            flags: endpoint.filter(|_| kept).map_or(0, |endpoint| endpoint.flags),
            gateway_ifindex: network.gateway_ifindex,
        };
        self.tables.devices.insert(spec.host_ifindex, device, 0).map_err(failed("write", "DEVICES"))?;
        self.tables.endpoints.insert(address, endpoint, 0).map_err(failed("write", "ENDPOINTS"))
    }

    /// Removes an endpoint; its flows are dead at once, as their endpoint is not found, and collected later.
    pub(super) fn remove_endpoint(&mut self, ip: Ipv4Addr) -> Result<(), Error> {
        let address = Address::from(ip);
        let Some(endpoint) = tables::get(&self.tables.endpoints, "ENDPOINTS", &address)? else {
            return Ok(());
        };
        tables::remove(&mut self.tables.endpoints, "ENDPOINTS", &address)?;
        let device = tables::get(&self.tables.devices, "DEVICES", &endpoint.ifindex)?;
        if device.is_some_and(|device| device.address == address) {
            tables::remove(&mut self.tables.devices, "DEVICES", &endpoint.ifindex)?;
        }
        Ok(())
    }

    /// Removes a device whose endpoint moved elsewhere.
    fn forget_device(&mut self, ifindex: u32, device: &Device) -> Result<(), Error> {
        let endpoint = tables::get(&self.tables.endpoints, "ENDPOINTS", &device.address)?;
        if endpoint.is_some_and(|endpoint| endpoint.ifindex == ifindex) {
            tables::remove(&mut self.tables.endpoints, "ENDPOINTS", &device.address)?;
        }
        tables::remove(&mut self.tables.devices, "DEVICES", &ifindex)
    }

    fn free_endpoint_slot(&self) -> Result<u32, Error> {
        let mut used = HashSet::new();
        for pair in &self.tables.devices {
            used.insert(pair.map_err(failed("read", "DEVICES"))?.1.slot);
        }
        (0..MAX_ENDPOINTS)
            .find(|slot| !used.contains(slot))
            .ok_or(Error::Full { what: "endpoint", capacity: MAX_ENDPOINTS })
    }

    pub(super) fn endpoints(&self) -> Result<Vec<EndpointSpec>, Error> {
        let mut endpoints = Vec::new();
        for pair in &self.tables.endpoints {
            let (address, endpoint) = pair.map_err(failed("read", "ENDPOINTS"))?;
            if let IpAddr::V4(ip) = address.into() {
                endpoints.push(EndpointSpec {
                    ip,
                    mac: endpoint.mac.octets,
                    host_ifindex: endpoint.ifindex,
                    network: endpoint.network,
                });
            }
        }
        Ok(endpoints)
    }

    pub(super) fn endpoint_counters(&self, ifindex: u32) -> Result<EndpointCounters, Error> {
        match tables::get(&self.tables.devices, "DEVICES", &ifindex)? {
            Some(device) => tables::sum(&self.tables.endpoint_counters, "ENDPOINT_COUNTERS", device.slot),
            None => Ok(EndpointCounters::default()),
        }
    }

    /// Replaces the set of the host's own addresses: adds before it removes, so that none is missing meanwhile.
    pub(super) fn set_local_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        let wanted: HashSet<Address> = addresses.iter().map(|address| (*address).into()).collect();
        for address in &wanted {
            let entry = LocalAddress::default();
            self.tables.addresses.insert(address, entry, 0).map_err(failed("write", "ADDRESSES"))?;
        }
        let present: Result<Vec<Address>, _> = self.tables.addresses.keys().collect();
        for address in present.map_err(failed("read", "ADDRESSES"))? {
            if !wanted.contains(&address) {
                tables::remove(&mut self.tables.addresses, "ADDRESSES", &address)?;
            }
        }
        Ok(())
    }
}
