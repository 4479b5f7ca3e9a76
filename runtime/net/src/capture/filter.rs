//! What of a container's traffic is captured, as a program of classic BPF that the kernel runs before it copies anything.

use std::net::IpAddr;

use beeline_abi::ip;

use super::program::{Label, Program};
use crate::Error;

/// The most addresses, ports and protocols of a filter, each.
const LARGEST: usize = 32;

/// How many extension headers of an IPv6 packet are passed by.
const EXTENSIONS: usize = 4;

/// The protocols that have ports, at the same place in their headers.
const WITH_PORTS: [u8; 3] = [ip::TCP, ip::UDP, ip::SCTP];

/// Where the filter keeps a word while it needs the accumulator.
const SCRATCH: u32 = 0;
/// Whether a packet is a fragment without its transport header.
const IS_REST: u32 = 1;

/// A protocol to capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureProtocol {
    /// Who has which address.
    Arp,
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp,
    /// One by its number.
    Ip(u8),
}

impl std::str::FromStr for CaptureProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "arp" => Ok(Self::Arp),
            "icmp" => Ok(Self::Icmp),
            "tcp" => Ok(Self::Ip(ip::TCP)),
            "udp" => Ok(Self::Ip(ip::UDP)),
            "sctp" => Ok(Self::Ip(ip::SCTP)),
            number => number.parse().map(Self::Ip).map_err(|_| {
                format!("unknown protocol {text:?}: use tcp, udp, sctp, icmp, arp or the number of one")
            }),
        }
    }
}

/// What is captured: packets that have one of the addresses, one of the ports and one of the protocols, whatever the
/// direction. Of what is empty, any will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureFilter {
    /// Source or destination.
    pub hosts: Vec<IpAddr>,
    /// Source or destination of TCP, UDP or SCTP.
    pub ports: Vec<u16>,
    /// The protocol that IP carries, or ARP.
    pub protocols: Vec<CaptureProtocol>,
}

impl CaptureFilter {
    /// Refuses what nothing could match, and what is too long for the kernel.
    ///
    /// # Errors
    /// [`Error::InvalidCapture`].
    pub fn check(&self) -> Result<(), Error> {
        let refused = |reason: &'static str| Err(Error::InvalidCapture { reason });
        if [self.hosts.len(), self.ports.len(), self.protocols.len()].iter().any(|count| *count > LARGEST) {
            return refused("a filter has at most 32 addresses, 32 ports and 32 protocols");
        }
        let has_ports = |protocol: &CaptureProtocol| matches!(protocol, CaptureProtocol::Ip(number) if WITH_PORTS.contains(number));
        if !self.ports.is_empty() && !self.protocols.is_empty() && !self.protocols.iter().any(has_ports) {
            return refused("ports are of tcp, udp and sctp alone");
        }
        Ok(())
    }

    /// The program: how many bytes of a packet are captured, none of one that does not match.
    pub(super) fn program(&self, snaplen: u32) -> Vec<libc::sock_filter> {
        let mut program = Program::default();
        let (accept, reject) = (program.label(), program.label());
        devices(&mut program, reject);
        if *self != Self::default() {
            self.families(&mut program, accept, reject);
        }
        program.place(accept);
        program.answer(snaplen);
        program.place(reject);
        program.answer(0);
        program.finish()
    }

    fn families(&self, program: &mut Program, accept: Label, reject: Label) {
        let (ipv4, ipv6, ports) = (program.label(), program.label(), program.label());
        program.load_ancillary(libc::SKF_AD_PROTOCOL);
        program.when_equal(libc::ETH_P_IP as u32, ipv4);
        program.when_equal(libc::ETH_P_IPV6 as u32, ipv6);
        program.unless_equal(libc::ETH_P_ARP as u32, reject);
        self.arp(program, accept, reject);
        program.place(ipv4);
        self.ipv4(program, accept, reject, ports);
        program.place(ipv6);
        self.ipv6(program, accept, reject, ports);
        program.place(ports);
        self.ports(program, accept, reject);
    }

    fn arp(&self, program: &mut Program, accept: Label, reject: Label) {
        let is_wanted = self.protocols.is_empty() || self.protocols.contains(&CaptureProtocol::Arp);
        if !is_wanted || !self.ports.is_empty() {
            return program.jump(reject);
        }
        self.hosts(program, [14, 24], reject, false);
        program.jump(accept);
    }

    fn ipv4(&self, program: &mut Program, accept: Label, reject: Label, ports: Label) {
        self.hosts(program, [12, 16], reject, false);
        program.load_byte(9);
        self.protocols(program, ip::ICMP, reject);
        if self.ports.is_empty() {
            return program.jump(accept);
        }
        program.load_half(6);
        program.when_any_bit(0x1fff, reject);
        program.load_byte(0);
        program.and(0xf);
        program.shift_left(2);
        program.set_index();
        program.jump(ports);
    }

    fn ipv6(&self, program: &mut Program, accept: Label, reject: Label, ports: Label) {
        self.hosts(program, [8, 24], reject, true);
        let upper = program.label();
        program.load(0);
        program.store(IS_REST);
        program.load(40);
        program.set_index();
        program.load_byte(6);
        for _ in 0..EXTENSIONS {
            pass_extension(program, upper);
        }
        program.place(upper);
        self.protocols(program, ip::ICMPV6, reject);
        if self.ports.is_empty() {
            return program.jump(accept);
        }
        program.recall(IS_REST);
        program.when_any_bit(u32::MAX, reject);
        program.jump(ports);
    }

