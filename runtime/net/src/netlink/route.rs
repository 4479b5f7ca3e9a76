//! Addresses, routes and neighbours of a device.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use rtnetlink::{
    AddressMessageBuilder, RouteMessageBuilder,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    },
};

use super::{Existing, Netlink, failed, is_gone};
use crate::Error;

impl Netlink {
    /// Gives a device an address, unless it has it.
    pub(crate) fn add_address(&self, index: u32, address: Ipv4Addr, prefix_len: u8) -> Result<(), Error> {
        let message =
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, prefix_len).build();
        self.change(RouteNetlinkMessage::NewAddress(message), Existing::Replace.flags())
            .map_err(failed("add the address", format!("{address}/{prefix_len}")))
    }

    /// Takes an address from a device, unless it is gone.
    pub(crate) fn remove_address(&self, index: u32, address: Ipv4Net) -> Result<(), Error> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address.addr(), address.prefix_len())
            .build();
        match self.change(RouteNetlinkMessage::DelAddress(message), 0) {
            Err(error) if !is_gone(&error) => Err(failed("remove the address", address.to_string())(error)),
            _ => Ok(()),
        }
    }

    /// Sets the default route.
    pub(crate) fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> Result<(), Error> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build();
        self.change(RouteNetlinkMessage::NewRoute(message), Existing::Replace.flags())
            .map_err(failed("add the default route by", gateway.to_string()))
    }

    /// Tells where an address is, for good: no ARP request is sent for it.
    pub(crate) fn add_neighbour(&self, index: u32, address: Ipv4Addr, mac: [u8; 6]) -> Result<(), Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        self.change(RouteNetlinkMessage::NewNeighbour(message), Existing::Replace.flags())
            .map_err(failed("add the neighbour", IpAddr::from(address).to_string()))
    }
}
