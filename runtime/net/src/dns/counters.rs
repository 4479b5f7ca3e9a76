//! What containers asked, and what became of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Questions since the resolver began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsCounters {
    /// Answered by the names of containers.
    pub names: u64,
    /// For servers outside.
    pub outside: u64,
    /// Refused: malformed, of a kind that is not served, or not a container's.
    pub refused: u64,
    /// Those for servers outside of which none answered in time.
    pub no_answer: u64,
    /// Those for servers outside of a container that has none.
    pub no_servers: u64,
    /// Those for servers outside while too many waited.
    pub too_many: u64,
}

/// The counters as tasks count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) names: AtomicU64,
    pub(super) outside: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) no_answer: AtomicU64,
    pub(super) no_servers: AtomicU64,
    pub(super) too_many: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> DnsCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DnsCounters {
            names: read(&self.names),
            outside: read(&self.outside),
            refused: read(&self.refused),
            no_answer: read(&self.no_answer),
            no_servers: read(&self.no_servers),
            too_many: read(&self.too_many),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
