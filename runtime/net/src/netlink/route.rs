//! Addresses, routes and neighbours of a device.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::{
    AddressMessageBuilder, RouteMessageBuilder,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressHeaderFlags, AddressMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
        route::RouteMessage,
    },
};

use super::{Existing, Netlink, failed, is_gone};
use crate::Error;

impl Netlink {
    /// Gives a device an address with its subnet's prefix, unless it has it. One of IPv6 is good at once: who else might
    /// have it is known without asking.
    pub(crate) fn add_address(&self, index: u32, address: IpNet) -> Result<(), Error> {
        let mut message = address_message(index, address);
        if address.addr().is_ipv6() {
            message.header.flags |= AddressHeaderFlags::Nodad;
        }
        self.change(RouteNetlinkMessage::NewAddress(message), Existing::Replace.flags())
            .map_err(failed("add the address", address.to_string()))
    }

    /// Takes an address from a device, unless it is gone.
    pub(crate) fn remove_address(&self, index: u32, address: IpNet) -> Result<(), Error> {
        let message = address_message(index, address);
        match self.change(RouteNetlinkMessage::DelAddress(message), 0) {
            Err(error) if !is_gone(&error) => Err(failed("remove the address", address.to_string())(error)),
            _ => Ok(()),
        }
    }

    /// Sets the default route of the gateway's family.
    pub(crate) fn set_default_route(&self, index: u32, gateway: IpAddr) -> Result<(), Error> {
        self.change(RouteNetlinkMessage::NewRoute(default_route(index, gateway)), Existing::Replace.flags())
            .map_err(failed("set the default route by", gateway.to_string()))
    }

    /// Removes the default route of a family, unless there is none.
    pub(crate) fn remove_default_route(&self, is_ipv4: bool) -> Result<(), Error> {
        let message = if is_ipv4 {
            RouteMessageBuilder::<Ipv4Addr>::new().build()
        } else {
            RouteMessageBuilder::<Ipv6Addr>::new().build()
        };
        match self.change(RouteNetlinkMessage::DelRoute(message), 0) {
            Err(error) if !is_gone(&error) => Err(failed("remove", "the default route")(error)),
            _ => Ok(()),
        }
    }

    /// Tells where an address is, for good: nobody is asked for it.
    pub(crate) fn add_neighbour(&self, index: u32, address: IpAddr, mac: [u8; 6]) -> Result<(), Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::Destination(match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        }));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        self.change(RouteNetlinkMessage::NewNeighbour(message), Existing::Replace.flags())
            .map_err(failed("add the neighbour", address.to_string()))
    }
}

fn address_message(index: u32, address: IpNet) -> AddressMessage {
    match address {
        IpNet::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address.addr(), address.prefix_len())
            .build(),
        IpNet::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(address.addr(), address.prefix_len())
            .build(),
    }
}

fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    match gateway {
        IpAddr::V4(gateway) => {
            RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build()
        }
        IpAddr::V6(gateway) => {
            RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway).output_interface(index).build()
        }
    }
}
