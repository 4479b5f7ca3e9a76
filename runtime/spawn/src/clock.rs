//! The clock that lengths are measured by. The time of day is for people: anybody may set it at any moment.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How long the machine has been up, its sleep included.
#[must_use]
pub fn uptime() -> Duration {
    // Every Linux has this clock.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
