//! `cargo xtask bench`: what packets, containers and figures cost, beside what they cost with others and could cost at
//! best.
//!
//! Everything is measured in one run, in turns, because a machine's mood changes: only the ratios of one run compare.

mod api;
mod metrics;
mod net;
mod peer;
mod report;
mod run;
mod work;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::build;
use crate::progress::note;
use crate::setup::{self, Purpose};
use crate::stage::Stage;
use crate::workspace::{is_root, target_directory};

/// What there is to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Ways of packets
    Net,
    /// Starts of containers, commands in them, their ends and their memory
    Run,
    /// Scrapes of the metrics, and what watching containers costs
    Metrics,
}

/// Measure ways of packets and lives of containers beside their peers, and scrapes
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this
    #[arg(value_enum, value_name = "PART")]
    part: Option<Part>,
    /// Turns of every way; the median counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Seconds of each measurement of a way
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    seconds: f64,
    #[command(flatten)]
    run: run::Extent,
    #[command(flatten)]
    metrics: metrics::Scraping,
    /// Measure this binary instead of building one, for a comparison
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What is measured on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Requests and answers of 64 bytes over one connection.
    Requests,
    /// The same with a connection for each.
    Connections,
    /// Bulk data over one connection.
    Stream,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Requests, Self::Connections, Self::Stream];

    /// As the load command takes it.
    fn argument(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Connections => "connections",
            Self::Stream => "stream",
        }
    }
}

impl Arguments {
    #[allow(clippy::print_stdout, reason = "the tables are the result of this task")]
    pub(crate) fn run(self) -> Result<()> {
        ensure!(is_root(), "the bench makes network namespaces and loads BPF programs: run it as root");
        ensure!(self.seconds > 0.0 && self.seconds <= 60.0, "--seconds goes up to 60");
        setup::ensure(Purpose::Bench)?;
        setup::ensure_peers();
        let binary = build::given_or_release(self.binary)?;
        let output = target_directory()?.join("bench");
        std::fs::create_dir_all(&output).with_context(|| format!("create {}", output.display()))?;

        let includes = |part| self.part.is_none_or(|only| only == part);
        let mut report = json!({ "machine": report::machine() });
        let mut tables = Vec::new();
        if includes(Part::Net) {
            let stage = Stage::build(&binary, "beeline-bench", &["--accelerate-host"])?;
            let net = net::measure(&stage, &output, self.rounds, self.seconds)?;
            stage.clear()?;
            report["net"] = net.json();
            tables.push(net.tables());
        }
        if includes(Part::Run) {
            let run = run::measure(&binary, &output, self.run)?;
            report["run"] = run.json();
            tables.push(run.table());
        }
        if includes(Part::Metrics) {
            let metrics = metrics::measure(&binary, &output, self.metrics, self.rounds, self.seconds)?;
            report["metrics"] = metrics.json();
            tables.push(metrics.table());
        }

        println!("\n{}", tables.join("\n"));
        let file = output.join("bench.json");
        std::fs::write(&file, format!("{report:#}\n"))
            .with_context(|| format!("write {}", file.display()))?;
        note(&format!("the same as JSON, with every run: {}", file.display()));
        Ok(())
    }
}
