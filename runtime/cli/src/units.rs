//! Sizes and times, as Docker's command line reads and writes them.

use jiff::Timestamp;

/// Bytes from text such as `64m`, `1.5g`, `512`, `10MiB`. Units are powers of 1024, as for `docker run --memory`.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let lower = text.trim().to_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("use a number with an optional unit of b, k, m or g, such as 64m".into()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| "use a number such as 64m".to_owned())?;
    let bytes =
        number * f64::from(1_u32 << (shift % 30)) * if shift >= 30 { f64::from(1_u32 << 30) } else { 1.0 };
    if !(0.0..9e18).contains(&bytes) {
        return Err("out of range".into());
    }
    Ok(bytes as i64)
}

/// Bytes, or -1 for swap without limit.
pub(crate) fn memory_swap(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { parse_bytes(text) }
}

/// CPUs from text such as `1.5`, in units of 10⁻⁹.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, String> {
    match text.parse::<f64>() {
        Ok(cpus) if (0.0..1e6).contains(&cpus) => Ok((cpus * 1e9).round() as i64),
        _ => Err("use a number of processors such as 0.5 or 2".into()),
    }
}

/// Bytes for a person: `13.3kB`, powers of 1000 and three digits as Docker shows image sizes.
pub(crate) fn human_bytes(bytes: i64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let decimals = match value {
        _ if unit == "B" => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

/// Bytes in powers of 1000 and at most three digits, as Docker shows traffic: `1.23kB`, `4.1kB`, `0B`.
pub(crate) fn decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

/// Bytes in powers of 1024 and at most four digits, as Docker shows memory: `1.5GiB`, `64MiB`.
pub(crate) fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

/// A number below `base` with its unit, cut to significant digits, without zeroes at its end: Go's `%.Ng`.
fn scaled(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut power = 0;
    while value >= base && power + 1 < units.len() {
        value /= base;
        power += 1;
    }
    let whole = (value.max(1.0).log10().floor() as usize) + 1;
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units[power])
}

/// How long ago a time was, such as `3 minutes ago`. `created` is in seconds since the epoch.
pub(crate) fn ago(created: i64) -> String {
    format!("{} ago", human_duration(Timestamp::now().as_second().saturating_sub(created)))
}

/// A duration for a person, in Docker's words.
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3600 if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// The instant a user means: RFC 3339, seconds since the epoch, or a duration such as `10m` before now. The answer is
/// what the API takes: seconds and nanoseconds.
pub(crate) fn parse_instant(text: &str) -> Result<String, String> {
    if text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()));
    }
    let past = text
        .parse::<jiff::SignedDuration>()
        .map_err(|_| "use a time such as 2026-01-31T10:00:00Z or a duration such as 10m".to_owned())?;
    let time = Timestamp::now().saturating_sub(past).map_err(|error| error.to_string())?;
    Ok(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("512", 512),
            ("64m", 64 << 20),
            ("1.5g", 3 << 29),
            ("2KiB", 2048),
            ("6MB", 6 << 20),
            ("1t", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "m", "12x", "-1", "1e99"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_cpus("0.5"), Ok(500_000_000));
        assert!(parse_cpus("-1").is_err() && parse_cpus("two").is_err());
    }

    #[test]
    fn sizes_and_times_are_written_as_docker_writes_them() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (13_256, "13.3kB"),
            (187_900_000, "188MB"),
            (1_100_000_000, "1.10GB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
        for (bytes, in_decimal, in_binary) in [
            (0, "0B", "0B"),
            (1023, "1.02kB", "1023B"),
            (1536, "1.54kB", "1.5KiB"),
            (64 << 20, "67.1MB", "64MiB"),
            (3 << 29, "1.61GB", "1.5GiB"),
        ] {
            assert_eq!((decimal(bytes).as_str(), binary(bytes).as_str()), (in_decimal, in_binary));
        }
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (172_800, "2 days"),
            (86_400 * 21, "3 weeks"),
        ] {
            assert_eq!(human_duration(seconds), text);
        }
    }

    #[test]
    fn an_instant_is_absolute_or_before_now() {
        assert_eq!(parse_instant("1970-01-01T00:00:10.5Z").as_deref(), Ok("10.500000000"));
        assert_eq!(parse_instant("12.5").as_deref(), Ok("12.5"));
        assert!(parse_instant("10m").is_ok());
        assert!(parse_instant("yesterday").is_err());
    }
}
