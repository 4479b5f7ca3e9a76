//! A capture to pcapng.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use beeline_engine::{CaptureCounters, CaptureEnd, Captured, CapturedPacket, LinkType, PacketDirection};
use beeline_wire::pcapng::{self, Interface, Packet, Statistics, flags};

/// The two bytes of a VLAN tag's protocol and its content stand behind both hardware addresses.
const ADDRESSES: usize = 12;

/// Writes a section.
#[derive(Debug)]
pub(crate) struct Writer {
    snaplen: u32,
    /// The place of each interface, and how many packets it has had, by its number in the container.
    interfaces: BTreeMap<u32, (u32, u64)>,
}

impl Writer {
    /// Begins a section in `out`.
    pub(crate) fn new(out: &mut Vec<u8>, snaplen: u32) -> Self {
        pcapng::section(out, concat!("Beeline ", env!("CARGO_PKG_VERSION")));
        Self { snaplen, interfaces: BTreeMap::new() }
    }

    /// Adds what was captured.
    pub(crate) fn add(&mut self, out: &mut Vec<u8>, captured: &Captured<'_>) {
        match captured {
            Captured::Interface { interface, network } => {
                let description = network.map(|network| format!("network {network}")).unwrap_or_default();
                let link = if interface.link == LinkType::Ip { pcapng::IP } else { pcapng::ETHERNET };
                let (name, snaplen) = (&interface.name, self.snaplen);
                pcapng::interface(out, &Interface { name, description: &description, link, snaplen });
                let place = self.interfaces.len() as u32;
                self.interfaces.insert(interface.index, (place, 0));
            }
            Captured::Packet(packet) => {
                if let Some((place, count)) = self.interfaces.get_mut(&packet.interface) {
                    *count += 1;
                    add(out, *place, packet);
                }
            }
        }
    }

    /// Ends the section with what came of it.
    pub(crate) fn end(&self, out: &mut Vec<u8>, counters: CaptureCounters, comment: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for (place, delivered) in self.interfaces.values() {
            let is_first = *place == 0;
            let statistics = Statistics {
                interface: *place,
                nanoseconds: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
                delivered: *delivered,
                of_all: is_first.then_some((counters.matched, counters.dropped)),
                comment: if is_first { comment } else { "" },
            };
            pcapng::statistics(out, &statistics);
        }
    }
}

/// Adds a packet, with the VLAN tag that the kernel took out of it.
fn add(out: &mut Vec<u8>, interface: u32, packet: &CapturedPacket<'_>) {
    let whole: [&[u8]; 1] = [packet.data];
    let tag = packet.vlan.map(|(protocol, content)| [protocol, content].map(u16::to_be_bytes).concat());
    let tagged = tag.as_ref().zip(packet.data.split_at_checked(ADDRESSES));
    let pieces = tagged.map(|(tag, (addresses, rest))| [addresses, tag.as_slice(), rest]);
    pcapng::packet(
        out,
        &Packet {
            interface,
            nanoseconds: packet.nanoseconds,
            length: packet.length + if pieces.is_some() { 4 } else { 0 },
            data: pieces.as_ref().map_or(&whole, |pieces| pieces),
            flags: match packet.direction {
                PacketDirection::Received => flags::INBOUND | flags::UNICAST,
                PacketDirection::ReceivedMulticast => flags::INBOUND | flags::MULTICAST,
                PacketDirection::ReceivedBroadcast => flags::INBOUND | flags::BROADCAST,
                PacketDirection::ReceivedForOther => flags::INBOUND | flags::PROMISCUOUS,
                PacketDirection::Sent => flags::OUTBOUND,
            },
        },
    );
}

/// Why a capture has ended, unless whoever reads it knows.
pub(crate) fn end(end: Option<&CaptureEnd>, container: &str) -> String {
    match end {
        None | Some(CaptureEnd::Stopped | CaptureEnd::Packets | CaptureEnd::Duration) => String::new(),
        Some(CaptureEnd::Container) => format!("container {container} has ended"),
        Some(CaptureEnd::Failed(reason)) => {
            format!("{reason}: container {container} may have left the network")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_tag_is_put_back_to_its_place() {
        let packet = CapturedPacket {
            interface: 7,
            link: LinkType::Ethernet,
            direction: PacketDirection::Sent,
            nanoseconds: 1,
            length: 64,
            data: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45],
            vlan: Some((0x8100, 5)),
        };
        let mut out = Vec::new();
        add(&mut out, 0, &packet);
        let expected = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x81, 0, 0, 5, 8, 0, 0x45];
        assert_eq!(out[28..47], expected);
        assert_eq!(out[20..28], [19_u32, 68].map(u32::to_ne_bytes).concat());
    }

    #[test]
    fn only_an_end_that_nobody_asked_for_is_explained() {
        assert_eq!(end(Some(&CaptureEnd::Stopped), "web"), "");
        assert_eq!(end(Some(&CaptureEnd::Container), "web"), "container web has ended");
    }
}
