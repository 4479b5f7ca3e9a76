//! The flags of a health check.

use anyhow::{Result, bail};
use beeline_wire::container::config::HealthConfig;
use clap::Args;

use super::flags::Run;

/// How the container's health is probed. What is left out is the image's.
#[derive(Debug, Args)]
pub(crate) struct HealthFlags {
    /// The command that tells whether the container is healthy, by its exit code
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// The time between two probes, such as 30s or 1m30s
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    health_interval: Option<i64>,
    /// The time after which a probe has failed
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    health_timeout: Option<i64>,
    /// How many failures in a row make it unhealthy
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<i64>,
    /// The time from the start on in which failures do not count
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    health_start_period: Option<i64>,
    /// The time between two probes in that period
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    health_start_interval: Option<i64>,
    /// Do not probe, whatever the image says
    #[arg(long)]
    no_healthcheck: bool,
}

/// The health check that the flags ask for; none leaves it to the image.
pub(super) fn check(run: &Run) -> Result<Option<HealthConfig>> {
    let flags = &run.health;
    let check = HealthConfig {
        test: flags.health_cmd.clone().map(|command| vec!["CMD-SHELL".to_owned(), command]),
        interval: flags.health_interval.unwrap_or(0),
        timeout: flags.health_timeout.unwrap_or(0),
        start_period: flags.health_start_period.unwrap_or(0),
        start_interval: flags.health_start_interval.unwrap_or(0),
        retries: flags.health_retries.unwrap_or(0),
    };
    let given = check != HealthConfig::default();
    if flags.no_healthcheck && given {
        bail!("--no-healthcheck conflicts with --health-* options");
    }
    if flags.no_healthcheck {
        return Ok(Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }));
    }
    Ok(given.then_some(check))
}

/// Nanoseconds of Go's notation: numbers with units, such as `1m30s`, `500ms` or `1.5h`.
fn parse_time(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no time: use a number and a unit, such as 30s, 500ms or 1m30s");
    if text == "0" {
        return Ok(0);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = after;
    }
    // Far below what an i64 holds: some thousand years are no time to wait.
    if text.is_empty() || total > 1e18 { Err(wrong()) } else { Ok(total as i64) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }

    fn asked(line: &str) -> Result<Option<HealthConfig>> {
        check(&Line::try_parse_from(format!("run {line} image").split(' ')).unwrap().run)
    }

    #[test]
    fn times_are_gos() {
        assert_eq!(parse_time("1m30s"), Ok(90_000_000_000));
        assert_eq!(parse_time("500ms"), Ok(500_000_000));
        assert_eq!(parse_time("1.5h"), Ok(5_400_000_000_000));
        assert_eq!(parse_time("0"), Ok(0));
        for wrong in ["", "5", "s", "5x", "-5s", "1.2.3s", "9999999999h"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_are_a_check_and_none_is_the_images() {
        assert_eq!(asked("-d").unwrap(), None);
        let check = asked("--health-cmd true --health-interval 2s --health-retries 4").unwrap().unwrap();
        assert_eq!(check.test.unwrap(), ["CMD-SHELL", "true"]);
        assert_eq!((check.interval, check.retries, check.timeout), (2_000_000_000, 4, 0));
        assert_eq!(asked("--no-healthcheck").unwrap().unwrap().test.unwrap(), ["NONE"]);
        assert!(asked("--no-healthcheck --health-cmd x").is_err());
    }
}
