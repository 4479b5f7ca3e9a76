//! What is measured only where it is asked for, as it costs something.

use anyhow::Result;
use beeline_engine::Watch;

use super::either;

/// The flags.
#[derive(Debug, clap::Args)]
pub(super) struct WatchFlags {
    /// Measure how long containers wait for processors and block devices: some percent of a busy processor
    #[arg(long)]
    latency_histograms: bool,
    /// Have the kernel count the runs of BPF programs and their time: two readings of a clock for each run on the machine
    #[arg(long)]
    program_statistics: bool,
}

/// Merges the flags with the keys of daemon.json.
pub(super) fn watch(
    flags: &WatchFlags,
    latency_histograms: Option<bool>,
    program_statistics: Option<bool>,
) -> Result<Watch> {
    let merged = |key, flag: bool, file| -> Result<bool> {
        Ok(either(key, flag.then_some(true), file)?.unwrap_or(false))
    };
    Ok(Watch {
        latencies: merged("latency-histograms", flags.latency_histograms, latency_histograms)?,
        program_runs: merged("program-statistics", flags.program_statistics, program_statistics)?,
    })
}
