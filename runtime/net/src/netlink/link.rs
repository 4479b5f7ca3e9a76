//! Devices: making, changing and removing them.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rtnetlink::{
    LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_route::{
        RouteNetlinkMessage,
        link::{
            AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoVeth,
            LinkAttribute, LinkMessage,
        },
    },
};

use super::{Existing, HostLink, Netlink, failed, is_gone};
use crate::{Error, sysctl};

/// A veth pair whose other end is made inside a network namespace.
#[derive(Debug)]
pub(crate) struct VethPair<'a> {
    /// The host's end.
    pub(crate) host: &'a str,
    /// The container's end.
    pub(crate) inside: &'a str,
    /// The container's network namespace.
    pub(crate) netns: BorrowedFd<'a>,
    /// The container's hardware address.
    pub(crate) mac: [u8; 6],
    /// Bytes of the largest IP packet.
    pub(crate) mtu: u32,
}

impl Netlink {
    /// Makes a pair, the container's end in its namespace, the host's end here, both down: the kernel refuses to bring up
    /// an end before it has its peer. Tells whether it was made: with `false`, the host's name is taken.
    pub(crate) fn add_veth(&self, pair: &VethPair<'_>) -> Result<bool, Error> {
        // One queue is enough for a device without one; by default the kernel makes one per processor, with its files.
        let queues = |builder: LinkMessageBuilder<LinkUnspec>| {
            builder
                .append_extra_attribute(LinkAttribute::NumTxQueues(1))
                .append_extra_attribute(LinkAttribute::NumRxQueues(1))
        };
        let peer = queues(LinkUnspec::new_with_name(pair.inside))
            .address(pair.mac.to_vec())
            .mtu(pair.mtu)
            .setns_by_fd(pair.netns.as_raw_fd())
            .build();
        let message = LinkMessageBuilder::<LinkVeth>::new(pair.host, pair.inside)
            .mtu(pair.mtu)
            .append_extra_attribute(LinkAttribute::NumTxQueues(1))
            .append_extra_attribute(LinkAttribute::NumRxQueues(1))
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let mut may_ask_again = true;
        loop {
            let message = RouteNetlinkMessage::NewLink(message.clone());
            match self.change(message, Existing::Refuse.flags()) {
                Ok(()) => return Ok(true),
                Err(error) if is_taken(&error) && self.link(pair.host)?.is_some() => return Ok(false),
                // The host's name was taken by a device that has gone since, or the name inside is taken: asked once
                // more, the kernel can only mean the name inside, and the caller must see.
                Err(error) if is_taken(&error) && may_ask_again => may_ask_again = false,
                Err(source) => {
                    let names = format!("{} - {}", pair.host, pair.inside);
                    return Err(failed("create the veth pair", names)(source));
                }
            }
        }
    }

    /// Makes a bridge device that is up.
    pub(crate) fn add_bridge(&self, name: &str, mac: [u8; 6], mtu: u32) -> Result<(), Error> {
        let message = LinkBridge::new(name).address(mac.to_vec()).mtu(mtu).build();
        self.change(RouteNetlinkMessage::NewLink(message), Existing::Refuse.flags())
            .map_err(failed("create the bridge device", name))
    }

    /// Gives a device that is down another name, and a description with it.
    pub(crate) fn rename(&self, link: &HostLink, name: &str, description: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index)
            .name(name.to_owned())
            .append_extra_attribute(LinkAttribute::IfAlias(description.to_owned()))
            .build();
        self.set_link(message).map_err(failed("rename the device", format!("{} to {name}", link.name)))
    }

    /// Brings the host's end of a veth pair up; it gets no IPv6 address of its own accord.
    pub(crate) fn raise(&self, index: u32, name: &str, mtu: u32) -> Result<(), Error> {
        let message = Self::raised(index, mtu, None, In6AddrGenMode::None).build();
        self.set_link(message).map_err(failed("bring up the device", name))
    }

    /// Brings a gateway device up, described as what it is. It forwards, alone of all devices: routes are looked up as if
    /// packets of its network came by it, and what needs an ICMP error, or cutting, does. And it takes answers to sockets of
    /// the host that are bound to the loopback address; the programs let no other packet to that address near it.
    pub(crate) fn raise_gateway(&self, index: u32, name: &str, mtu: u32, mark: &str) -> Result<(), Error> {
        let description = LinkAttribute::IfAlias(mark.to_owned());
        let mut configuration = InetDevConf::default();
        (configuration.forwarding, configuration.route_localnet) = (1, 1);
        let link = Self::raised(index, mtu, Some(configuration), In6AddrGenMode::None);
        let message = link.append_extra_attribute(description).build();
        self.set_link(message).map_err(failed("bring up the device", name))
    }

    /// Brings a container's device up. Where IPv6 is on, it has the link-local address of its hardware address.
    pub(crate) fn raise_inside(&self, index: u32, name: &str, mtu: u32) -> Result<(), Error> {
        let message = Self::raised(index, mtu, None, In6AddrGenMode::Eui64).build();
        self.set_link(message).map_err(failed("bring up the device", name))
    }

    fn raised(
        index: u32,
        mtu: u32,
        configuration: Option<InetDevConf>,
        generation: In6AddrGenMode,
    ) -> LinkMessageBuilder<LinkUnspec> {
        let mut families = Vec::new();
        if let Some(configuration) = configuration {
            families.push(AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(configuration)]));
        }
        if sysctl::has_ipv6() {
            families.push(AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(generation)]));
        }
        let link = LinkUnspec::new_with_index(index).mtu(mtu).up();
        link.append_extra_attribute(LinkAttribute::AfSpecUnspec(families))
    }

    /// Brings the loopback device up.
    pub(crate) fn raise_loopback(&self) -> Result<(), Error> {
        self.set_link(LinkUnspec::new_with_index(1).up().build()).map_err(failed("bring up the device", "lo"))
    }

    fn set_link(&self, message: LinkMessage) -> std::io::Result<()> {
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes a device, unless it is gone. The kernel waits for its readers (RCU), some milliseconds.
    pub(crate) fn delete_link(&self, link: &HostLink) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).build();
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if !is_gone(&error) => Err(failed("remove the device", &link.name)(error)),
            _ => Ok(()),
        }
    }
}

fn is_taken(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EEXIST)
}
