//! The record of the verifiers' work: a test of the datapath loads the programs and tells, here and in each machine.

use anyhow::{Context, Result, ensure};
use beeline_object::{Counts, Series, VERIFIED_PATH, Verified};

use crate::progress::{note, step};
use crate::run::Run;
use crate::workspace::{is_root, root};
use crate::{setup, vm};

/// The test, and the variable that makes it tell what it would compare.
const TEST: &str = "verified::";
const VARIABLE: &str = "BEELINE_RECORD";

/// Measures, and replaces the columns of the kernels that there are; those of others stay.
pub(super) fn run() -> Result<()> {
    ensure!(is_root(), "loading the programs takes root");
    setup::ensure(setup::Purpose::Test)?;
    let arguments = ["test", "--quiet", "--package", "beeline-net", "--test", "datapath", TEST];
    let here = step("load the programs into this kernel", |_| {
        Run::cargo().args(arguments).args(["--", "--nocapture"]).env(VARIABLE, "1").dir(&root()).output()
    })?;
    let mut said = vm::said_by(TEST, VARIABLE)?;
    said.push(here);
    let mut verified = Verified::read(&root())?;
    for text in said {
        let (series, counts) = parse(&text).context("the test told of no program")?;
        note(&format!("Linux {series}: {} instructions in all", counts.values().sum::<u32>()));
        verified.record(series, counts);
    }
    verified.write(&root())?;
    note(&format!("{VERIFIED_PATH} is written: commit it with what made it change"));
    Ok(())
}

/// The lines `verified: SERIES PROGRAM COUNT` of a test's output, which are of one kernel.
fn parse(text: &str) -> Option<(Series, Counts)> {
    let mut counts = Counts::new();
    let mut series = None;
    for line in text.lines() {
        // A test's name may precede what it says, and a console ends its lines in its own way.
        let Some((_, told)) = line.trim().split_once("verified: ") else { continue };
        let [release, program, count] = told.split(' ').collect::<Vec<_>>()[..] else { continue };
        series = Some(release.parse().ok()?);
        counts.insert(program.to_owned(), count.parse().ok()?);
    }
    Some((series?, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_told_is_read_from_a_console_too() {
        let console =
            "test verified::no_program ... verified: 6.1 connect4 120\r\nverified: 6.1 uplink 90\r\nok\r\n";
        let (series, counts) = parse(console).unwrap();
        assert_eq!(series.to_string(), "6.1");
        assert_eq!(counts, Counts::from([("connect4".to_owned(), 120), ("uplink".to_owned(), 90)]));
        assert_eq!(parse("test result: ok. 0 passed\n"), None);
    }
}
