//! Container engines side by side: Beeline and those that a machine may have, each on a host of its own.

mod dockerd;
mod podman;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use beeline_testbed::Topology;
use beeline_testbed::command::text;
use serde_json::Value;

use super::work::OURS;
use crate::progress::{Step, note};
use crate::stage::Stage;

/// What is run in the containers: busybox.
pub(super) const IMAGE: &str = "beeline-bench/busybox";

/// An engine that runs.
pub(super) trait Engine {
    /// As the tables tell it apart.
    fn name(&self) -> &'static str;

    /// As the tables call it: with its version, say.
    fn title(&self) -> String;

    /// The host it serves, and a client of that.
    fn topology(&self) -> &Topology;

    /// Its command line client, which takes Docker's commands.
    fn client(&self) -> Command;

    /// What its `run` needs beside Docker's options, here.
    fn run_options(&self) -> Vec<String> {
        Vec::new()
    }

    /// What its `rm` needs to end a running container at once.
    fn remove_options(&self) -> &'static [&'static str] {
        &["--force"]
    }

    /// Where a daemon answers Docker's API, if there is one.
    fn socket(&self) -> Option<PathBuf>;
}

impl Engine for Stage {
    fn name(&self) -> &'static str {
        OURS
    }

    fn title(&self) -> String {
        self.name().to_owned()
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn client(&self) -> Command {
        self.beeline()
    }

    fn socket(&self) -> Option<PathBuf> {
        Some(self.directories.socket())
    }
}

/// The peers that run here, and why others do not.
pub(super) struct Peers {
    pub(super) present: Vec<Box<dyn Engine>>,
    pub(super) absent: Vec<(&'static str, String)>,
}

impl Peers {
    /// Starts what there is, and has each run a container with a published port once.
    pub(super) fn start(image: &Path) -> Self {
        let step = Step::start("start the peers, each with a host of its own");
        let mut peers = Self { present: Vec::new(), absent: Vec::new() };
        let started: [(&str, Result<Box<dyn Engine>>); 2] =
            [("dockerd", dockerd::start()), ("podman", podman::start())];
        for (name, engine) in started {
            let tried = engine.and_then(|engine| {
                import(engine.as_ref(), image, IMAGE)?;
                text(&mut run(engine.as_ref(), &["--rm", "--publish", "9001:80"], IMAGE, &["true"]))?;
                Ok(engine)
            });
            match tried {
                Ok(engine) => peers.present.push(engine),
                Err(error) => {
                    note(&format!("{name} cannot run here: {error:#}"));
                    peers.absent.push((name, brief(&error)));
                }
            }
        }
        step.done("");
        peers
    }
}

/// The innermost reason, as much as fits a table.
pub(super) fn brief(error: &anyhow::Error) -> String {
    let reason = error.root_cause().to_string();
    let line = reason.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(40).collect()
}

/// Makes an image of a root file system's archive.
pub(super) fn import(engine: &dyn Engine, tar: &Path, image: &str) -> Result<()> {
    text(engine.client().arg("import").arg(tar).arg(image)).map(drop)
}

/// The command line that runs a container.
pub(super) fn run(engine: &dyn Engine, options: &[&str], image: &str, command: &[&str]) -> Command {
    let mut client = engine.client();
    client.arg("run").args(options).args(engine.run_options()).arg(image).args(command);
    client
}

/// What `inspect` says of a container.
pub(super) fn inspect(engine: &dyn Engine, container: &str) -> Result<Value> {
    let said = text(engine.client().args(["inspect", container]))?;
    let mut inspected: Value = serde_json::from_str(&said).context("read what inspect says")?;
    Ok(inspected[0].take())
}

/// The process id of a container's first process.
pub(super) fn process_of(inspected: &Value) -> Result<u32> {
    let pid = inspected["State"]["Pid"].as_u64().filter(|&pid| pid > 0);
    Ok(u32::try_from(pid.context("the container has no process")?)?)
}

/// Removes an engine's containers, as far as that succeeds: what is left, a sweep ends by force.
fn remove_all(engine: &dyn Engine) {
    let removed = text(engine.client().args(["ps", "--all", "--quiet"])).and_then(|containers| {
        let containers: Vec<&str> = containers.lines().collect();
        if containers.is_empty() {
            return Ok(());
        }
        text(engine.client().arg("rm").args(engine.remove_options()).args(containers)).map(drop)
    });
    if let Err(error) = removed {
        note(&format!("while the containers of {} ended: {error:#}", engine.name()));
    }
}
