//! What is counted of a control group: what its sockets and its processes did.

/// How many upper bounds a histogram has: from 16 microseconds to 8.4 seconds, each twice the one before.
pub const BOUNDS: usize = 20;

/// The power of two that is the first bound.
const FIRST_BOUND: u32 = 4;

/// How long things took, in microseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many took longer than the bound before and at most this one; the last: longer than every bound.
    pub counts: [u64; BOUNDS + 1],
    /// All of them together.
    pub sum: u64,
}

impl Histogram {
    /// The upper bounds.
    pub fn bounds() -> impl Iterator<Item = u64> {
        (0..BOUNDS as u32).map(|index| 1 << (FIRST_BOUND + index))
    }

    /// Where a thing that took so long is counted.
    #[inline(always)]
    pub const fn index(micros: u64) -> usize {
        let mut bits = 64 - micros.saturating_sub(1).leading_zeros();
        if bits < FIRST_BOUND {
            bits = FIRST_BOUND;
        }
        let index = (bits - FIRST_BOUND) as usize;
        if index < BOUNDS { index } else { BOUNDS }
    }
}

/// What a group's sockets and processes did, since it was made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Round trips of its connections: the handshake's, and then one measurement a round trip.
    pub round_trips: Histogram,
    /// From the first SYN to the established connection.
    pub connects: Histogram,
    /// Connections of its own that were refused by a reset.
    pub refused: u64,
    /// Connections of its own that nobody answered, or to which there was no way.
    pub failed: u64,
    /// Connections of its own that it gave up before there was an answer.
    pub abandoned: u64,
    /// Connections of others that were established.
    pub accepted: u64,
    /// Segments that were sent once more.
    pub retransmits: u64,
    /// Resets that its sockets sent.
    pub resets_sent: u64,
    /// Resets that ended its connections.
    pub resets_received: u64,
    /// Probes of peers that take no more data: their window is closed.
    pub window_probes: u64,
    /// Connections that found the queue of a listening socket full.
    pub overflows: u64,
    /// Programs that were executed.
    pub execs: u64,
    /// Processes that ended.
    pub exits: u64,
}

/// How long a group waited for the machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupLatencies {
    /// From being able to run to running.
    pub run_queue: Histogram,
    /// From a request's way to a block device to its completion.
    pub block_io: Histogram,
}

/// A request that a block device has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockRequest {
    /// The key of its group.
    pub group: u64,
    /// When the device got it.
    pub began: u64,
}

/// The key of a group: the number of its directory, and that of its hierarchy, which is 0 for version 2's.
#[inline(always)]
pub const fn group_key(hierarchy: u32, number: u64) -> u64 {
    (hierarchy as u64) << 48 | number
}

impl core::ops::AddAssign for Histogram {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

impl core::ops::AddAssign for GroupCounters {
    fn add_assign(&mut self, other: Self) {
        self.round_trips += other.round_trips;
        self.connects += other.connects;
        self.refused += other.refused;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
        self.accepted += other.accepted;
        self.retransmits += other.retransmits;
        self.resets_sent += other.resets_sent;
        self.resets_received += other.resets_received;
        self.window_probes += other.window_probes;
        self.overflows += other.overflows;
        self.execs += other.execs;
        self.exits += other.exits;
    }
}

impl core::ops::AddAssign for GroupLatencies {
    fn add_assign(&mut self, other: Self) {
        self.run_queue += other.run_queue;
        self.block_io += other.block_io;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_duration_is_counted_at_the_first_bound_that_it_does_not_exceed() {
        let bounds: Vec<u64> = Histogram::bounds().collect();
        assert_eq!((bounds[0], bounds[BOUNDS - 1]), (16, 8_388_608));
        for (index, bound) in bounds.iter().enumerate() {
            assert_eq!(Histogram::index(*bound), index);
            assert_eq!(Histogram::index(bound + 1), index + 1);
        }
        assert_eq!((Histogram::index(0), Histogram::index(u64::MAX)), (0, BOUNDS));
    }

    #[test]
    fn histograms_add_up_by_bound() {
        let mut one = Histogram::default();
        one.counts[3] = 2;
        one.sum = 200;
        let mut both = one;
        both += one;
        assert_eq!((both.counts[3], both.counts[2], both.sum), (4, 0, 400));
    }
}
