//! A packet as the other modules see it.

use aya_ebpf::programs::TcContext;
use beeline_abi::{Address, DropReason, Icmp, Ipv4Header, Ports, Side, Tuple, icmp, ip};

use crate::{ends::Ends, fragment, skb};

/// TCP flags as they lie in the header's 14th byte.
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// How much is known of the transport layer.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Ports, and the header is in this packet.
    Header,
    /// Ports from the first fragment: this one has no header.
    Later,
    /// A later fragment of which nothing is known.
    Unknown,
    /// An ICMP error: it belongs to the flow of the packet it carries.
    Error,
    /// A protocol without ports, or an ICMP message that is no echo.
    Other,
}

/// An IPv4 packet.
pub struct Packet {
    /// Where the IP header begins: after the Ethernet header, or at the front.
    pub l3: u32,
    /// Where the transport header begins.
    pub l4: u32,
    pub header: Ipv4Header,
    pub transport: Transport,
    /// The ports; of an echo request its identifier as source, of an answer as destination.
    pub ports: Ports,
    /// The flags of a TCP segment.
    pub tcp: u8,
    /// The length of a TCP header.
    pub tcp_len: u8,
}

impl Packet {
    /// Parses an IPv4 packet whose header begins at `l3`.
    #[inline(always)]
    pub fn parse(ctx: &TcContext, l3: u32) -> Result<Self, DropReason> {
        let bytes = skb::load(ctx, l3).ok_or(DropReason::Malformed)?;
        let header = Ipv4Header::parse(&bytes).ok_or(DropReason::Malformed)?;
        let mut packet = Self {
            l3,
            l4: l3 + u32::from(header.header_len),
            header,
            transport: Transport::Other,
            ports: Ports { source: 0, destination: 0 },
            tcp: 0,
            tcp_len: 0,
        };
        if header.fragment_offset != 0 {
            packet.transport = match fragment::recall(ctx, &header) {
                Some(ports) => {
                    packet.ports = ports;
                    Transport::Later
                }
                None => Transport::Unknown,
            };
        } else {
            packet.parse_transport(ctx)?;
            if header.more_fragments && packet.transport == Transport::Header {
                fragment::remember(ctx, &header, packet.ports);
            }
        }
        packet.blur(ctx);
        Ok(packet)
    }

    /// Has the verifier forget of which kind the packet is: it would walk the rest of the program once for each kind. To
    /// it, what is read from the socket buffer's scratch pad may be anything.
    #[inline(always)]
    fn blur(&mut self, ctx: &TcContext) {
        let kind = [self.transport as u8, self.header.protocol, self.tcp, self.tcp_len];
        let [transport, protocol, tcp, tcp_len] = skb::through_pad(ctx, kind);
        // SAFETY: it is what was written above.
        self.transport = unsafe { core::mem::transmute::<u8, Transport>(transport) };
        (self.header.protocol, self.tcp, self.tcp_len) = (protocol, tcp, tcp_len);
    }

    #[inline(always)]
    fn parse_transport(&mut self, ctx: &TcContext) -> Result<(), DropReason> {
        match self.header.protocol {
            ip::TCP => {
                let b: [u8; 14] = skb::load(ctx, self.l4).ok_or(DropReason::Malformed)?;
                self.ports = Ports::parse(&[b[0], b[1], b[2], b[3]]);
                self.tcp_len = (b[12] >> 4) * 4;
                self.tcp = b[13];
                self.transport = Transport::Header;
            }
            ip::UDP => {
                let b: [u8; 8] = skb::load(ctx, self.l4).ok_or(DropReason::Malformed)?;
                self.ports = Ports::parse(&[b[0], b[1], b[2], b[3]]);
                self.transport = Transport::Header;
            }
            ip::ICMP => {
                let b: [u8; 8] = skb::load(ctx, self.l4).ok_or(DropReason::Malformed)?;
                let message = Icmp::parse(&b);
                if message.kind == icmp::ECHO_REQUEST {
                    self.ports = Ports { source: message.id, destination: 0 };
                    self.transport = Transport::Header;
                } else if message.kind == icmp::ECHO_REPLY {
                    self.ports = Ports { source: 0, destination: message.id };
                    self.transport = Transport::Header;
                } else if message.is_error() {
                    self.transport = Transport::Error;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the ports are known.
    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        matches!(self.transport, Transport::Header | Transport::Later)
    }

    /// Whether this TCP segment asks for a connection.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        self.tcp & (SYN | ACK | RST | FIN) == SYN
    }

    /// Where it comes from.
    #[inline(always)]
    pub fn source(&self) -> (Address, u16) {
        (self.header.source_address(), self.ports.source)
    }

    /// Where it goes.
    #[inline(always)]
    pub fn destination(&self) -> (Address, u16) {
        (self.header.destination_address(), self.ports.destination)
    }

    /// The addresses and ports it has.
    #[inline(always)]
    pub fn ends(&self) -> Ends {
        Ends { source: self.header.source, destination: self.header.destination, ports: self.ports }
    }

    /// The tuple of a packet that goes away from a container.
    #[inline(always)]
    pub fn outbound(&self, side: Side) -> Tuple {
        Tuple::outbound(side, self.header.protocol, self.source(), self.destination())
    }

    /// The tuple of a packet that goes towards a container.
    #[inline(always)]
    pub fn inbound(&self, side: Side) -> Tuple {
        Tuple::inbound(side, self.header.protocol, self.source(), self.destination())
    }
}
