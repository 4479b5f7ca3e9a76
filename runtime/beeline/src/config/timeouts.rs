//! How long silent connections are remembered.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use beeline_engine::Timeouts;
use jiff::SignedDuration;

use super::either;

const KEY: &str = "conntrack-timeouts";

/// A kind of connections, and where its time is kept.
type Kind = (&'static str, fn(&mut Timeouts) -> &mut u64);

const KINDS: [Kind; 7] = [
    ("tcp-opening", |timeouts| &mut timeouts.tcp_opening),
    ("tcp-established", |timeouts| &mut timeouts.tcp_established),
    ("tcp-closed", |timeouts| &mut timeouts.tcp_closed),
    ("tcp-reset", |timeouts| &mut timeouts.tcp_reset),
    ("udp", |timeouts| &mut timeouts.udp),
    ("icmp", |timeouts| &mut timeouts.icmp),
    ("other", |timeouts| &mut timeouts.other),
];

/// What was given for one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    kind: usize,
    nanoseconds: u64,
}

impl Given {
    fn new(kind: &str, duration: &str) -> Result<Self, String> {
        let names = KINDS.map(|(name, _)| name);
        let kind = names
            .iter()
            .position(|name| *name == kind)
            .ok_or_else(|| format!("{kind:?} is no kind of connections: use one of {}", names.join(", ")))?;
        let parsed: Option<SignedDuration> = duration.parse().ok();
        let nanoseconds = parsed
            .filter(|duration| *duration >= SignedDuration::from_secs(1))
            .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
            .ok_or_else(|| {
                format!("{duration:?} is no duration of a second or more: use one such as 30s, 5m or 24h")
            })?;
        Ok(Self { kind, nanoseconds })
    }
}

/// Reads `udp=30s`.
pub(super) fn parse(text: &str) -> Result<Given, String> {
    let (kind, duration) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not KIND=DURATION, such as udp=30s"))?;
    Given::new(kind, duration)
}

/// The defaults, with what was given in their place.
pub(super) fn timeouts(flags: Vec<Given>, file: Option<BTreeMap<String, String>>) -> Result<Timeouts> {
    let flags = (!flags.is_empty()).then_some(flags);
    let entries = |entries: BTreeMap<String, String>| {
        entries.iter().map(|(kind, duration)| Given::new(kind, duration)).collect::<Result<Vec<_>, _>>()
    };
    let file = file.map(entries).transpose().map_err(|reason| anyhow!("{KEY}: {reason}"))?;
    let mut timeouts = Timeouts::NORMAL;
    for given in either(KEY, flags, file)?.unwrap_or_default() {
        *KINDS[given.kind].1(&mut timeouts) = given.nanoseconds;
    }
    Ok(timeouts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn of_file(kind: &str, duration: &str) -> Result<Timeouts> {
        timeouts(Vec::new(), Some([(kind.to_owned(), duration.to_owned())].into()))
    }

    #[test]
    fn what_is_given_takes_the_place_of_the_default() {
        let given = vec![parse("udp=30s").unwrap(), parse("tcp-established=2h 30m").unwrap()];
        let expected = Timeouts { udp: 30 * SECOND, tcp_established: 9000 * SECOND, ..Timeouts::NORMAL };
        assert_eq!(timeouts(given, None).unwrap(), expected);
        assert_eq!(of_file("icmp", "5s").unwrap(), Timeouts { icmp: 5 * SECOND, ..Timeouts::NORMAL });
        for (kind, _) in KINDS {
            assert_ne!(of_file(kind, "77s").unwrap(), Timeouts::NORMAL, "{kind} is kept somewhere");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (kind, duration, word) in [
            ("upd", "30s", "tcp-opening"),
            ("udp", "0s", "a second or more"),
            ("udp", "-1m", "24h"),
            ("udp", "30", "30s"),
        ] {
            let error = of_file(kind, duration).unwrap_err().to_string();
            assert!(error.starts_with("conntrack-timeouts: ") && error.contains(word), "{error}");
        }
        assert!(parse("udp").unwrap_err().contains("KIND=DURATION"));
        let both = timeouts(vec![parse("udp=30s").unwrap()], Some(BTreeMap::new()));
        assert!(both.unwrap_err().to_string().contains("remove one of them"));
    }
}
