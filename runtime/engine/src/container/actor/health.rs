//! The container's health: probed while it runs.

use std::time::Duration;

use jiff::Timestamp;

use super::Actor;
use crate::container::health::{Health, Monitor, Probe, Settings};

impl Actor {
    /// The health of a run that begins; none if the container is not probed.
    pub(super) fn first_health(&self) -> Option<Health> {
        Settings::of(&self.record.config).map(|_| Health::starting())
    }

    /// Begins to probe the container, which runs.
    pub(super) fn monitor(&mut self) {
        let started = self.runtime.status.started_at.unwrap_or_else(Timestamp::now);
        let settings = Settings::of(&self.record.config);
        self.monitor = Monitor::start(&self.shared, &self.record.id, settings, started);
    }

    /// Takes note of a probe, unless its run is over.
    pub(super) async fn probed(&mut self, started: Timestamp, age: Duration, probe: Probe) {
        let status = &mut self.runtime.status;
        let settings = Settings::of(&self.record.config);
        let (true, Some(settings), Some(health)) =
            (status.state.is_running() && status.started_at == Some(started), settings, &mut status.health)
        else {
            return;
        };
        let before = health.status;
        let changed = health.take(probe, &settings, age);
        let now = health.status;
        self.show();
        if now != before {
            self.event(&format!("health_status: {}", now.as_str()), []);
        }
        // The log alone is not worth a write every few seconds.
        if changed {
            self.store().await;
        }
    }
}
