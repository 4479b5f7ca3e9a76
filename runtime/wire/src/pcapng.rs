//! `POST /beeline/containers/{name}/capture`: packets as pcapng, block by block, in the daemon's byte order. Beeline's own.

/// A block is its type, its length, a body padded to words, and the length again.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// What the first word of a section shows: the byte order.
const MAGIC: u32 = 0x1a2b_3c4d;

/// No statistics are longer.
const LARGEST_KEPT: u32 = 64 << 10;

/// Options that every block may have.
const END: u16 = 0;
const COMMENT: u16 = 1;

/// An interface whose packets follow.
#[derive(Debug, Clone, Copy)]
pub struct Interface<'a> {
    pub name: &'a str,
    /// Such as the network it belongs to; none if empty.
    pub description: &'a str,
    /// What a packet begins with: [`ETHERNET`] or [`IP`].
    pub link: u16,
    /// The most bytes of a packet.
    pub snaplen: u32,
}

/// Packets begin with an Ethernet header.
pub const ETHERNET: u16 = 1;
/// Packets begin with the header of IP.
pub const IP: u16 = 101;

/// A packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The interface, by its place among the section's.
    pub interface: u32,
    /// Since the epoch.
    pub nanoseconds: u64,
    /// Its length before it was cut off.
    pub length: u32,
    /// What there is of it, piece by piece.
    pub data: &'a [&'a [u8]],
    /// Its direction and whom it is for: [`flags`].
    pub flags: u32,
}

/// Bits of [`Packet::flags`].
pub mod flags {
    pub const INBOUND: u32 = 1;
    pub const OUTBOUND: u32 = 2;
    pub const UNICAST: u32 = 1 << 2;
    pub const MULTICAST: u32 = 2 << 2;
    pub const BROADCAST: u32 = 3 << 2;
    pub const PROMISCUOUS: u32 = 4 << 2;
}

/// What came of a capture at an interface.
#[derive(Debug, Clone, Copy)]
pub struct Statistics<'a> {
    pub interface: u32,
    /// Since the epoch.
    pub nanoseconds: u64,
    /// Packets of it in this section.
    pub delivered: u64,
    /// Packets that matched the filter and that were lost. The kernel counts those of all interfaces together, so they are
    /// said of the first.
    pub of_all: Option<(u64, u64)>,
    /// Why the capture ended; none if empty.
    pub comment: &'a str,
}

/// Begins a section, with the program that makes it.
pub fn section(out: &mut Vec<u8>, program: &str) {
    block(out, SECTION, |out| {
        out.extend(MAGIC.to_ne_bytes());
        out.extend([1_u16, 0].map(u16::to_ne_bytes).concat());
        // The length is not known beforehand.
        out.extend(u64::MAX.to_ne_bytes());
        option(out, 4, program.as_bytes());
        option(out, END, &[]);
    });
}

/// Describes the next interface. Its packets' times are in nanoseconds.
pub fn interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    block(out, INTERFACE, |out| {
        out.extend([interface.link, 0].map(u16::to_ne_bytes).concat());
        out.extend(interface.snaplen.to_ne_bytes());
        option(out, 2, interface.name.as_bytes());
        text(out, 3, interface.description);
        option(out, 9, &[9]);
        option(out, END, &[]);
    });
}

/// Adds a packet.
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    block(out, PACKET, |out| {
        let captured: usize = packet.data.iter().map(|piece| piece.len()).sum();
        out.extend(packet.interface.to_ne_bytes());
        time(out, packet.nanoseconds);
        out.extend((captured as u32).to_ne_bytes());
        out.extend(packet.length.to_ne_bytes());
        for piece in packet.data {
            out.extend_from_slice(piece);
        }
        pad(out, captured);
        option(out, 2, &packet.flags.to_ne_bytes());
        option(out, END, &[]);
    });
}

/// Adds what came of the capture at an interface.
pub fn statistics(out: &mut Vec<u8>, statistics: &Statistics<'_>) {
    block(out, STATISTICS, |out| {
        out.extend(statistics.interface.to_ne_bytes());
        time(out, statistics.nanoseconds);
        text(out, COMMENT, statistics.comment);
        option(out, 3, &halves(statistics.nanoseconds));
        if let Some((matched, dropped)) = statistics.of_all {
            option(out, FILTER_ACCEPT, &matched.to_ne_bytes());
            option(out, OS_DROP, &dropped.to_ne_bytes());
        }
        option(out, 8, &statistics.delivered.to_ne_bytes());
        option(out, END, &[]);
    });
}

const FILTER_ACCEPT: u16 = 6;
const OS_DROP: u16 = 7;

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_ne_bytes());
    out.extend([0; 4]);
    body(out);
    let length = ((out.len() - start + 4) as u32).to_ne_bytes();
    out.extend(length);
    out[start + 4..start + 8].copy_from_slice(&length);
}

fn time(out: &mut Vec<u8>, nanoseconds: u64) {
    out.extend(halves(nanoseconds));
}

