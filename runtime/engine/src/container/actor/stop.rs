//! Stopping and killing.

use std::time::Duration;

use beeline_spawn::fault::Point;
use beeline_spawn::protocol::Request;
use nix::libc::SIGKILL;
use nix::libc::SIGTERM;
use tokio::time::Instant;

use super::{Actor, KILL_LIMIT};
use crate::container::handle::{Reply, StopRequest};
use crate::container::signal;
use crate::container::status::ContainerState;
use crate::error::Error;

/// Seconds until a stop becomes a kill, unless someone says otherwise.
const TIMEOUT: i64 = 10;

/// A stop that is under way.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    /// When patience ends; never if none.
    pub(super) deadline: Option<Instant>,
    /// SIGKILL was sent: at the next deadline, waiting is given up.
    killed: bool,
    /// It is to be started again.
    pub(super) keep: bool,
    /// A stop, not only a kill, is to be told to listeners.
    pub(super) announced: bool,
    waiters: Vec<Reply<()>>,
}

impl Actor {
    /// Asks init to end; the answer comes when it has.
    pub(super) async fn stop(&mut self, request: StopRequest, reply: Reply<()>) {
        if self.state() == ContainerState::Restarting {
            self.give_up_restart().await;
            self.event("stop", []);
            let _ = reply.send(Ok(()));
            return;
        }
        if !self.state().is_running() {
            let _ = reply
                .send(Err(Error::NotModified(format!("container {} is already stopped", self.record.id))));
            return;
        }
        let signal = request.signal.unwrap_or_else(|| self.stop_signal());
        let seconds = request.timeout.or(self.record.config.stop_timeout).unwrap_or(TIMEOUT);
        self.remember_stop().await;
        if let Err(error) = self.signal(signal).await {
            let _ = reply.send(Err(error));
            return;
        }
        self.event("kill", [("signal", signal.to_string())]);
        if let Err(error) = self.thaw().await {
            let _ = reply.send(Err(error));
            return;
        }
        let killed = signal == SIGKILL || seconds == 0;
        if seconds == 0 && signal != SIGKILL {
            // Too late to matter if it fails: the exit is on its way.
            let _ = self.signal(SIGKILL).await;
        }
        let patience =
            if killed { Some(KILL_LIMIT) } else { u64::try_from(seconds).ok().map(Duration::from_secs) };
        // A request without limit does not take back an earlier one's.
        let deadline = patience.map(|patience| Instant::now() + patience);
        let stopping = self.stopping.get_or_insert_default();
        stopping.deadline = match (stopping.deadline, deadline) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        stopping.killed |= killed;
        stopping.keep |= request.keep;
        stopping.announced = true;
        stopping.waiters.push(reply);
        self.set_state(ContainerState::Stopping);
    }

    /// Sends a signal. SIGKILL is answered when the container has exited, others at once.
    pub(super) async fn kill(&mut self, signal: i32, reply: Reply<()>) {
        let meant_as_end = signal == SIGKILL || signal == self.stop_signal();
        if self.state() == ContainerState::Restarting && meant_as_end {
            self.give_up_restart().await;
            let _ = reply.send(Ok(()));
            return;
        }
        if !self.state().is_running() {
            let _ = reply.send(Err(Error::Conflict(format!(
                "cannot kill container: {}: container {} is not running",
                self.record.name, self.record.id
            ))));
            return;
        }
        if meant_as_end {
            self.remember_stop().await;
        }
        let mut sent = self.signal(signal).await;
        if sent.is_ok() {
            self.event("kill", [("signal", signal.to_string())]);
            if meant_as_end {
                // Paused, it would not obey.
                sent = self.thaw().await;
            }
        }
        if signal != SIGKILL || sent.is_err() {
            let _ = reply.send(sent);
            return;
        }
        let stopping = self.stopping.get_or_insert_default();
        stopping.deadline = Some(Instant::now() + KILL_LIMIT);
        stopping.killed = true;
        stopping.waiters.push(reply);
        self.set_state(ContainerState::Stopping);
    }

    /// Patience is over: kills, or gives up waiting for the kernel.
    pub(super) async fn stop_deadline(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.killed {
            for waiter in stopping.waiters.drain(..) {
                let _ = waiter.send(Err(Error::Internal {
                    operation: format!("kill container {}", self.record.id),
                    message: "its init does not end: it may wait for a device or a network file system"
                        .into(),
                }));
            }
            stopping.deadline = None;
            return;
        }
        stopping.killed = true;
        stopping.deadline = Some(Instant::now() + KILL_LIMIT);
        match self.signal(SIGKILL).await {
            Ok(()) => self.event("kill", [("signal", SIGKILL.to_string())]),
            Err(error) => tracing::warn!(container = %self.record.id, error = error.full(), "cannot kill"),
        }
    }

    /// Tells everyone who waits for the stop that it is done.
    pub(super) fn answer_stop(&mut self) {
        if let Some(stopping) = self.stopping.take() {
            for waiter in stopping.waiters {
                let _ = waiter.send(Ok(()));
            }
        }
    }

    fn stop_signal(&self) -> i32 {
        signal::parse(&self.record.config.stop_signal).unwrap_or(SIGTERM)
    }

    /// Sends a signal to init by way of its shim.
    pub(super) async fn signal(&mut self, signal: i32) -> Result<(), Error> {
        let gone = || Error::Conflict(format!("container {} is not running", self.record.id));
        let link = self.link.as_mut().ok_or_else(gone)?;
        crate::error::fault(Point::StopSignal)?;
        match link.ask(&Request::Signal { signal }).await {
            Ok(_) => Ok(()),
            // The exit arrives next: what the signal was to bring about has happened.
            Err(crate::container::shim::ShimError::Gone) => Ok(()),
            Err(error) => Err(Error::internal(format!("signal container {}", self.record.id), &error)),
        }
    }
}
