//! Cargo's helpers that come from the registry: installed at the version the tests were written with.

use anyhow::Result;

use crate::progress::step;
use crate::run::Run;
use crate::workspace::find_program;

/// A cargo subcommand from the registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    program: &'static str,
    krate: &'static str,
    version: &'static str,
    options: &'static [&'static str],
}

pub(crate) const NEXTEST: Tool = Tool {
    program: "cargo-nextest",
    krate: "cargo-nextest",
    version: "0.9.143",
    options: &["--no-default-features", "--features", "default-no-update"],
};

/// Licences, bans and sources are checked; the advisories would have to be fetched.
pub(crate) const DENY: Tool =
    Tool { program: "cargo-deny", krate: "cargo-deny", version: "0.20.2", options: &[] };

/// Installs those of `tools` that are missing; any version that is there will do.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    for tool in tools.iter().filter(|tool| find_program(tool.program).is_none()) {
        install(tool.krate, tool.version, tool.options, &[])?;
    }
    Ok(())
}

/// `cargo install`, built for a short compilation rather than for speed.
pub(crate) fn install(krate: &str, version: &str, options: &[&str], env: &[(&str, &str)]) -> Result<()> {
    step(&format!("cargo install {krate} {version}"), |step| {
        let run = Run::cargo()
            .args(["install", "--locked", krate, "--version", version])
            .args(options)
            // Elsewhere, so that this workspace's target and flags stay out of the tool's build.
            .dir(&std::env::temp_dir())
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env_remove("CARGO_TARGET_DIR");
        env.iter().fold(run, |run, (key, value)| run.env(key, value)).quiet(step)
    })
}
