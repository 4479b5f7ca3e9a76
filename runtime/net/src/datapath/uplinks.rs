//! Uplinks and the host's own addresses in their maps.

use std::{collections::HashSet, net::IpAddr};

use beeline_abi::{Address, LocalAddress, Uplink, uplink_flags};

use super::{
    Error, UplinkSpec,
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
