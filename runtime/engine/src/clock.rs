//! A moment by two clocks.

use std::time::Duration;

use beeline_spawn::clock;
use jiff::Timestamp;

/// A moment by the time of day, which people read and anybody may set, and by the machine's uptime, which only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub at: Timestamp,
    /// How long the machine had been up.
    pub uptime: Duration,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self { at: Timestamp::now(), uptime: clock::uptime() }
    }

    /// How long after another moment it is: by the uptime if that was noted, else by the time of day.
    pub(crate) fn since(self, at: Option<Timestamp>, uptime: Option<Duration>) -> Duration {
        let by_uptime = uptime.and_then(|uptime| self.uptime.checked_sub(uptime));
        let by_day = || at.and_then(|at| Duration::try_from(self.at.duration_since(at)).ok());
        by_uptime.or_else(by_day).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_changes_no_length() {
        let noon = Timestamp::from_second(1_000_000_000).unwrap();
        let began = Duration::from_secs(500);
        for hours in [-9_000, -1, 0, 1, 9_000] {
            let at = noon + SignedDuration::from_hours(hours);
            let now = Moment { at, uptime: Duration::from_secs(512) };
            assert_eq!(now.since(Some(noon), Some(began)), Duration::from_secs(12), "set by {hours} hours");
        }
    }

    #[test]
    fn without_an_uptime_of_this_boot_the_time_of_day_has_to_do() {
        let noon = Timestamp::from_second(1_000_000_000).unwrap();
        let now = Moment { at: noon + SignedDuration::from_secs(7), uptime: Duration::from_secs(3) };
        assert_eq!(now.since(Some(noon), None), Duration::from_secs(7));
        assert_eq!(now.since(Some(noon), Some(Duration::from_secs(500))), Duration::from_secs(7));
        let before = Moment { at: noon - SignedDuration::from_secs(7), ..now };
        assert_eq!(before.since(Some(noon), None), Duration::ZERO, "never less than none");
        assert_eq!(now.since(None, None), Duration::ZERO);
    }
}
