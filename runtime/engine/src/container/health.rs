//! Whether a container does what it is for: its health check's settings, and what becomes of results.
//!
//! ```text
//!                probe succeeds               retries failures in a row
//!   starting ---------------------> healthy ----------------------------> unhealthy
//!       |                              ^                                     |  ^
//!       |                              \------------ probe succeeds --------/   |
//!       \---- retries failures in a row, after the start period ----------------/
//! ```
//! A container that has a health check and does not run is unhealthy, as in Docker.

mod monitor;
mod probe;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::config::{ContainerConfig, Healthcheck};
use crate::error::Error;

pub(crate) use monitor::Monitor;

/// How many results are kept.
const REMEMBERED: usize = 5;

/// The shortest time Docker accepts, in nanoseconds.
const SHORTEST: i64 = 1_000_000;

/// Docker's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u64 = 3;

/// A container's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What the last probes say.
    pub status: HealthStatus,
    /// How many probes failed in a row.
    pub failing_streak: u64,
    /// The last probes, the oldest first.
    pub log: Vec<Probe>,
}

/// What a container's probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet.
    Starting,
    /// It works.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its exit code; -1 if it took too long or could not be executed.
    pub exit_code: i64,
    /// The beginning of what it wrote, or why there is nothing.
    pub output: String,
}

/// How a container is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    argv: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u64,
}

impl Settings {
    /// The settings of a container that is to be probed.
    pub(crate) fn of(config: &ContainerConfig) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let argv = match check.test.split_first()? {
            (kind, argv) if kind == "CMD" && !argv.is_empty() => argv.to_vec(),
            (kind, [line, ..]) if kind == "CMD-SHELL" => ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            _ => return None,
        };
        let or = |nanos: i64, default| match u64::try_from(nanos) {
            Ok(nanos) if nanos > 0 => Duration::from_nanos(nanos),
            _ => default,
        };
        Some(Self {
            argv,
            interval: or(check.interval, INTERVAL),
            timeout: or(check.timeout, TIMEOUT),
            start_period: or(check.start_period, Duration::ZERO),
            start_interval: or(check.start_interval, START_INTERVAL),
            retries: u64::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(RETRIES),
        })
    }

    /// How long to wait before the next probe.
    fn pause(&self, status: HealthStatus, age: Duration) -> Duration {
        if status == HealthStatus::Starting && age < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }
}

impl Health {
    /// The health of a container that was just started.
    pub(crate) fn starting() -> Self {
        Self { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
    }

    /// The health of a container that was stopped.
    pub(crate) fn stopped(self) -> Self {
        Self { status: HealthStatus::Unhealthy, ..self }
    }

    /// Takes the result of a probe of a run that was so old when the probe began. Whether more than the log has changed.
    pub(crate) fn take(&mut self, probe: Probe, settings: &Settings, age: Duration) -> bool {
        let before = (self.status, self.failing_streak);
        let succeeded = probe.exit_code == 0;
        if self.log.len() == REMEMBERED {
            self.log.remove(0);
        }
        self.log.push(probe);
        if succeeded {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if self.status != HealthStatus::Starting || age >= settings.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= settings.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        before != (self.status, self.failing_streak)
    }
}

/// Checks a health check as Docker does.
///
/// # Errors
/// A time is too short, a number negative, or the kind of test unknown.
pub(crate) fn validate(check: &Healthcheck) -> Result<(), Error> {
    for (what, nanos) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if nanos != 0 && nanos < SHORTEST {
            return Err(Error::Invalid(format!("{what} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(Error::Invalid("Retries in Healthcheck cannot be negative".into()));
    }
    match check.test.first().map(String::as_str) {
        None | Some("" | "NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(kind) => Err(Error::Invalid(format!(
            "Unknown healthcheck type '{kind}': NONE, CMD and CMD-SHELL are known"
        ))),
    }
}

/// What the user left open of a health check is the image's.
pub(crate) fn merge(ours: &mut Option<Healthcheck>, image: Option<Healthcheck>) {
    let Some(image) = image else { return };
    let Some(ours) = ours else {
        *ours = Some(image);
        return;
    };
    if ours.test.is_empty() {
        ours.test = image.test;
    }
    for (ours, image) in [
        (&mut ours.interval, image.interval),
        (&mut ours.timeout, image.timeout),
        (&mut ours.retries, image.retries),
        (&mut ours.start_period, image.start_period),
        (&mut ours.start_interval, image.start_interval),
    ] {
        if *ours == 0 {
            *ours = image;
        }
    }
}

#[cfg(test)]
mod tests;
