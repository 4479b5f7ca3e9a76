//! Endpoints in their maps: by device, and by each of their addresses.
//!
//! The entry by device comes first and goes last: whoever is killed in between leaves what names all the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beeline_abi::{
    Address, Device, Endpoint, MAX_ENDPOINTS, MacAddress, Member, PeerScope, Traffic, TrafficClass,
    TrafficKind, Volume,
};

use super::{
    EndpointCounters, EndpointSpec, Error,
    state::State,
    tables::{self, failed},
};

impl State {
    /// Sets an endpoint. One that is there unchanged keeps its generation, and so its flows.
    pub(super) fn set_endpoint(&mut self, spec: &EndpointSpec) -> Result<(), Error> {
        let network = tables::get(&self.tables.networks, "NETWORKS", &spec.network)?
            .ok_or(Error::UnknownNetwork { network: spec.network })?;
        let wanted = to_device(spec);
        for address in addresses(&wanted) {
            let holder = tables::get(&self.tables.endpoints, "ENDPOINTS", &address)?;
            if let Some(holder) = holder.filter(|holder| holder.ifindex != spec.host_ifindex) {
                self.remove_endpoint(holder.ifindex)?;
            }
        }
        let present = tables::get(&self.tables.devices, "DEVICES", &spec.host_ifindex)?;
        let device = match present {
            Some(device) if is_same(&device, &wanted) => device,
            present => {
                if present.is_some() {
                    self.remove_endpoint(spec.host_ifindex)?;
                }
                let slot = self.free_endpoint_slot()?;
                tables::clear(&mut self.tables.endpoint_counters, "ENDPOINT_COUNTERS", slot)?;
                tables::clear(&mut self.tables.shortcuts, "SHORTCUTS", slot)?;
                if slot < self.tables.traffic.len() {
                    tables::clear(&mut self.tables.traffic, "TRAFFIC", slot)?;
                }
                let device = Device { slot, generation: self.next_generation(), ..wanted };
                self.tables
                    .devices
                    .insert(spec.host_ifindex, device, 0)
                    .map_err(failed("write", "DEVICES"))?;
                self.devices.insert(spec.host_ifindex, device);
                device
            }
        };
        for address in addresses(&device) {
            let endpoint = Endpoint {
                mac: device.mac,
                gateway_mac: network.gateway_mac,
                ifindex: spec.host_ifindex,
                network: spec.network,
                generation: device.generation,
                slot: device.slot,
                flags: device.flags,
                gateway_ifindex: network.gateway_ifindex,
            };
            self.tables.endpoints.insert(address, endpoint, 0).map_err(failed("write", "ENDPOINTS"))?;
        }
        self.join(spec.network, Member { ifindex: spec.host_ifindex, slot: device.slot })?;
        // Ports that were published before it came are its network's, too.
        self.lead_to_sets(|entry| addresses(&device).any(|address| address == entry.container))
    }

    /// Removes an endpoint by its device; its flows are dead at once, as their endpoint is not found, and collected later.
    pub(super) fn remove_endpoint(&mut self, ifindex: u32) -> Result<(), Error> {
        let Some(device) = self.devices.get(&ifindex).copied() else { return Ok(()) };
        for address in addresses(&device) {
            let end = tables::get(&self.tables.ends, "ENDS", &address)?;
            if end.is_some_and(|end| end.slot == device.slot) {
                self.remove_end(&address)?;
            }
            let holder = tables::get(&self.tables.endpoints, "ENDPOINTS", &address)?;
            if holder.is_some_and(|holder| holder.ifindex == ifindex) {
                tables::remove(&mut self.tables.endpoints, "ENDPOINTS", &address)?;
            }
        }
        self.leave(device.network, ifindex)?;
        tables::remove(&mut self.tables.devices, "DEVICES", &ifindex)?;
        self.devices.remove(&ifindex);
        Ok(())
    }

    fn free_endpoint_slot(&self) -> Result<u32, Error> {
        let used: std::collections::HashSet<u32> = self.devices.values().map(|device| device.slot).collect();
        (0..MAX_ENDPOINTS)
            .find(|slot| !used.contains(slot))
            .ok_or(Error::Full { what: "endpoint", capacity: MAX_ENDPOINTS })
    }

    pub(super) fn endpoints(&self) -> Vec<EndpointSpec> {
        let spec = |(ifindex, device): (&u32, &Device)| EndpointSpec {
            ipv4: v4(&device.address),
            ipv6: v6(&device.address6),
            mac: device.mac.octets,
            host_ifindex: *ifindex,
            network: device.network,
        };
        self.devices.iter().map(spec).collect()
    }

    pub(super) fn endpoint_counters(&self, ifindex: u32) -> Result<EndpointCounters, Error> {
        match self.devices.get(&ifindex) {
            Some(device) => {
                let mut counters: EndpointCounters =
                    tables::sum(&self.tables.endpoint_counters, "ENDPOINT_COUNTERS", device.slot)?;
                counters += self.shortcuts(device.slot)?;
                if device.slot < self.tables.traffic.len() {
                    counters += tables::sum(&self.tables.traffic, "TRAFFIC", device.slot)?.total();
                }
                Ok(counters)
            }
            None => Ok(EndpointCounters::default()),
        }
    }

    /// An endpoint's traffic by protocol and peer; none of an unknown one, or beyond the memory for such figures.
    pub(super) fn endpoint_traffic(&self, ifindex: u32) -> Result<Option<Traffic>, Error> {
        let slot = self.devices.get(&ifindex).map(|device| device.slot);
        let Some(slot) = slot.filter(|slot| *slot < self.tables.traffic.len()) else { return Ok(None) };
        let mut traffic = tables::sum(&self.tables.traffic, "TRAFFIC", slot)?;
        // What goes past the network is of connections within it.
        let past = self.shortcuts(slot)?;
        let kind = TrafficKind::new(TrafficClass::Tcp, PeerScope::Network).index();
        traffic.sent[kind] += Volume { bytes: past.tx_bytes, packets: past.tx_packets };
        traffic.received[kind] += Volume { bytes: past.rx_bytes, packets: past.rx_packets };
        Ok(Some(traffic))
    }
}

/// What is asked for, without what the tables give it: a slot and a generation.
fn to_device(spec: &EndpointSpec) -> Device {
    Device {
        address: spec.ipv4.map(Address::from).unwrap_or_default(),
        address6: spec.ipv6.map(Address::from).unwrap_or_default(),
        link_local: spec.ipv6.map(|_| Address::link_local(spec.mac)).unwrap_or_default(),
        mac: MacAddress::new(spec.mac),
        network: spec.network,
        slot: 0,
        generation: 0,
        flags: 0,
    }
}

fn is_same(present: &Device, wanted: &Device) -> bool {
    Device { slot: wanted.slot, generation: wanted.generation, flags: wanted.flags, ..*present } == *wanted
}

/// The addresses that lead to an endpoint.
pub(super) fn addresses(device: &Device) -> impl Iterator<Item = Address> + use<> {
    [device.address, device.address6, device.link_local.scoped(device.network)]
        .into_iter()
        .filter(|address| !address.is_any_v6())
}

fn v4(address: &Address) -> Option<Ipv4Addr> {
    match IpAddr::from(*address) {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: &Address) -> Option<Ipv6Addr> {
    match IpAddr::from(*address) {
        IpAddr::V6(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}
