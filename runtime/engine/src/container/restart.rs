//! When a container is started again by itself.

use std::time::Duration;

use crate::container::config::RestartPolicy;
use crate::error::Error;

/// The first wait before another run; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// A run of this length was none of a series of failures.
const SETTLED: Duration = Duration::from_secs(10);

/// How long to wait before another run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The last wait; zero before the first.
    last: Duration,
}

impl Backoff {
    /// The wait after a run of this length.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        let again = !self.last.is_zero() && ran < SETTLED;
        self.last = if again { self.last.saturating_mul(2).min(LONGEST) } else { FIRST };
        self.last
    }
}

impl RestartPolicy {
    /// Refuses what is no policy, in Docker's words.
    ///
    /// # Errors
    /// The name is unknown, or a number of attempts does not go with it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Invalid(format!("invalid restart policy: {text}")));
        match (self.name.as_str(), self.maximum_retry_count) {
            ("", _) | ("no" | "always" | "unless-stopped", 0) | ("on-failure", 0..) => Ok(()),
            ("on-failure", _) => invalid("maximum retry count cannot be negative".into()),
            ("no" | "always" | "unless-stopped", count) => {
                let negative = if count < 0 { " and cannot be negative" } else { "" };
                invalid(format!("maximum retry count can only be used with 'on-failure'{negative}"))
            }
            (name, _) => invalid(format!(
                "unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )),
        }
    }

    /// Whether it never starts a container.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.name.as_str(), "" | "no")
    }

    /// Whether a container that has exited with `code` runs again, after having been started again `count` times.
    pub(crate) fn after_exit(&self, code: i64, count: u64) -> bool {
        match self.name.as_str() {
            "always" | "unless-stopped" => true,
            "on-failure" => code != 0 && (self.maximum_retry_count == 0 || count < self.maximum_retries()),
            _ => false,
        }
    }

    /// Whether a container that had exited before the daemon began runs again with it.
    pub(crate) fn at_boot(&self, stopped: bool) -> bool {
        match self.name.as_str() {
            "always" => true,
            "unless-stopped" => !stopped,
            _ => false,
        }
    }

    fn maximum_retries(&self) -> u64 {
        u64::try_from(self.maximum_retry_count).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn policy(text: &str) -> RestartPolicy {
        let (name, count) = text.split_once(':').unwrap_or((text, "0"));
        RestartPolicy { name: name.into(), maximum_retry_count: count.parse().unwrap() }
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_run_of_ten_seconds() {
        let mut backoff = Backoff::default();
        let short = Duration::from_millis(9_999);
        let waits: Vec<_> = (0..12).map(|_| backoff.after(short).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        assert_eq!(backoff.after(SETTLED), FIRST);
        assert_eq!(backoff.after(short), FIRST * 2);
        assert_eq!(Backoff::default().after(SETTLED), FIRST);
    }

    #[rstest]
    #[case("no", 1, 0, false)]
    #[case("", 1, 0, false)]
    #[case("always", 0, 99, true)]
    #[case("unless-stopped", 0, 99, true)]
    #[case("on-failure", 0, 0, false)]
    #[case("on-failure", 1, 99, true)]
    #[case("on-failure:3", 1, 2, true)]
    #[case("on-failure:3", 1, 3, false)]
    fn after_an_exit(#[case] text: &str, #[case] code: i64, #[case] count: u64, #[case] again: bool) {
        assert_eq!(policy(text).after_exit(code, count), again);
    }

    #[test]
    fn a_new_daemon_starts_what_shall_always_run_and_what_nobody_stopped() {
        for (name, untouched, stopped) in [
            ("no", false, false),
            ("on-failure", false, false),
            ("unless-stopped", true, false),
            ("always", true, true),
        ] {
            assert_eq!(
                (policy(name).at_boot(false), policy(name).at_boot(true)),
                (untouched, stopped),
                "{name}"
            );
        }
    }

    #[rstest]
    #[case("always", "")]
    #[case("on-failure:3", "")]
    #[case("always:2", "can only be used with 'on-failure'")]
    #[case("no:-1", "cannot be negative")]
    #[case("on-failure:-1", "cannot be negative")]
    #[case("maybe", "unknown policy 'maybe'")]
    fn policies_are_checked(#[case] text: &str, #[case] reason: &str) {
        match policy(text).check() {
            Ok(()) => assert_eq!(reason, ""),
            Err(error) => assert!(!reason.is_empty() && error.to_string().contains(reason), "{error}"),
        }
    }
}
