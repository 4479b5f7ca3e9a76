//! The memory into which the kernel writes what a capture's filter lets through (TPACKET_V3): a ring of blocks, each of which
//! is the kernel's or ours.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{
    CaptureInterface, CapturedPacket, LinkType, PacketDirection, socket::PacketSocket, socket::failed,
};
use crate::Error;

/// The size of a block: a packet of the largest size, headers included, fits into one.
const BLOCK: usize = 512 << 10;
/// Bytes of the ring: 100,000 packets of full size a second may wait a fifth of a second.
const SIZE: usize = 32 << 20;
/// How long the kernel keeps a block that is not full.
pub(super) const LATENCY: Duration = Duration::from_millis(40);

/// Where the fields of a block's header are: `tpacket_block_desc`.
mod block {
    pub(super) const STATUS: usize = 8;
    pub(super) const PACKETS: usize = 12;
    pub(super) const FIRST: usize = 16;
}

/// Where the fields of a packet's header are: `tpacket3_hdr`, and a `sockaddr_ll` after it.
mod packet {
    use std::mem::offset_of;

    use libc::tpacket3_hdr as Header;

    pub(super) const NEXT: usize = offset_of!(Header, tp_next_offset);
    pub(super) const SECONDS: usize = offset_of!(Header, tp_sec);
    pub(super) const NANOSECONDS: usize = offset_of!(Header, tp_nsec);
    pub(super) const CAPTURED: usize = offset_of!(Header, tp_snaplen);
    pub(super) const LENGTH: usize = offset_of!(Header, tp_len);
    pub(super) const STATUS: usize = offset_of!(Header, tp_status);
    pub(super) const DATA: usize = offset_of!(Header, tp_mac);
    pub(super) const VLAN: usize = offset_of!(Header, hv1) + 4;
    pub(super) const VLAN_PROTOCOL: usize = VLAN + 4;
    pub(super) const ADDRESS: usize = size_of::<Header>();
    pub(super) const INTERFACE: usize = ADDRESS + offset_of!(libc::sockaddr_ll, sll_ifindex);
    pub(super) const LINK: usize = ADDRESS + offset_of!(libc::sockaddr_ll, sll_hatype);
    pub(super) const KIND: usize = ADDRESS + offset_of!(libc::sockaddr_ll, sll_pkttype);
}

/// The ring of a socket.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    /// The block that is looked at next.
    next: usize,
}

// SAFETY: the memory belongs to the ring alone, and nothing of it is bound to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives a socket a ring.
    pub(super) fn new(socket: &PacketSocket) -> Result<Self, Error> {
        let shape = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (SIZE / BLOCK) as u32,
            // Frames have any length in this version; the kernel checks the numbers all the same.
            tp_frame_size: BLOCK as u32,
            tp_frame_nr: (SIZE / BLOCK) as u32,
            tp_retire_blk_tov: LATENCY.as_millis() as u32,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket.set_ring(&shape)?;
        let size = NonZeroUsize::new(SIZE).unwrap_or(NonZeroUsize::MIN);
        let (protection, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: the kernel chooses the address, so nothing of ours is mapped over.
        let memory = unsafe { mmap(None, size, protection, flags, socket.as_fd(), 0) };
        let memory = memory.map_err(|errno| failed("map the ring of packets")(errno.into()))?;
        Ok(Self { memory: memory.cast(), next: 0 })
    }

    /// The next block, if the kernel has handed it over.
    pub(super) fn block<'a>(&'a mut self, socket: &'a PacketSocket) -> Option<Block<'a>> {
        self.is_ready().then_some(Block { ring: self, socket })
    }

    /// Whether the next block is ours.
    pub(super) fn is_ready(&self) -> bool {
        self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    fn start(&self) -> NonNull<u8> {
        // SAFETY: `next` is less than the number of blocks, all of which are within the memory.
        unsafe { self.memory.add(self.next * BLOCK) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status is within the block.
        let status = unsafe { self.start().add(block::STATUS) };
        // SAFETY: a block begins at a page and its status is an aligned word, which both sides write whole.
        unsafe { AtomicU32::from_ptr(status.as_ptr().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: no block is borrowed any more; the length is that of the mapping.
        if let Err(errno) = unsafe { munmap(self.memory.cast(), SIZE) } {
            tracing::warn!(%errno, "the memory of a capture stays mapped");
        }
    }
}

/// A block of packets; the kernel gets it back when it is dropped.
#[derive(Debug)]
pub struct Block<'a> {
    ring: &'a mut Ring,
    socket: &'a PacketSocket,
}

impl Block<'_> {
    /// What is known of a packet's interface.
    ///
    /// # Errors
    /// [`Error::Capture`]: it has gone already.
    pub fn interface(&self, index: u32) -> Result<CaptureInterface, Error> {
        self.socket.interface(index)
    }

    /// Its packets, in the order of their arrival.
    pub fn packets(&self) -> impl Iterator<Item = CapturedPacket<'_>> {
        // SAFETY: the kernel writes nothing into a block that is ours, nor do we before it is dropped.
        let bytes = unsafe { slice::from_raw_parts(self.ring.start().as_ptr(), BLOCK) };
        let mut left = word(bytes, block::PACKETS);
        let mut at = word(bytes, block::FIRST) as usize;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let header = bytes.get(at..)?;
            at += word(header, packet::NEXT) as usize;
            parse(header)
        })
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.ring.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.ring.next = (self.ring.next + 1) % (SIZE / BLOCK);
    }
}

/// A packet, from its header on.
fn parse(header: &[u8]) -> Option<CapturedPacket<'_>> {
    let start = half(header, packet::DATA) as usize;
    let data = header.get(start..start + word(header, packet::CAPTURED) as usize)?;
    let status = word(header, packet::STATUS);
    let vlan = (status & libc::TP_STATUS_VLAN_VALID != 0)
        .then(|| (half(header, packet::VLAN_PROTOCOL), word(header, packet::VLAN) as u16));
    let seconds = u64::from(word(header, packet::SECONDS));
    Some(CapturedPacket {
        interface: word(header, packet::INTERFACE),
        link: LinkType::of(half(header, packet::LINK)),
        direction: PacketDirection::of(header.get(packet::KIND).copied()?),
        nanoseconds: seconds * 1_000_000_000 + u64::from(word(header, packet::NANOSECONDS)),
        length: word(header, packet::LENGTH),
        data,
        vlan,
    })
}

/// A word of the kernel's; zero past the end, which no block of its has.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}
