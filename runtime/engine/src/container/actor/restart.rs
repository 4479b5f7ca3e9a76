//! Starting again by itself, as the restart policy says.

use std::sync::atomic::Ordering;
use std::time::Duration;

use beeline_spawn::fault::{self, Point};
use tokio::time::Instant;

use super::Actor;
use crate::container::mode::NetworkMode;
use crate::container::restart::Backoff;
use crate::container::status::ContainerState;
use crate::error::Error;

/// How long a container waits for the one whose network it shares, and which is about to run; or for those who still
/// copy its files.
const NEIGHBOUR: Duration = Duration::from_millis(100);

impl Actor {
    /// Whether the policy wants another run after this exit; then it is counted and its moment set.
    pub(super) fn plan_restart(&mut self, code: i64, ran: Duration) -> bool {
        let policy = &self.record.config.host.restart_policy;
        let again = !self.runtime.stopped && policy.after_exit(code, self.runtime.restart_count);
        if again {
            self.runtime.restart_count += 1;
            self.restart_at = Some(Instant::now() + self.backoff.after(ran));
        }
        again
    }

    /// The user wants the container's end: it is remembered before it is brought about, so that a daemon that finds the
    /// container ended knows why.
    pub(super) async fn remember_stop(&mut self) {
        fault::pass(Point::StopRemember);
        if !self.runtime.stopped {
            self.runtime.stopped = true;
            if !self.record.config.host.restart_policy.is_none() {
                self.store().await;
            }
        }
    }

    /// The user wants it to run: what was before does not count any more.
    pub(super) fn forget_restarts(&mut self) {
        self.runtime.stopped = false;
        self.runtime.restart_count = 0;
        self.runtime.reserved.clear();
        self.backoff = Backoff::default();
        self.restart_at = None;
    }

    /// The wait is over.
    pub(super) async fn restart(&mut self) {
        self.restart_at = None;
        if self.shared.closing.load(Ordering::Acquire) {
            // The next daemon goes on.
            return;
        }
        if self.awaits_neighbour() || self.wait_for_files().await.is_err() {
            self.restart_at = Some(Instant::now() + NEIGHBOUR);
            return;
        }
        let code = self.runtime.status.exit_code;
        let Err(error) = self.begin().await else { return };
        tracing::warn!(container = %self.record.id, error = error.full(), "the restart failed");
        let executable = !matches!(error, Error::Start { code: 126 | 127, .. });
        // What keeps it from starting may go: a port that is taken, a disk that is full.
        if executable && self.plan_restart(if code == 0 { 128 } else { code }, Duration::ZERO) {
            self.runtime.status.state = ContainerState::Restarting;
            self.store().await;
            self.show();
        }
    }

    /// Whether it shares the network of a container that is about to run.
    fn awaits_neighbour(&self) -> bool {
        let NetworkMode::Container(reference) = self.record.config.host.mode() else { return false };
        let neighbour = self.shared.directory.find(reference).map(|handle| handle.view().status.state);
        matches!(neighbour, Ok(ContainerState::Restarting | ContainerState::Starting))
    }

    /// The container will not run again.
    pub(super) async fn give_up_restart(&mut self) {
        self.restart_at = None;
        self.runtime.reserved.clear();
        self.runtime.stopped = true;
        self.runtime.status.state = ContainerState::Exited;
        self.exits.count += 1;
        self.store().await;
        self.show();
    }

    /// A new daemon: containers that shall run with it are started, at once.
    pub(super) async fn restart_at_boot(&mut self) {
        let policy = &self.record.config.host.restart_policy;
        let wanted = match self.state() {
            ContainerState::Restarting => true,
            ContainerState::Exited => {
                self.runtime.status.started_at.is_some() && policy.at_boot(self.runtime.stopped)
            }
            _ => false,
        };
        if !wanted {
            return;
        }
        self.restart_at = Some(Instant::now());
        self.runtime.stopped = false;
        self.runtime.restart_count = 0;
        self.backoff = Backoff::default();
        self.runtime.status.state = ContainerState::Restarting;
        self.store().await;
        self.show();
    }
}
