//! Proportional memory (PSS): pages that processes share count in parts.

use std::path::Path;

use anyhow::{Context, Result};
use beeline_testbed::command::text;
use beeline_testbed::processes;

use crate::bench::peer::{Engine, IMAGE, inspect, process_of, run};
use crate::bench::work::{Goal, OURS, Unit, Work};
use crate::interrupt;
use crate::progress::Step;

/// Peers hold no more idle containers than these: theirs take long to start.
const PEERS_IDLE: u32 = 20;

/// How many containers the goal for all of them is about.
const MANY: u32 = 1000;

pub(super) struct Memory {
    idle: Work,
    beside: Work,
    all: Work,
}

impl Memory {
    /// Measures the engines without containers.
    pub(super) fn begin(engines: &[&dyn Engine]) -> Result<Self> {
        let mut idle = Work::new("memory of an idle engine", Unit::MiB, &[Goal::AtMost(20.0)]);
        for engine in engines {
            match engine.socket() {
                Some(_) => idle.add(engine.name(), &engine.title(), in_all(*engine)? / 1024.0),
                None => idle.absent(engine.name(), "it has no daemon"),
            }
        }
        let beside = Work::new("memory beside a container", Unit::KiB, &[Goal::AtMost(400.0)]);
        Ok(Self { idle, beside, all: Work::new("", Unit::MiB, &[]) })
    }

    /// Measures them with idle containers.
    pub(super) fn fill(&mut self, engines: &[&dyn Engine], count: u32) -> Result<()> {
        let goals: &[Goal] = if count == MANY { &[Goal::AtMost(600.0)] } else { &[] };
        self.all = Work::new(format!("memory with {count} idle containers"), Unit::MiB, goals);
        let step = Step::start(format!("memory with {count} idle containers"));
        for engine in engines {
            let (name, title) = (engine.name(), engine.title());
            let own = name == OURS;
            let count = if own { count } else { count.min(PEERS_IDLE) };
            let mut ids = Vec::new();
            for number in 0..count {
                interrupt::check()?;
                step.detail(&format!("{name}, {} of {count}", number + 1));
                ids.push(text(&mut run(*engine, &["--detach"], IMAGE, &["sleep", "3600"]))?);
            }
            for id in ids.iter().take(10) {
                let shim = parent(process_of(&inspect(*engine, id)?)?)?;
                self.beside.add(
                    name,
                    &title,
                    proportional(Path::new("/proc").join(shim.to_string()).as_path())?,
                );
            }
            let title = if own { title } else { format!("{title}, {count} of them") };
            self.all.add(name, &title, in_all(*engine)? / 1024.0);
            for id in ids {
                text(engine.client().arg("rm").args(engine.remove_options()).arg(id))?;
            }
        }
        step.done("");
        Ok(())
    }

    pub(super) fn works(self) -> [Work; 3] {
        [self.idle, self.beside, self.all]
    }
}

/// Of the engine with its containers, in KiB.
fn in_all(engine: &dyn Engine) -> Result<f64> {
    // One may end while it is looked at; what is left of it then is nothing.
    let sizes = processes(engine.topology()).into_iter().filter(|process| process.exists());
    sizes.map(|process| proportional(&process)).sum()
}

/// Of a process, by its directory in /proc, in KiB.
pub(in crate::bench) fn proportional(process: &Path) -> Result<f64> {
    let path = process.join("smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).with_context(|| text.clone())?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// The parent of a container's first process: what stands beside the container.
fn parent(pid: u32) -> Result<u32> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("find a container's parent")?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("it has no parent")?;
    Ok(line.trim().parse()?)
}
