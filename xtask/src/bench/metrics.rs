//! What a scrape costs: its time, and the daemon's processor time, with few containers and with many.

use std::path::Path;

use anyhow::{Context, Result};
use beeline_testbed::command::text;
use serde_json::{Value, json};

use super::report;
use crate::interrupt;
use crate::progress::Step;
use crate::stage::Stage;

const IMAGE: &str = "beeline/whoami";
/// Containers that run while scrapes are measured.
const NUMBERS: [usize; 2] = [20, 100];
/// How often Prometheus scrapes with the shipped configuration, in seconds.
const INTERVAL: f64 = 15.0;
/// The kernel's unit of processor time in /proc, in seconds.
const TICK: f64 = 0.01;

/// Scrapes with one number of containers.
struct Scrapes {
    containers: usize,
    milliseconds: Vec<f64>,
    bytes: u64,
    /// Processor time of the daemon for one scrape, in milliseconds.
    processor: f64,
    /// The daemon's resident memory after them, in MiB.
    resident: f64,
}

/// All measurements.
pub(super) struct Metrics(Vec<Scrapes>);

/// Scrapes `count` times with each number of containers.
pub(super) fn measure(stage: &Stage, count: u32) -> Result<Metrics> {
    let step = Step::start(format!("scrapes, {count} with each number of containers"));
    let mut running = 0;
    let mut all = Vec::new();
    for containers in NUMBERS {
        while running < containers {
            interrupt::check()?;
            step.detail(&format!("container {}", running + 1));
            text(stage.beeline().args(["run", "-d", IMAGE]))?;
            running += 1;
        }
        step.detail(&format!("{containers} containers"));
        // The first one warms the caches up, and has the layers measured.
        scrape(stage)?;
        let before = ticks(stage.daemon_pid())?;
        let scrapes = (0..count).map(|_| scrape(stage)).collect::<Result<Vec<_>>>()?;
        let processor = (ticks(stage.daemon_pid())? - before) as f64 * TICK * 1e3 / f64::from(count);
        let (milliseconds, bytes): (Vec<f64>, Vec<u64>) = scrapes.into_iter().unzip();
        let bytes = bytes.last().copied().unwrap_or(0);
        all.push(Scrapes {
            containers,
            milliseconds,
            bytes,
            processor,
            resident: resident(stage.daemon_pid())?,
        });
    }
    step.done("");
    Ok(Metrics(all))
}

/// The milliseconds until the whole page has arrived, and its bytes.
fn scrape(stage: &Stage) -> Result<(f64, u64)> {
    let mut curl = stage.topology.host.command("curl");
    curl.args(["-sS", "--fail", "--max-time", "30", "-o", "/dev/null"]);
    curl.args(["-w", "%{time_total} %{size_download}", "http://127.0.0.1:9323/metrics"]);
    let said = text(&mut curl)?;
    let (seconds, bytes) = said.split_once(' ').context("curl says how long it took")?;
    Ok((seconds.parse::<f64>()? * 1e3, bytes.parse()?))
}

/// The processor time of a process in the kernel's unit: utime and stime of proc_pid_stat(5).
fn ticks(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(Path::new(&path)).with_context(|| format!("read {path}"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context(path.clone());
    Ok(field(11)? + field(12)?)
}

fn resident(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context(path)?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

impl Metrics {
    pub(super) fn table(&self) -> String {
        let row = |scrapes: &Scrapes| {
            vec![
                format!("{} containers", scrapes.containers),
                format!("{:.1} ms", report::median(&scrapes.milliseconds)),
                format!("{:.1} ms", scrapes.processor),
                format!("{:.3} %", scrapes.processor / 1e3 / INTERVAL * 100.0),
                format!("{} kB", scrapes.bytes / 1000),
                format!("{:.0} MiB", scrapes.resident),
            ]
        };
        let rows: Vec<Vec<String>> = self.0.iter().map(row).collect();
        let heads =
            ["a scrape with", "median", "processor time", "of a core every 15 s", "page", "daemon's memory"];
        report::table(&heads, &rows)
    }

    pub(super) fn json(&self) -> Value {
        let entry = |scrapes: &Scrapes| {
            json!({
                "containers": scrapes.containers,
                "median_ms": report::median(&scrapes.milliseconds),
                "runs_ms": scrapes.milliseconds,
                "processor_ms": scrapes.processor,
                "page_bytes": scrapes.bytes,
                "resident_mib": scrapes.resident,
            })
        };
        self.0.iter().map(entry).collect()
    }
}
