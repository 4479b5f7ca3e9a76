//! `cargo xtask test`: everything that must hold before a change is merged. CI calls just this.
//!
//! With arguments it runs only those tests: they go to nextest, and nothing but the tests is checked.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use beeline_object::Toolchain;

use crate::progress::{note, seconds, step};
use crate::run::Run;
use crate::setup::{self, Purpose};
use crate::workspace::{is_root, root};
use crate::{bpf, build, tidy, vm};

/// Run every check and test, or only the tests that the arguments select
///
/// `cargo xtask test publish` runs the tests with "publish" in their names, without the lints. All arguments go to
/// nextest: `cargo xtask test -p beeline-net`, `cargo xtask test -E 'test(=whole::name)' --no-capture`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Names or options for nextest; the lints are left out then
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NEXTEST ARGUMENTS")]
    nextest: Vec<OsString>,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<()> {
        let start = Instant::now();
        setup::ensure(Purpose::Test)?;
        if !is_root() {
            note("not root: the tests that make containers and networks will say that they are skipped");
        }
        let root = root();
        if self.nextest.is_empty() {
            checks(&root)?;
        }
        let binary = build::release_binary()?;
        if self.nextest.is_empty() {
            step("documentation tests", |step| {
                cargo(&root).args(["test", "--quiet", "--workspace", "--doc"]).quiet(step)
            })?;
            vm::core(&binary)?;
            note(&format!("checks passed, the tests come now ({} so far)", seconds(start.elapsed())));
        }
        // Last, so that nextest's summary is the last thing to be read.
        let status = cargo(&root)
            .args(["nextest", "run", "--workspace"])
            .args(&self.nextest)
            .env("BEELINE_BIN", &binary)
            .status()
            .context("run the tests")?;
        if !status.success() {
            bail!("tests failed; `cargo xtask test NAME` runs one of them");
        }
        Ok(())
    }
}

/// What is checked beside the tests, the quickest first.
fn checks(root: &Path) -> Result<()> {
    step("cargo fmt --check (mend with `cargo fmt --all`)", |step| {
        cargo(root).args(["fmt", "--all", "--check", "--", "--color=never", "--files-with-diff"]).quiet(step)
    })?;
    tidy::Arguments {}.run()?;
    // The advisory database would have to be fetched, so it is left to the maintainers' own runs.
    step("cargo deny: licences, bans and sources (no advisories: they need the network)", |step| {
        cargo(root).args(["deny", "--locked", "check", "licenses", "bans", "sources"]).quiet(step)
    })?;
    check_bpf_object()?;
    step("clippy", |step| {
        cargo(root)
            .args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])
            .quiet(step)
    })
}

/// Rebuilds the BPF object and compares, where the toolchain is there or this is CI.
fn check_bpf_object() -> Result<()> {
    let ci = std::env::var_os("CI").is_some();
    if !ci && Toolchain::find().is_err() {
        note("skipped: rebuilding ebpf/prebuilt needs the BPF toolchain, `cargo xtask setup --for bpf`");
        return Ok(());
    }
    bpf::check()
}

/// Cargo in the workspace, without the variables of the cargo that started this task.
fn cargo(root: &Path) -> Run {
    Run::cargo().dir(root)
}
