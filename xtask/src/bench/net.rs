//! Ways of packets, each scenario beside the best and the usual way.
//!
//! | scenario            | ways |
//! |---------------------|------|
//! | to a published port | `ceiling`: a server on the host itself; `contained`: in a container on the host's own network; `routed`: in a container, by plain routing without netfilter; `beeline`; `iptables`: what Docker sets up |
//! | by loopback         | `ceiling`: a server on the host itself; `beeline`: a port that it publishes, both by 127.0.0.1 |
//! | between containers  | `bridge`: a Linux bridge without netfilter; `beeline`; `bridge, iptables`: one that has iptables' rules to pass |
//! | accelerated         | `loopback`: within one network namespace; `beeline`: between containers; `accelerated`: between those of a network that is; `accelerated, from the host`: by 127.0.0.1 to a port that one of them publishes |
//! | to the outside      | `routed`: plain routing without netfilter; `beeline`: masquerade; `iptables`: masquerade |
//!
//! Beside these, dockerd and podman where they run, and what it takes to publish a range of ports.
//!
//! The containers are alike, Beeline's own all of them, so that each server pays the same for its control groups and its
//! system call filter; only the way of the packets differs. Each way has a host of its own, so that none pays for
//! another's rules or programs.

mod figures;
mod goals;
mod peers;
mod publish;
mod ways;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use beeline_testbed::command::{eventually, text};
use serde_json::{Value, json};

use super::{Kind, work};
use crate::interrupt;
use crate::progress::{Step, note};
use crate::stage::Stage;

pub(super) use figures::Figure;
use figures::Figures;
use ways::Hosts;
pub(super) use ways::{IMAGE as LOAD_IMAGE, PORT, Place, Way, address, import, run};

/// The figures of every scenario.
pub(super) struct Report {
    ways: Vec<Figures>,
    publishing: work::Report,
}

impl Report {
    pub(super) fn tables(&self) -> String {
        let ways = self.ways.iter().flat_map(|figures| [figures.table(), figures.goals()]);
        ways.chain([self.publishing.table()]).collect::<Vec<String>>().join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let ways: Value = self.ways.iter().map(Figures::json).collect();
        json!({ "ways": ways, "publishing": self.publishing.json() })
    }
}

/// Measures every way of every scenario `rounds` times, each time for `seconds`, the ways taking turns.
pub(super) fn measure(stage: &Stage, output: &Path, rounds: u32, seconds: f64) -> Result<Report> {
    let load = std::env::current_exe().context("find this program, which also makes the load")?;
    let hosts = Hosts::build(stage, output, &load)?;
    let publishing = work::Report(publish::measure(stage, rounds)?.into());
    let scenarios = [
        ("to a published port", hosts.to_a_published_port()?, goals::PUBLISHED),
        ("by loopback", hosts.by_loopback()?, goals::LOOPBACK),
        ("between containers", hosts.between_containers()?, goals::CONTAINERS),
        ("to the outside", hosts.to_the_outside()?, goals::OUTSIDE),
    ];
    let mut report = Vec::new();
    for (title, ways, goals) in scenarios {
        let figures = Figures::new(title, ways.iter().map(|way| way.name).collect(), goals);
        report.push(scenario(figures, &ways, &load, rounds, seconds)?);
    }
    // Last, as it puts a program at every socket.
    let ways = hosts.accelerated()?;
    let names = ways.iter().map(|way| way.name).collect();
    let figures = Figures::new("accelerated", names, goals::ACCELERATED);
    match scenario(figures, &ways, &load, rounds, seconds) {
        Ok(figures) => report.push(figures),
        Err(error) => {
            interrupt::check()?;
            // Asked for despite the kernel's faults: what fails by them shall not take the other figures along.
            note(&format!("what is accelerated cannot be measured here: {error:#}"));
        }
    }
    Ok(Report { ways: report, publishing })
}

fn scenario(mut figures: Figures, ways: &[Way], load: &Path, rounds: u32, seconds: f64) -> Result<Figures> {
    let title = figures.title;
    for way in ways {
        let reach = || figure(way, Kind::Requests, 0.05, load).ok();
        eventually(&format!("the server of {} answers", way.name), Duration::from_secs(10), reach)?;
    }
    for round in 0..rounds as usize {
        let step = Step::start(format!("{title}, round {} of {rounds}", round + 1));
        for kind in Kind::ALL {
            // Another way begins each round, so that none always follows the same one.
            for turn in 0..ways.len() {
                interrupt::check()?;
                let way = &ways[(round + turn) % ways.len()];
                step.detail(&format!("{} {}", way.name, kind.argument()));
                figures.add(way.name, kind, figure(way, kind, seconds, load)?);
            }
        }
        step.done("");
    }
    Ok(figures)
}

/// One measurement, from where the way begins.
pub(super) fn figure(way: &Way, kind: Kind, seconds: f64, load: &Path) -> Result<Figure> {
    let mut client = way.from.command(load);
    client.args(["load", "measure", kind.argument(), &way.to.to_string(), &seconds.to_string()]);
    let printed = text(&mut client).with_context(|| format!("measure {}", way.name))?;
    Figure::parse(&printed).with_context(|| format!("read the figures {printed:?}"))
}
