//! What the network namespace has: devices, addresses, routes.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use rtnetlink::{
    LinkUnspec, RouteMessageBuilder,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
        link::{InfoKind, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
    },
};

use super::{Netlink, failed, is_gone};
use crate::Error;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostLink {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    /// Whether it carries bare IP packets, without an Ethernet header.
    pub(crate) layer3: bool,
    pub(crate) bridge: bool,
    /// Whether another device handles its packets: a bridge, a bond. A VRF only routes them.
    pub(crate) port: bool,
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
    /// Not the first of its subnet.
    pub(crate) secondary: bool,
    /// Valid beyond the link.
    pub(crate) global: bool,
}

/// An IPv4 unicast route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRoute {
    pub(crate) destination: Ipv4Net,
    /// The device; none for a route over several.
    pub(crate) index: Option<u32>,
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) priority: u32,
}

impl Netlink {
    /// The device of a name.
    pub(crate) fn link(&self, name: &str) -> Result<Option<HostLink>, Error> {
        let message = LinkUnspec::new_with_name(name).build();
        match self.get(RouteNetlinkMessage::GetLink(message), read_link) {
            Err(error) if is_gone(&error) => Ok(None),
            other => other.map_err(failed("look up the device", name)),
        }
    }

    /// Every device.
    pub(crate) fn links(&self) -> Result<Vec<HostLink>, Error> {
        self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), read_link)
            .map_err(failed("list", "the devices"))
    }

    /// Every address.
    pub(crate) fn addresses(&self) -> Result<Vec<HostAddress>, Error> {
        self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), read_address)
            .map_err(failed("list", "the addresses"))
    }

    /// The IPv4 routes of the main table.
    pub(crate) fn routes(&self) -> Result<Vec<HostRoute>, Error> {
        let mut message = RouteMessageBuilder::<Ipv4Addr>::new().build();
        message.header.kind = RouteType::Unspec;
        self.dump(RouteNetlinkMessage::GetRoute(message), read_route).map_err(failed("list", "the routes"))
    }
}

fn read_link(message: RouteNetlinkMessage) -> Option<HostLink> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let layer = message.header.link_layer_type;
    let mut link = HostLink {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 1500,
        up: message.header.flags.contains(LinkFlags::Up),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        layer3: !matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback),
        bridge: false,
        port: false,
    };
    let mut routed_port = false;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(_) => link.port = true,
            LinkAttribute::LinkInfo(infos) => {
                link.bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
                routed_port = infos.contains(&LinkInfo::PortKind(InfoPortKind::Vrf));
            }
            _ => {}
        }
    }
    link.port &= !routed_port;
    Some(link)
}

fn read_address(message: RouteNetlinkMessage) -> Option<HostAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let (mut local, mut peer) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            _ => {}
        }
    }
    Some(HostAddress {
        index: message.header.index,
        address: local.or(peer)?,
        prefix_len: message.header.prefix_len,
        secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
        global: message.header.scope == AddressScope::Universe,
    })
}

fn read_route(message: RouteNetlinkMessage) -> Option<HostRoute> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let in_main_table = message.header.table == RouteHeader::RT_TABLE_MAIN;
    let is_unicast = message.header.kind == RouteType::Unicast;
    if message.header.address_family != AddressFamily::Inet || !in_main_table || !is_unicast {
        return None;
    }
    to_route(&message)
}

fn to_route(message: &RouteMessage) -> Option<HostRoute> {
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let (mut index, mut source, mut priority) = (None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = *address,
            RouteAttribute::Oif(device) => index = Some(*device),
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => source = Some(*address),
            RouteAttribute::Priority(metric) => priority = *metric,
            RouteAttribute::MultiPath(hops) => index = hops.first().map(|hop| hop.interface_index),
            _ => {}
        }
    }
    let destination = Ipv4Net::new(destination, message.header.destination_prefix_length).ok()?;
    Some(HostRoute { destination, index, source, priority })
}
