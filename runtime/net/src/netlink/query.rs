//! What the network namespace has: devices, addresses, routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::{
    LinkUnspec,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
        link::{InfoKind, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
    },
};

use super::{Netlink, failed, is_gone};
use crate::{
    Error,
    spec::{is_of_instance, is_ours},
};

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostLink {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// What a user or we say about it.
    pub(crate) description: Option<String>,
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

impl HostLink {
    /// Whether it belongs to Beeline, this instance or another.
    pub(crate) fn is_ours(&self) -> bool {
        is_ours(&self.name, self.description.as_deref())
    }

    /// Whether it belongs to the instance.
    pub(crate) fn is_of_instance(&self, instance: &str) -> bool {
        is_of_instance(&self.name, self.description.as_deref(), instance)
    }
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
    /// Not the first of its subnet, or one that is given up soon.
    pub(crate) secondary: bool,
    /// Valid beyond the link.
    pub(crate) global: bool,
}

/// A unicast route of the main table, beyond one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRoute {
    pub(crate) destination: IpNet,
    /// The device; none for a route over several.
    pub(crate) index: Option<u32>,
    pub(crate) source: Option<IpAddr>,
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

    /// The routes of the main table, both families'.
    pub(crate) fn routes(&self) -> Result<Vec<HostRoute>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let found = self.dump(RouteNetlinkMessage::GetRoute(message), read_route);
            routes.extend(found.map_err(failed("list", "the routes"))?);
        }
        Ok(routes)
    }
}

fn read_link(message: RouteNetlinkMessage) -> Option<HostLink> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let layer = message.header.link_layer_type;
    let mut link = HostLink {
        index: message.header.index,
        name: String::new(),
        description: None,
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
            LinkAttribute::IfAlias(text) => link.description = Some(text),
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
        secondary: message
            .header
            .flags
            .intersects(AddressHeaderFlags::Secondary | AddressHeaderFlags::Deprecated),
        global: message.header.scope == AddressScope::Universe,
    })
}

fn read_route(message: RouteNetlinkMessage) -> Option<HostRoute> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let in_main_table = message.header.table == RouteHeader::RT_TABLE_MAIN;
    let is_unicast = message.header.kind == RouteType::Unicast;
    if in_main_table && is_unicast { to_route(&message) } else { None }
}

fn to_route(message: &RouteMessage) -> Option<HostRoute> {
    let mut destination = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let (mut index, mut source, mut priority) = (None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = to_address(address)?,
            RouteAttribute::Oif(device) => index = Some(*device),
            RouteAttribute::PrefSource(address) => source = to_address(address),
            RouteAttribute::Priority(metric) => priority = *metric,
            RouteAttribute::MultiPath(hops) => index = hops.first().map(|hop| hop.interface_index),
            _ => {}
        }
    }
    // Every device with IPv6 has such; they lead nowhere.
    if matches!(destination, IpAddr::V6(address) if address.is_unicast_link_local() || address.is_multicast())
    {
        return None;
    }
    let destination = IpNet::new(destination, message.header.destination_prefix_length).ok()?;
    Some(HostRoute { destination, index, source, priority })
}

fn to_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
