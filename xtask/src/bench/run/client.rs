//! `run --rm -p`, by the whole of the client's process.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use beeline_testbed::command::output;

use super::PORT;
use crate::bench::peer::{Engine, IMAGE, run};
use crate::bench::work::{Goal, OURS, Unit, Work, take_turns};
use crate::progress::{Step, note};
use crate::stage::Stage;
use crate::workspace::find_program;

struct Way {
    name: &'static str,
    title: String,
    command: Command,
    /// Beeline's client is judged by itself.
    own: bool,
}

pub(super) fn measure(stage: &Stage, engines: &[&dyn Engine], count: u32) -> Result<Vec<Work>> {
    let publish = format!("{PORT}:80");
    let options = ["--rm", "--publish", publish.as_str()];
    let goals = [Goal::ShareOf("dockerd", 1.0 / 8.0), Goal::ShareOf("podman", 1.0 / 6.0)];
    let mut stock = Work::new("the stock client's run --rm -p", Unit::Milliseconds, &goals);
    let mut own = Work::new("beeline run --rm -p", Unit::Milliseconds, &[Goal::AtMost(20.0)]);
    let mut ways = Vec::new();
    if find_program("docker").is_some() {
        let mut command = stage.client("docker");
        command.arg("run").args(options).args([IMAGE, "true"]);
        ways.push(Way { name: OURS, title: "docker with beeline".to_owned(), command, own: false });
    } else {
        note("the stock docker client is not installed");
        stock.absent(OURS, "no docker client is installed");
    }
    for engine in engines {
        let command = run(*engine, &options, IMAGE, &["true"]);
        let own = engine.name() == OURS;
        ways.push(Way { name: engine.name(), title: engine.title(), command, own });
    }
    let step = Step::start(format!("run --rm -p, {count} of each way"));
    take_turns(count, &mut ways, |way, counts| {
        step.detail(&way.title);
        let start = Instant::now();
        let ended = output(&mut way.command).with_context(|| way.title.clone())?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        ensure!(ended.status.success(), "{}: {ended}", way.title);
        if counts {
            let work = if way.own { &mut own } else { &mut stock };
            work.add(way.name, &way.title, took);
        }
        Ok(())
    })?;
    step.done("");
    Ok(vec![stock, own])
}