/// Times are two words, the higher first, whatever the byte order.
fn halves(nanoseconds: u64) -> Vec<u8> {
    [(nanoseconds >> 32) as u32, nanoseconds as u32].map(u32::to_ne_bytes).concat()
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    // What is said here is far shorter than an option may be.
    let length = value.len().min(u16::MAX.into());
    out.extend([code, length as u16].map(u16::to_ne_bytes).concat());
    out.extend_from_slice(&value[..length]);
    pad(out, length);
}

fn text(out: &mut Vec<u8>, code: u16, value: &str) {
    if !value.is_empty() {
        option(out, code, value.as_bytes());
    }
}

fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&[0; 3][..length.wrapping_neg() % 4]);
}

/// Counts what goes by in a stream of blocks, fed with whatever pieces the connection delivers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Packets so far.
    pub packets: u64,
    /// How many the kernel lost, once the capture has ended.
    pub dropped: Option<u64>,
    /// Why the capture ended, if the daemon says so.
    pub comment: Option<String>,
    /// The beginning of the present block: its header, and all of one with statistics.
    kept: Vec<u8>,
    /// Bytes of the present block that are still to come.
    left: usize,
}

impl Tally {
    /// Counts the blocks that begin in the next piece of the stream.
    pub fn feed(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            if self.left == 0 {
                input = self.begin(input);
                continue;
            }
            let (now, later) = input.split_at(self.left.min(input.len()));
            if !self.kept.is_empty() {
                self.kept.extend_from_slice(now);
            }
            self.left -= now.len();
            input = later;
            if self.left == 0 {
                let block = std::mem::take(&mut self.kept);
                self.end(&block);
            }
        }
    }

    /// Collects a block's header, and returns what comes after it.
    fn begin<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let (now, later) = input.split_at((8 - self.kept.len()).min(input.len()));
        self.kept.extend_from_slice(now);
        if let Some([kind, length]) = header(&self.kept) {
            // A length below a block's own would be that of no pcapng; all the rest is left alone then.
            self.left = (length as usize).checked_sub(8).filter(|left| *left > 0).unwrap_or(usize::MAX);
            self.packets += u64::from(kind == PACKET);
            if kind != STATISTICS || length > LARGEST_KEPT {
                self.kept.clear();
            }
        }
        later
    }

    /// Reads a block of statistics; of others nothing is kept.
    fn end(&mut self, block: &[u8]) {
        let mut options = block.get(20..).unwrap_or_default();
        while let Some(([a, b, c, d], rest)) = options.split_first_chunk() {
            let (code, length) = (u16::from_ne_bytes([*a, *b]), usize::from(u16::from_ne_bytes([*c, *d])));
            let Some(value) = rest.get(..length).filter(|_| code != END) else { return };
            match (code, <[u8; 8]>::try_from(value)) {
                (COMMENT, _) => self.comment = Some(String::from_utf8_lossy(value).into_owned()),
                (OS_DROP, Ok(number)) => self.dropped = Some(u64::from_ne_bytes(number)),
                _ => {}
            }
            options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// A block's type and length, once they are there.
fn header(bytes: &[u8]) -> Option<[u32; 2]> {
    let (kind, rest) = bytes.split_first_chunk()?;
    Some([u32::from_ne_bytes(*kind), u32::from_ne_bytes(*rest.first_chunk()?)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Vec<u8> {
        let mut out = Vec::new();
        section(&mut out, "Beeline");
        let eth0 = Interface { name: "eth0", description: "network shop", link: ETHERNET, snaplen: 100 };
        interface(&mut out, &eth0);
        for number in 0..3_u8 {
            let data: &[&[u8]] = &[&[number; 5], &[9, 9]];
            let flags = flags::INBOUND | flags::UNICAST;
            packet(&mut out, &Packet { interface: 0, nanoseconds: 1 << 32 | 7, length: 60, data, flags });
        }
        let comment = "container web has ended";
        statistics(
            &mut out,
            &Statistics { interface: 0, nanoseconds: 9, delivered: 3, of_all: Some((5, 2)), comment },
        );
        out
    }

    #[test]
    fn blocks_are_whole_words_with_their_length_at_both_ends() {
        let out = capture();
        let (mut at, mut kinds) = (0, Vec::new());
        while at < out.len() {
            let word = |at: usize| u32::from_ne_bytes(out[at..at + 4].try_into().unwrap());
            let length = word(at + 4) as usize;
            assert_eq!((length % 4, word(at + length - 4) as usize), (0, length));
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET, PACKET, STATISTICS]);
    }

    #[test]
    fn a_tally_counts_in_whatever_pieces_the_stream_comes() {
        let out = capture();
        for size in [1, 3, 7, 8, 50, out.len()] {
            let mut tally = Tally::default();
            out.chunks(size).for_each(|piece| tally.feed(piece));
            assert_eq!((tally.packets, tally.dropped), (3, Some(2)), "pieces of {size}");
            assert_eq!(tally.comment.as_deref(), Some("container web has ended"));
        }
    }

    #[test]
    fn what_is_no_pcapng_is_left_alone() {
        let mut tally = Tally::default();
        tally.feed(&[0; 64]);
        tally.feed(&[0; 64]);
        assert_eq!(tally.packets, 0);
    }
}
