//! What the programs cost that watch containers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use beeline_testbed::command::{eventually, text};

use crate::bench::Kind;
use crate::bench::net::{self, LOAD_IMAGE, Place, Way};
use crate::bench::work::{Goal, OURS, Unit, Work, take_turns};
use crate::progress::Step;
use crate::stage::Stage;

/// Switches a second at which the histograms' cost is told.
const SWITCHES: f64 = 100_000.0;

/// Leaves a daemon with default flags.
pub(super) fn measure(stage: &mut Stage, output: &Path, rounds: u32, seconds: f64) -> Result<[Work; 4]> {
    let load = std::env::current_exe().context("find this program, which also makes the load")?;
    net::import(stage, output, &load)?;
    let [requests, connections, stream] = traffic(stage, &load, rounds, seconds)?;
    Ok([requests, connections, stream, histograms(stage, rounds, seconds)?])
}

/// To a published port, while containers are watched and while they are not.
fn traffic(stage: &mut Stage, load: &Path, rounds: u32, seconds: f64) -> Result<[Work; 3]> {
    let work = |kind: Kind, unit, goals: &[Goal]| {
        Work::new(format!("{} to a published port", kind.argument()), unit, goals)
    };
    let goal = [Goal::LeastShareOf("off", 0.98)];
    let mut works = [
        work(Kind::Requests, Unit::PerSecond, &goal),
        work(Kind::Connections, Unit::PerSecond, &[]),
        work(Kind::Stream, Unit::Gigabits, &goal),
    ];
    let server = net::run(stage, "watched", net::PORT, &["--publish", &format!("{0}:{0}", net::PORT)])?;
    let way = Way {
        name: "published",
        from: Place::of(&stage.topology.client),
        to: net::address(beeline_testbed::HOST_ADDRESS, net::PORT)?,
    };
    let answers = || net::figure(&way, Kind::Requests, 0.05, load).ok();
    eventually("the server answers", Duration::from_secs(10), answers)?;
    let step = Step::start(format!("traffic with signals on and off, {rounds} rounds"));
    take_turns(rounds, &mut [true, false], |&mut watched, counts| {
        step.detail(if watched { "signals on" } else { "signals off" });
        if watched {
            // A daemon attaches what is not attached.
            stage.restart(&[])?;
        } else {
            detach(&stage.topology.instance)?;
        }
        let (name, title) = if watched { (OURS, "signals on") } else { ("off", "signals off") };
        for (kind, work) in Kind::ALL.into_iter().zip(&mut works) {
            let rate = net::figure(&way, kind, seconds, load)?.rate;
            if counts {
                work.add(name, title, if kind == Kind::Stream { rate / 1e9 } else { rate });
            }
        }
        Ok(())
    })?;
    stage.restart(&[])?;
    text(stage.beeline().args(["rm", "--force", &server.name]))?;
    step.done("");
    Ok(works)
}

/// Ends the links of the programs that watch containers.
fn detach(instance: &str) -> Result<()> {
    let folder = Path::new("/sys/fs/bpf/beeline").join(instance);
    for programs in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let programs = programs?;
        if !programs.file_name().as_encoded_bytes().starts_with(b"programs_") {
            continue;
        }
        for pin in fs::read_dir(programs.path())? {
            let pin = pin?;
            if pin.file_name().as_encoded_bytes().starts_with(b"link_") {
                fs::remove_file(pin.path()).with_context(|| format!("remove {}", pin.path().display()))?;
            }
        }
    }
    Ok(())
}

/// What a switch takes longer with latency histograms, of a processor's time.
fn histograms(stage: &mut Stage, rounds: u32, seconds: f64) -> Result<Work> {
    let title = format!("latency histograms, at {SWITCHES:.0} switches a second");
    let mut work = Work::new(title, Unit::Percent, &[Goal::AtMost(3.0)]);
    let step = Step::start(format!("switches with latency histograms on and off, {rounds} rounds"));
    let (mut on, mut off) = (Vec::new(), Vec::new());
    take_turns(rounds, &mut [true, false], |&mut measured, counts| {
        let flags: &[&str] = if measured { &["--latency-histograms"] } else { &[] };
        stage.restart(flags)?;
        let mut container = stage.beeline();
        container.args(["run", "--rm", "--network", "none", "--cpuset-cpus", "0", LOAD_IMAGE]);
        let printed = text(container.args(["/load", "load", "switches", &seconds.to_string()]))?;
        let rate = net::Figure::parse(&printed).context("read the rate of switches")?.rate;
        if counts {
            if measured { &mut on } else { &mut off }.push(rate);
        }
        Ok(())
    })?;
    stage.restart(&[])?;
    for (on, off) in on.iter().zip(&off) {
        work.add(OURS, OURS, (1.0 / on - 1.0 / off) * SWITCHES * 100.0);
    }
    step.done("");
    Ok(work)
}
