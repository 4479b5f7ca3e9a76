//! A thread that writes the log, so that the shim never waits for a server or a disk.
//!
//! Between it and the shim is a queue. When that is full, the mode decides: in blocking mode the shim reads no more of the
//! container's output until there is room, in the other one records are dropped and counted.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::record::Record;
use super::writer::Sinks;

/// How much may wait in blocking mode, in bytes.
const BLOCKING: usize = 1024 * 1024;

/// What a record takes beside its text, in bytes.
const OVERHEAD: usize = 64;

/// How long, after the container's end, the log may take for what waits.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    limit: usize,
    drops: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Counts up when a queue that was full has room.
    room: OwnedFd,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    /// The shim waits for room.
    full: bool,
    finishing: bool,
    finished: bool,
    /// Bytes that found no room, and that the sinks could not take.
    refused: u64,
    lost: u64,
}

impl Worker {
    /// Starts the thread. With `buffer`, what finds no room among so many bytes is dropped.
    pub(super) fn start(sinks: Sinks, buffer: Option<usize>) -> io::Result<Self> {
        let room = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), room });
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(256 * 1024)
            .spawn(move || of_thread.run(sinks))?;
        Ok(Self { shared, limit: buffer.unwrap_or(BLOCKING), drops: buffer.is_some() })
    }

    /// Takes a record; gives an empty buffer back.
    pub(super) fn push(&self, record: Record) -> Vec<u8> {
        let size = record.text.len() + OVERHEAD;
        let mut queue = self.shared.lock();
        if self.drops && queue.bytes + size > self.limit && !queue.records.is_empty() {
            queue.refused += record.text.len() as u64;
            return record.text;
        }
        queue.bytes += size;
        queue.full = !self.drops && queue.bytes >= self.limit;
        queue.records.push_back(record);
        self.shared.changed.notify_one();
        Vec::new()
    }

    pub(super) fn is_full(&self) -> bool {
        self.shared.lock().full
    }

    /// Readable from the moment there is room again until it is read.
    pub(super) fn room(&self) -> BorrowedFd<'_> {
        self.shared.room.as_fd()
    }

    pub(super) fn dropped(&self) -> u64 {
        let queue = self.shared.lock();
        queue.refused + queue.lost
    }

    /// Waits until everything is written, for a while: a server that takes nothing does not keep the container's end.
    pub(super) fn finish(&self) {
        let mut queue = self.shared.lock();
        queue.finishing = true;
        self.shared.changed.notify_one();
        let waiting = self.shared.changed.wait_timeout_while(queue, FINISH_LIMIT, |queue| !queue.finished);
        let (mut queue, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let left: usize = queue.records.iter().map(|record| record.text.len()).sum();
        queue.refused += left as u64;
    }
}

impl Shared {
    fn run(&self, mut sinks: Sinks) {
        loop {
            let queue = self.lock();
            let waiting =
                self.changed.wait_while(queue, |queue| queue.records.is_empty() && !queue.finishing);
            let mut queue = waiting.unwrap_or_else(PoisonError::into_inner);
            let Some(record) = queue.records.pop_front() else { break };
            queue.bytes -= record.text.len() + OVERHEAD;
            let last = queue.records.is_empty();
            // Half of it: the shim is not woken for every record.
            if queue.full && queue.bytes < BLOCKING / 2 {
                queue.full = false;
                // The counter is full only if nobody reads it.
                let _ = rustix::io::write(&self.room, &1_u64.to_ne_bytes());
            }
            drop(queue);
            sinks.record(&record);
            if last {
                sinks.flush();
            }
            self.lock().lost = sinks.dropped();
        }
        sinks.close();
        let mut queue = self.lock();
        queue.lost = sinks.dropped();
        queue.finished = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that can panic runs while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