    /// Goes on if one of the two addresses at the offsets in the network header is wanted.
    fn hosts(&self, program: &mut Program, at: [u32; 2], reject: Label, is_ipv6: bool) {
        if self.hosts.is_empty() {
            return;
        }
        let found = program.label();
        for host in self.hosts.iter().filter(|host| host.is_ipv6() == is_ipv6) {
            let octets = match host {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            for start in at {
                let other = program.label();
                for (word, offset) in octets.chunks_exact(4).zip((start..).step_by(4)) {
                    let word = word.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                    program.load_word(offset);
                    program.unless_equal(word, other);
                }
                program.jump(found);
                program.place(other);
            }
        }
        program.jump(reject);
        program.place(found);
    }

    /// Goes on if the protocol in the accumulator is wanted.
    fn protocols(&self, program: &mut Program, icmp: u8, reject: Label) {
        let number = |protocol: &CaptureProtocol| match protocol {
            CaptureProtocol::Arp => None,
            CaptureProtocol::Icmp => Some(icmp),
            CaptureProtocol::Ip(number) => Some(*number),
        };
        let has_ports = |number: &u8| self.ports.is_empty() || WITH_PORTS.contains(number);
        let mut wanted: Vec<u8> = self.protocols.iter().filter_map(number).filter(has_ports).collect();
        if self.protocols.is_empty() {
            if self.ports.is_empty() {
                return;
            }
            wanted = WITH_PORTS.to_vec();
        }
        let found = program.label();
        for number in wanted {
            program.when_equal(number.into(), found);
        }
        program.jump(reject);
        program.place(found);
    }

    /// The transport header is where the index says.
    fn ports(&self, program: &mut Program, accept: Label, reject: Label) {
        for offset in [0, 2] {
            program.load_half_indexed(offset);
            for port in &self.ports {
                program.when_equal((*port).into(), accept);
            }
        }
        program.jump(reject);
    }
}

/// Leaves out what the loopback sends, which it receives at once, and devices whose packets begin with neither an Ethernet
/// header nor IP.
fn devices(program: &mut Program, reject: Label) {
    let begin = program.label();
    program.load_ancillary(libc::SKF_AD_HATYPE);
    program.when_equal(libc::ARPHRD_ETHER.into(), begin);
    program.when_equal(libc::ARPHRD_NONE.into(), begin);
    program.unless_equal(libc::ARPHRD_LOOPBACK.into(), reject);
    program.load_ancillary(libc::SKF_AD_PKTTYPE);
    program.when_equal(libc::PACKET_OUTGOING.into(), reject);
    program.place(begin);
}

/// If the header at the index, whose number is in the accumulator, is an extension of IPv6's, moves both to the next one.
fn pass_extension(program: &mut Program, upper: Label) {
    let (options, fragment, next) = (program.label(), program.label(), program.label());
    for number in [libc::IPPROTO_HOPOPTS, libc::IPPROTO_ROUTING, libc::IPPROTO_DSTOPTS] {
        program.when_equal(number as u32, options);
    }
    program.when_equal(libc::IPPROTO_FRAGMENT as u32, fragment);
    program.jump(upper);

    program.place(fragment);
    program.load_half_indexed(2);
    program.and(0xfff8);
    program.store(IS_REST);
    program.load(8);
    program.jump(next);

    program.place(options);
    program.load_byte_indexed(1);
    program.add(1);
    program.shift_left(3);

    program.place(next);
    program.store(SCRATCH);
    program.load_byte_indexed(0);
    program.exchange_with_length(SCRATCH);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_can_match_is_refused() {
        let icmp = CaptureFilter {
            ports: vec![80],
            protocols: vec![CaptureProtocol::Icmp],
            ..CaptureFilter::default()
        };
        assert!(icmp.check().unwrap_err().to_string().contains("ports are of tcp, udp and sctp"));
        let both =
            CaptureFilter { protocols: vec![CaptureProtocol::Icmp, CaptureProtocol::Ip(ip::TCP)], ..icmp };
        both.check().unwrap();
        assert!(CaptureFilter { ports: vec![1; 33], ..CaptureFilter::default() }.check().is_err());
    }

    #[test]
    fn protocols_have_names_and_numbers() {
        assert_eq!("icmp".parse(), Ok(CaptureProtocol::Icmp));
        assert_eq!("47".parse(), Ok(CaptureProtocol::Ip(47)));
        assert!("gre".parse::<CaptureProtocol>().unwrap_err().contains("gre"));
    }

    #[test]
    fn the_largest_filter_is_within_the_kernels_bound() {
        let filter = CaptureFilter {
            hosts: vec![IpAddr::V6(std::net::Ipv6Addr::LOCALHOST); LARGEST],
            ports: vec![1; LARGEST],
            protocols: vec![CaptureProtocol::Ip(ip::TCP); LARGEST],
        };
        filter.check().unwrap();
        assert!(filter.program(100).len() <= 4096);
    }
}
