//! The end of a container: reaped, drained, recorded, announced.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::exit;
use super::supervisor::{Phase, Supervisor};
use crate::fault::{self, Point};
use crate::protocol::{Event, Exit, Stream};

/// How long after init's exit output is awaited from processes that are not the container's own.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How many chunks of output are read in one go: more than a pipe holds.
const DRAIN_CHUNKS: usize = 64;

impl Supervisor {
    /// Takes note of init's exit, and ends what it may have left.
    pub(super) fn init_exited(&mut self) {
        let mut exit = match exit::reap(self.pidfd.as_fd()) {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            // Only if someone else has reaped our child; its code is lost.
            Err(_) => exit::exit(Some(255), None),
        };
        fault::pass(Point::ShimExited);
        if let Some(code) = self.failed {
            exit.code = code;
            exit.signal = None;
        }
        exit.oom_killed = self.cgroup.oom_kills().is_ok_and(|kills| kills > self.oom_kills);
        // With init its pid namespace has died. If it had none of its own, its children are still there.
        let _ = self.cgroup.kill();
        if let Some(terminal) = &mut self.terminal {
            terminal.slave = None;
        }
        self.phase = Phase::Draining { exit, until: Instant::now() + DRAIN_LIMIT };
    }

    /// After init's exit: reads the rest of the output, then finishes.
    pub(super) fn drain(&mut self, buffer: &mut [u8]) {
        let Phase::Draining { exit, until } = &self.phase else { return };
        let (exit, until) = (exit.clone(), *until);
        // Attached clients do not hold this back: it is no more than what the pipes hold.
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..DRAIN_CHUNKS {
                if !self.read_output(stream, buffer) {
                    break;
                }
            }
        }
        if self.sources.is_empty() || Instant::now() >= until {
            self.finish(exit);
        }
    }

    /// Records the exit, releases what the container had, and tells.
    fn finish(&mut self, exit: Exit) {
        self.sources.clear();
        if let Some(mut log) = self.log.take() {
            log.finish(Timestamp::now());
            self.log_dropped = log.dropped();
        }
        // A failure leaves the engine with the announcement alone; there is nobody else to tell.
        let record =
            || fault::fail(Point::ShimExitFile).and_then(|()| exit::record(&self.request.exit_file, &exit));
        let recorded = if self.abandoned { None } else { record().ok() };
        // The engine removes it as well: this is for when no daemon runs.
        let _ = self.cgroup.remove();
        self.terminal = None;
        self.input.end();
        fault::pass(Point::ShimTell);
        for client in self.clients.iter_mut().filter(|client| client.awaits_exit) {
            client.awaits_exit = false;
            client.send(&Event::Exited(exit.clone()));
        }
        self.phase = Phase::Exited(exit);
        // Only now: it takes milliseconds, and who was told that the container has ended waits for nothing of it.
        if let Some(file) = recorded {
            let _ = file.sync_data();
        }
    }

    /// Lets go of clients that are served, gone or stuck; of the container, if its creator has gone too early.
    pub(super) fn tidy(&mut self, buffer: &mut [u8]) {
        // Who waits for an exec is told before the end.
        let (now, exited) = (Instant::now(), self.has_exited() && self.execs.is_empty());
        for client in &mut self.clients {
            client.expire(now, exited);
            if exited {
                client.end(buffer);
            }
        }
        self.clients.retain(|client| !client.is_done());
        let created = matches!(self.phase, Phase::Created(_));
        if created && !self.abandoned && !self.clients.iter().any(|client| client.creator) {
            self.abandoned = true;
            let _ = self.signal(libc::SIGKILL);
        }
    }
}
