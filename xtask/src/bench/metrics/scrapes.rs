//! What a scrape costs, with few containers and with many.

use std::path::Path;

use anyhow::{Context, Result};
use beeline_testbed::busybox_tar;
use beeline_testbed::command::text;
use serde_json::Value;

use super::Scraping;
use crate::bench::api::Api;
use crate::bench::peer::{self, Engine};
use crate::bench::run::{create, proportional, sleeper};
use crate::bench::work::{Goal, OURS, Unit, Work};
use crate::interrupt;
use crate::progress::Step;
use crate::stage::Stage;

/// Containers that run while scrapes are measured, before the largest number.
const FEW: u32 = 20;
const SOME: u32 = 100;
/// How many containers the goals for many are about.
const MANY: u32 = 1000;
/// How often Prometheus scrapes with the shipped configuration, in seconds.
const INTERVAL: f64 = 15.0;
/// The kernel's unit of processor time in /proc, in seconds.
const TICK: f64 = 0.01;

/// Scrapes with one number of containers.
struct Scrapes {
    milliseconds: Vec<f64>,
    /// Of one processor's time, in percent.
    processor: f64,
    /// What the daemon's memory grew by, in MiB.
    memory: f64,
}

pub(super) fn measure(stage: &Stage, output: &Path, extent: Scraping) -> Result<Vec<Work>> {
    peer::import(stage, &busybox_tar(output)?, peer::IMAGE)?;
    let mut api = Api::of(&Engine::socket(stage).context("Beeline has a socket")?)?;
    let step = Step::start(format!("scrapes, {} with each number of containers", extent.scrapes));
    let mut works = Vec::new();
    let mut running = 0;
    for containers in [FEW, SOME, extent.scraped] {
        while running < containers {
            interrupt::check()?;
            running += 1;
            step.detail(&format!("container {running} of {containers}"));
            let id = create(&mut api, &sleeper(None))?;
            api.post(&format!("/containers/{id}/start"), &Value::Null)?;
        }
        step.detail(&format!("{containers} containers"));
        works.extend(of(&scrapes(stage, extent.scrapes)?, containers));
    }
    step.done("");
    Ok(works)
}

fn scrapes(stage: &Stage, count: u32) -> Result<Scrapes> {
    let daemon = Path::new("/proc").join(stage.daemon_pid().to_string());
    let memory = proportional(&daemon)?;
    // It has the layers measured, and warms caches up: what is kept for that counts as memory, not as time.
    scrape(stage)?;
    let before = ticks(&daemon)?;
    let milliseconds = (0..count).map(|_| scrape(stage)).collect::<Result<Vec<f64>>>()?;
    let seconds = (ticks(&daemon)? - before) as f64 * TICK / f64::from(count);
    let grown = (proportional(&daemon)? - memory) / 1024.0;
    Ok(Scrapes { milliseconds, processor: seconds / INTERVAL * 100.0, memory: grown })
}

fn of(scrapes: &Scrapes, containers: u32) -> [Work; 3] {
    let goals = |number: u32, goal| if containers == number { vec![goal] } else { Vec::new() };
    let most =
        if containers == FEW { goals(FEW, Goal::AtMost(2.0)) } else { goals(MANY, Goal::AtMost(40.0)) };
    let title = |what: &str| format!("{what}, {containers} containers");
    let mut time = Work::new(title("a scrape"), Unit::Milliseconds, &most);
    scrapes.milliseconds.iter().for_each(|&took| time.add(OURS, OURS, took));
    let goals_of_time = goals(SOME, Goal::AtMost(0.1));
    let mut processor = Work::new(title("scrapes every 15 s, of a core"), Unit::Percent, &goals_of_time);
    processor.add(OURS, OURS, scrapes.processor);
    let mut memory = Work::new(title("memory of scrapes"), Unit::MiB, &goals(MANY, Goal::AtMost(8.0)));
    memory.add(OURS, OURS, scrapes.memory);
    [time, processor, memory]
}

/// The milliseconds until the whole page has arrived.
fn scrape(stage: &Stage) -> Result<f64> {
    let mut curl = stage.topology.host.command("curl");
    curl.args(["-sS", "--fail", "--max-time", "30", "-o", "/dev/null"]);
    curl.args(["-w", "%{time_total}", "http://127.0.0.1:9323/metrics"]);
    Ok(text(&mut curl)?.parse::<f64>()? * 1e3)
}

/// The processor time of a process in the kernel's unit: utime and stime of proc_pid_stat(5).
fn ticks(process: &Path) -> Result<u64> {
    let path = process.join("stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context(stat.clone());
    Ok(field(11)? + field(12)?)
}
