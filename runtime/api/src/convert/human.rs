//! Durations and states in Docker's words for people.

use beeline_engine::{ContainerState, ContainerStatus, HealthStatus, Moment};
use jiff::Timestamp;

/// `About a minute`, `3 hours`: one unit, rounded down.
pub(crate) fn duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "About a minute".to_owned(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        _ => {
            // Docker rounds hours, and only hours, to the nearest one.
            let hours = (seconds + HOUR / 2) / HOUR;
            match hours {
                1 => "About an hour".to_owned(),
                2..48 => format!("{hours} hours"),
                48..336 => format!("{} days", hours / 24),
                336..1440 => format!("{} weeks", hours / 24 / 7),
                1440..17_520 => format!("{} months", hours / 24 / 30),
                _ => format!("{} years", seconds / DAY / 365),
            }
        }
    }
}

/// The `Status` of a listing: `Up 3 minutes`, `Exited (0) 2 hours ago`.
pub(crate) fn status(status: &ContainerStatus, now: Moment) -> String {
    let since = |then: Option<Timestamp>| {
        duration(then.map_or(0, |then| now.at.as_second().saturating_sub(then.as_second())))
    };
    let up = || duration(i64::try_from(status.age(now).as_secs()).unwrap_or(i64::MAX));
    match status.state {
        ContainerState::Running | ContainerState::Stopping => {
            let health = status.health.as_ref().map(|health| match health.status {
                HealthStatus::Starting => " (health: starting)",
                HealthStatus::Healthy => " (healthy)",
                HealthStatus::Unhealthy => " (unhealthy)",
            });
            format!("Up {}{}", up(), health.unwrap_or_default())
        }
        ContainerState::Paused => format!("Up {} (Paused)", up()),
        ContainerState::Restarting => {
            format!("Restarting ({}) {} ago", status.exit_code, since(status.finished_at))
        }
        ContainerState::Created | ContainerState::Starting => "Created".to_owned(),
        ContainerState::Exited => format!("Exited ({}) {} ago", status.exit_code, since(status.finished_at)),
        ContainerState::Removing => "Removal In Progress".to_owned(),
        ContainerState::Dead => "Dead".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beeline_engine::Health;

    use super::*;

    #[test]
    fn durations_are_docker_s() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_status_says_since_when() {
        let at = Timestamp::new(1_000_000, 0).unwrap();
        let now = Moment { at, uptime: Duration::from_secs(1_000) };
        let then = Timestamp::new(1_000_000 - 180, 0).unwrap();
        let mut observed = ContainerStatus::default();
        assert_eq!(status(&observed, now), "Created");
        observed.state = ContainerState::Running;
        observed.started_at = Some(then);
        assert_eq!(status(&observed, now), "Up 3 minutes");
        let health = |status| Some(Health { status, failing_streak: 0, log: Vec::new() });
        observed.health = health(HealthStatus::Starting);
        assert_eq!(status(&observed, now), "Up 3 minutes (health: starting)");
        observed.health = health(HealthStatus::Unhealthy);
        assert_eq!(status(&observed, now), "Up 3 minutes (unhealthy)");
        // Somebody sets the clock: the container is as old as before.
        observed.began = Some(Duration::from_secs(1_000 - 240));
        assert_eq!(status(&observed, now), "Up 4 minutes (unhealthy)");
        observed.began = None;
        observed.state = ContainerState::Paused;
        assert_eq!(status(&observed, now), "Up 3 minutes (Paused)");
        observed.state = ContainerState::Exited;
        observed.finished_at = Some(then);
        observed.exit_code = 137;
        assert_eq!(status(&observed, now), "Exited (137) 3 minutes ago");
        observed.state = ContainerState::Restarting;
        assert_eq!(status(&observed, now), "Restarting (137) 3 minutes ago");
    }
}
