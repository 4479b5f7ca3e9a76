//! The spawner and its shims with real containers, as root: `/bin/busybox` (Debian's busybox-static) in a directory.
//!
//! The executable enters itself again as the spawner, as the daemon's does, and as a daemon that can be killed.

#![allow(clippy::unwrap_used, reason = "a test without the harness that the lint knows tests by")]

mod execs;
mod faults;
mod fixture;
mod lifecycle;
mod load;
mod streams;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some(beeline_spawn::SPAWNER_ARG) => beeline_spawn::spawner_main(),
        Some(faults::DAEMON_ARG) => faults::daemon(&args.collect::<Vec<_>>()),
        _ => {}
    }
    let tests = lifecycle::TESTS
        .iter()
        .chain(streams::TESTS)
        .chain(faults::TESTS)
        .chain(execs::TESTS)
        .chain(load::TESTS);
    let trials = tests.map(|(name, test)| Trial::test(*name, || as_root(*test))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test and its name.
type Test = (&'static str, fn());

/// Lists functions as tests.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { pub(crate) const TESTS: &[crate::Test] = &[$((stringify!($name), $name)),*]; };
}
pub(crate) use tests;

fn as_root(test: fn()) -> Result<(), Failed> {
    if !rustix::process::geteuid().is_root() {
        #[allow(clippy::print_stdout, reason = "a test that did not run must say so")]
        {
            println!("skipped: needs root");
        }
        return Ok(());
    }
    test();
    Ok(())
}
