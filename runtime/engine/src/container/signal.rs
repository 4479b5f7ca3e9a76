//! Signals by name and number, as Docker reads them.

use nix::sys::signal::Signal;

use crate::error::Error;

/// The highest signal number, SIGRTMAX.
const LAST: i32 = 64;
/// The first real-time signal a program may use.
const RTMIN: i32 = 34;

/// The number of a signal given as `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-2`.
///
/// # Errors
/// There is no such signal.
pub(crate) fn parse(text: &str) -> Result<i32, Error> {
    let invalid = || Error::Invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=LAST).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return real_time(rest, '+', RTMIN).ok_or_else(invalid);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return real_time(rest, '-', LAST).ok_or_else(invalid);
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| invalid())
}

/// A real-time signal at a distance from `base`.
fn real_time(distance: &str, sign: char, base: i32) -> Option<i32> {
    if distance.is_empty() {
        return Some(base);
    }
    let distance: i32 =
        distance.strip_prefix(sign)?.parse().ok().filter(|distance| (0..=30).contains(distance))?;
    Some(if sign == '+' { base + distance } else { base - distance })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("TERM", Some(15))]
    #[case("SIGKILL", Some(9))]
    #[case("sigusr1", Some(10))]
    #[case("9", Some(9))]
    #[case("64", Some(64))]
    #[case("RTMIN+3", Some(37))]
    #[case("SIGRTMAX-2", Some(62))]
    #[case("0", None)]
    #[case("65", None)]
    #[case("RTMIN+31", None)]
    #[case("NOPE", None)]
    #[case("", None)]
    fn signals_are_read_as_docker_reads_them(#[case] text: &str, #[case] number: Option<i32>) {
        assert_eq!(parse(text).ok(), number);
    }
}
