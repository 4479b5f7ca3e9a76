//! A container's packets as its interfaces see them, read from a packet socket in its network namespace.
//!
//! The socket is made by a thread that enters the namespace and ends at once; nothing else of ours goes there. A packet that
//! a program redirects to the container is seen like any other. What is past the network is not: what the loopback sends
//! is seen when it is received, and bytes that accelerated sockets hand over are in no packet.

mod filter;
mod program;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

use std::{io, os::fd::BorrowedFd};

use tokio::io::{Interest, unix::AsyncFd};

pub use filter::{CaptureFilter, CaptureProtocol};
pub use ring::Block as CaptureBlock;

use self::{program::Program, ring::Ring, socket::PacketSocket};
use crate::{
    Error,
    netns::{enter, on_own_thread},
};

/// The most bytes of a packet that are captured, and the default: packets that are cut up later have up to 64 KiB.
pub const CAPTURE_SNAPLEN: u32 = 262_144;

/// What is captured.
#[derive(Clone, Debug)]
pub struct CaptureSpec {
    /// The name of the one interface; none for all of them.
    pub interface: Option<String>,
    /// Which packets.
    pub filter: CaptureFilter,
    /// How many bytes of each, from the beginning.
    pub snaplen: u32,
}

/// An interface of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureInterface {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What its packets begin with.
    pub link: LinkType,
}

/// What the packets of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// The header of IP.
    Ip,
    /// Something else: such packets are not captured.
    Other,
}

impl LinkType {
    fn of(hardware: u16) -> Self {
        match hardware {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Self::Ethernet,
            libc::ARPHRD_NONE => Self::Ip,
            _ => Self::Other,
        }
    }
}

/// Where a packet goes, seen from the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketDirection {
    /// To the container, at its own address.
    Received,
    /// To the container, as one of many.
    ReceivedMulticast,
    /// To the container, as to everybody.
    ReceivedBroadcast,
    /// Past the container: for another's hardware address.
    ReceivedForOther,
    /// From the container.
    Sent,
}

impl PacketDirection {
    fn of(kind: u8) -> Self {
        match kind {
            libc::PACKET_OUTGOING => Self::Sent,
            libc::PACKET_BROADCAST => Self::ReceivedBroadcast,
            libc::PACKET_MULTICAST => Self::ReceivedMulticast,
            libc::PACKET_OTHERHOST => Self::ReceivedForOther,
            _ => Self::Received,
        }
    }
}

/// A captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// The number of its interface.
    pub interface: u32,
    /// What it begins with.
    pub link: LinkType,
    /// Where it goes.
    pub direction: PacketDirection,
    /// When it was seen, since the epoch.
    pub nanoseconds: u64,
    /// How long it is.
    pub length: u32,
    /// Its first bytes. Checksums that hardware would compute, and the cutting up of what is larger than the MTU, are still
    /// to be done on many packets.
    pub data: &'a [u8],
    /// Protocol and content of the VLAN tag that was taken out of it.
    pub vlan: Option<(u16, u16)>,
}

/// How many packets the kernel took and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounters {
    /// Those that matched the filter, the lost ones included.
    pub matched: u64,
    /// Those that found the ring full.
    pub dropped: u64,
}

/// A capture, which ends when it is dropped.
#[derive(Debug)]
pub struct Capture {
    // Before the socket: what is mapped is given back first.
    ring: Ring,
    socket: AsyncFd<PacketSocket>,
    interfaces: Vec<CaptureInterface>,
    counters: CaptureCounters,
}

impl Capture {
    /// Begins a capture in a network namespace.
    ///
    /// # Errors
    /// [`Error::InvalidCapture`]; [`Error::DeviceGone`] for an interface that is not there; [`Error::Capture`].
    pub async fn open(netns: BorrowedFd<'_>, spec: CaptureSpec) -> Result<Self, Error> {
        spec.filter.check()?;
        let netns = netns
            .try_clone_to_owned()
            .map_err(|source| Error::Namespace { operation: "keep the network namespace open", source })?;
        let open = move || {
            on_own_thread("beeline-capture", || {
                enter(std::os::fd::AsFd::as_fd(&netns))?;
                open(&spec)
            })
        };
        let (socket, ring, interfaces) = crate::net::blocking("begin a capture", open).await?;
        let socket = register(socket).map_err(socket::failed("watch the packet socket"))?;
        Ok(Self { ring, socket, interfaces, counters: CaptureCounters::default() })
    }

    /// The interfaces at the beginning.
    pub fn interfaces(&self) -> &[CaptureInterface] {
        &self.interfaces
    }

    /// Waits for packets, which are there within [`CAPTURE_LATENCY`] after they came.
    ///
    /// # Errors
    /// [`Error::Capture`], such as that the one interface that is captured has gone.
    pub async fn ready(&mut self) -> Result<(), Error> {
        while !self.ring.is_ready() {
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await;
            ready.map_err(socket::failed("wait for packets"))?.clear_ready();
            // What was there before the readiness was cleared is seen now, what comes after it wakes us again.
            if !self.ring.is_ready()
                && let Some(source) = self.socket.get_ref().failure()
            {
                return Err(socket::failed("capture packets")(source));
            }
        }
        Ok(())
    }

    /// The next packets, if there are any.
    pub fn block(&mut self) -> Option<CaptureBlock<'_>> {
        self.ring.block(self.socket.get_ref())
    }

    /// Lets no further packet in. What was there before still comes, see [`Self::ready`].
    ///
    /// # Errors
    /// [`Error::Capture`].
    pub fn stop(&self) -> Result<(), Error> {
        let mut nothing = Program::default();
        nothing.answer(0);
        self.socket.get_ref().set_filter(&mut nothing.finish())
    }

    /// How many packets came since the beginning.
    ///
    /// # Errors
    /// [`Error::Capture`].
    pub fn counters(&mut self) -> Result<CaptureCounters, Error> {
        let more = self.socket.get_ref().counters()?;
        self.counters.matched += more.matched;
        self.counters.dropped += more.dropped;
        Ok(self.counters)
    }
}

/// How long a packet may wait in the kernel before [`Capture::block`] has it.
pub const CAPTURE_LATENCY: std::time::Duration = ring::LATENCY.saturating_mul(3);

/// In the namespace that is captured.
fn open(spec: &CaptureSpec) -> Result<(PacketSocket, Ring, Vec<CaptureInterface>), Error> {
    let socket = PacketSocket::open()?;
    let mut interfaces = socket.interfaces()?;
    if let Some(name) = &spec.interface {
        interfaces.retain(|interface| interface.name == *name);
    }
    let only = match (&spec.interface, interfaces.first()) {
        (None, _) => None,
        (Some(_), Some(interface)) => Some(interface.index),
        (Some(name), None) => return Err(Error::DeviceGone { device: name.clone() }),
    };
    socket.set_filter(&mut spec.filter.program(spec.snaplen))?;
    let ring = Ring::new(&socket)?;
    socket.bind(only)?;
    Ok((socket, ring, interfaces))
}

fn register(socket: PacketSocket) -> io::Result<AsyncFd<PacketSocket>> {
    #[allow(
        deprecated,
        reason = "its replacement is unsafe for the sake of owners that change their descriptor; this one keeps it"
    )]
    AsyncFd::with_interest(socket, Interest::READABLE | Interest::ERROR)
}
