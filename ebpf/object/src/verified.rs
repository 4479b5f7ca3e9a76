//! How much work the kernels' verifiers have with the programs: what is recorded, and what has grown since.

use std::{collections::BTreeMap, fmt, fs, path::Path, str::FromStr};

use crate::Error;

/// The record, relative to the repository's root.
pub const VERIFIED_PATH: &str = "ebpf/VERIFIED";

/// Growth over this many percent is an objection: it is either meant, and recorded, or a mistake.
const TOLERANCE: u64 = 10;

/// A series of kernels: the first two numbers of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    major: u32,
    minor: u32,
}

impl FromStr for Series {
    type Err = std::num::ParseIntError;

    /// Reads a series (`6.12`), or takes that of a release (`6.12.117+deb12-amd64`).
    fn from_str(release: &str) -> Result<Self, Self::Err> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().unwrap_or_default().parse();
        Ok(Self { major: next()?, minor: next()? })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// Instructions that a verifier processed, by program.
pub type Counts = BTreeMap<String, u32>;

/// Instructions that the verifier of each series of kernels processed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    by_series: BTreeMap<Series, Counts>,
}

impl Verified {
    /// Reads the record of the repository at `root`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Verified`].
    pub fn read(root: &Path) -> Result<Self, Error> {
        let path = root.join(VERIFIED_PATH);
        let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Self::parse(&text)
    }

    /// Replaces the record of the repository at `root`.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, root: &Path) -> Result<(), Error> {
        let path = root.join(VERIFIED_PATH);
        fs::write(&path, self.to_string()).map_err(|source| Error::Write { path, source })
    }

    /// Reads the table; columns and their order are the first line's.
    fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let wrong = |line: &str| Error::Verified { line: line.into() };
        let heading = lines.next().unwrap_or_default();
        let columns: Vec<Series> = heading
            .split_whitespace()
            .skip(1)
            .map(|word| word.parse().map_err(|_| wrong(heading)))
            .collect::<Result<_, _>>()?;
        let mut verified = Self::default();
        for line in lines {
            let mut words = line.split_whitespace();
            let program = words.next().ok_or_else(|| wrong(line))?;
            for (column, word) in columns.iter().zip(words) {
                // A program that was not there when this series was measured.
                if word != "-" {
                    let count = word.parse().map_err(|_| wrong(line))?;
                    verified.by_series.entry(*column).or_default().insert(program.into(), count);
                }
            }
        }
        Ok(verified)
    }

    /// Records what the verifier of a series processed, in place of what was recorded for it.
    pub fn record(&mut self, series: Series, counts: Counts) {
        self.by_series.insert(series, counts);
    }

    /// What speaks against these counts, one line each; none if the series is not recorded.
    pub fn objections(&self, series: Series, counts: &Counts) -> Option<Vec<String>> {
        let recorded = self.by_series.get(&series)?;
        let object = |(program, count): (&String, &u32)| {
            let Some(before) = recorded.get(program) else {
                return Some(format!("{program}: {count} instructions, and none recorded"));
            };
            let has_grown = u64::from(*count) * 100 > u64::from(*before) * (100 + TOLERANCE);
            has_grown.then(|| {
                let percent = (f64::from(*count) / f64::from(*before) - 1.0) * 100.0;
                format!("{program}: {before} instructions have become {count}, {percent:.1} % more")
            })
        };
        Some(counts.iter().filter_map(object).collect())
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Instructions that the verifier of each series of kernels processes before it lets a program run."
        )?;
        writeln!(
            f,
            "# Written by `cargo xtask bpf --record`; a test fails when one grows by more than {TOLERANCE} %."
        )?;
        write!(f, "{:<20}", "program")?;
        for series in self.by_series.keys() {
            write!(f, "{series:>9}")?;
        }
        let programs: std::collections::BTreeSet<&String> =
            self.by_series.values().flat_map(BTreeMap::keys).collect();
        for program in programs {
            write!(f, "\n{program:<20}")?;
            for counts in self.by_series.values() {
                match counts.get(program) {
                    Some(count) => write!(f, "{count:>9}")?,
                    None => write!(f, "{:>9}", "-")?,
                }
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> Series {
        text.parse().expect("series")
    }

    fn counts(pairs: &[(&str, u32)]) -> Counts {
        pairs.iter().map(|(program, count)| ((*program).to_owned(), *count)).collect()
    }

    fn record() -> Verified {
        let mut verified = Verified::default();
        verified.record(series("6.12"), counts(&[("connect4", 100), ("uplink", 2000)]));
        verified.record(series("6.1"), counts(&[("uplink", 1000)]));
        verified
    }

    #[test]
    fn a_series_is_the_first_two_numbers_of_a_release_and_6_1_is_before_6_12() {
        assert_eq!(series("6.12.117+deb12-amd64"), series("6.12"));
        assert_eq!(series("6.1.0-56-amd64").to_string(), "6.1");
        assert!(series("6.2-rc1") < series("6.12"));
        assert!("linux".parse::<Series>().is_err());
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let text = record().to_string();
        assert_eq!(Verified::parse(&text).expect("parse"), record(), "{text}");
        assert!(text.contains("\nconnect4                    -      100\n"), "{text}");
    }

    #[test]
    fn a_line_that_is_no_count_is_named() {
        let error = Verified::parse("program 6.1\nuplink many\n").expect_err("no number");
        assert!(error.to_string().contains("`uplink many`"), "{error}");
    }

    #[test]
    fn growth_over_a_tenth_and_a_new_program_are_objections_and_less_is_none() {
        let object = |pairs| record().objections(series("6.12"), &counts(pairs)).expect("recorded");
        assert_eq!(object(&[("uplink", 2200), ("connect4", 50)]), [""; 0]);
        assert_eq!(object(&[("uplink", 2201)]), ["uplink: 2000 instructions have become 2201, 10.1 % more"]);
        assert_eq!(object(&[("new", 1)]), ["new: 1 instructions, and none recorded"]);
    }

    #[test]
    fn a_series_that_is_not_recorded_is_not_judged() {
        assert_eq!(record().objections(series("7.0"), &counts(&[("uplink", 9999)])), None);
    }
}
