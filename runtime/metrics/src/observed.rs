//! The series of what a container's sockets and processes did, as the kernel's programs counted it.

use crate::family;
use crate::page::{Labels, Page};

/// What a container's sockets and processes did. What the kernel does not tell is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// How long the round trips of its connections took.
    pub round_trips: Option<Histogram>,
    /// How long its own connections took to be established.
    pub connects: Option<Histogram>,
    /// Connections by what became of them.
    pub connections: Vec<(&'static str, u64)>,
    /// Segments that were sent once more.
    pub retransmits: Option<u64>,
    /// Resets that its sockets sent.
    pub resets_sent: Option<u64>,
    /// Resets that ended its connections.
    pub resets_received: Option<u64>,
    /// Probes of peers that take no more data.
    pub window_probes: Option<u64>,
    /// Connections that found the queue of a listening socket full.
    pub overflows: Option<u64>,
    /// Programs that were executed.
    pub execs: Option<u64>,
    /// Processes that ended.
    pub exits: Option<u64>,
    /// How long its threads waited for a processor.
    pub run_queue: Option<Histogram>,
    /// How long block devices had its requests.
    pub block_io: Option<Histogram>,
}

/// How long things took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds in seconds, the shortest first, each with how many took longer than the bound before and no longer
    /// than this one.
    pub buckets: Vec<(f64, u64)>,
    /// How many took longer than every bound.
    pub longer: u64,
    /// Seconds of all together.
    pub sum: f64,
}

impl Histogram {
    /// How many things there were.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum::<u64>() + self.longer
    }
}

impl Page {
    /// Adds what a container's sockets and processes did.
    pub(crate) fn observed(&mut self, labels: &Labels, observed: &Observed) {
        for (family, histogram) in [
            (family::TCP_ROUND_TRIP, &observed.round_trips),
            (family::TCP_CONNECT, &observed.connects),
            (family::RUN_QUEUE, &observed.run_queue),
            (family::BLOCK_IO, &observed.block_io),
        ] {
            // Most containers make no connections: two dozen series of zeroes each would be most of the page.
            if let Some(histogram) = histogram.as_ref().filter(|histogram| histogram.count() > 0) {
                self.add_histogram(family, labels, histogram);
            }
        }
        for (outcome, count) in &observed.connections {
            self.add(family::TCP_CONNECTIONS, &labels.with("outcome", outcome), *count as f64);
        }
        self.add_some(family::TCP_RETRANSMITS, labels, observed.retransmits);
        for (direction, count) in [("received", observed.resets_received), ("sent", observed.resets_sent)] {
            self.add_some(family::TCP_RESETS, &labels.with("direction", direction), count);
        }
        self.add_some(family::TCP_WINDOW_PROBES, labels, observed.window_probes);
        self.add_some(family::TCP_OVERFLOWS, labels, observed.overflows);
        self.add_some(family::PROCESS_EXECS, labels, observed.execs);
        self.add_some(family::PROCESS_EXITS, labels, observed.exits);
    }
}
