//! A container's life, request by request: what a daemon takes, without any client's process.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::PORT;
use crate::bench::api::Api;
use crate::bench::peer::{Engine, IMAGE};
use crate::bench::work::{Goal, Unit, Work, take_turns};
use crate::progress::Step;

/// Commands that are run in each container.
const COMMANDS: u32 = 5;

/// Milliseconds of the three requests.
struct Life {
    start: f64,
    /// Of each command: made, started, and its output read to the end.
    commands: Vec<f64>,
    remove: f64,
}

pub(super) fn measure(engines: &[&dyn Engine], count: u32) -> Result<Vec<Work>> {
    let work = |title, most| Work::new(title, Unit::Milliseconds, &[Goal::AtMost(most)]);
    let mut start = work("start, with network and port, to exec", 8.0);
    let mut exec = work("exec true", 5.0);
    let mut remove = work("rm -f of a running container", 10.0);
    let mut ways = Vec::new();
    for engine in engines {
        match engine.socket() {
            Some(socket) => ways.push((*engine, Api::of(&socket)?)),
            None => [&mut start, &mut exec, &mut remove]
                .into_iter()
                .for_each(|work| work.absent(engine.name(), "it has no daemon to ask")),
        }
    }
    let step = Step::start(format!("a container's life by requests, {count} times each"));
    take_turns(count, &mut ways, |(engine, api), counts| {
        step.detail(engine.name());
        let life = live(api).with_context(|| engine.title())?;
        if counts {
            start.add(engine.name(), &engine.title(), life.start);
            life.commands.iter().for_each(|&took| exec.add(engine.name(), &engine.title(), took));
            remove.add(engine.name(), &engine.title(), life.remove);
        }
        Ok(())
    })?;
    step.done("");
    Ok(vec![start, exec, remove])
}

/// What makes a container that sleeps, with a port published or none.
pub(in crate::bench) fn sleeper(port: Option<&str>) -> Value {
    let mut request = json!({ "Image": IMAGE, "Cmd": ["sleep", "3600"] });
    if let Some(port) = port {
        request["ExposedPorts"] = json!({ "80/tcp": {} });
        request["HostConfig"] = json!({ "PortBindings": { "80/tcp": [{ "HostPort": port }] } });
    }
    request
}

/// Makes a container; its id.
pub(in crate::bench) fn create(api: &mut Api, request: &Value) -> Result<String> {
    let made = api.post("/containers/create", request)?;
    Ok(made["Id"].as_str().context("the container has no id")?.to_owned())
}

fn live(api: &mut Api) -> Result<Life> {
    let id = create(api, &sleeper(Some(PORT)))?;
    let start = timed(|| api.post(&format!("/containers/{id}/start"), &Value::Null))?;
    let command = json!({ "Cmd": ["true"], "AttachStdout": true, "AttachStderr": true });
    let mut commands = Vec::new();
    for _ in 0..COMMANDS {
        // A stream takes its connection with it.
        api.connect()?;
        commands.push(timed(|| {
            let made = api.post(&format!("/containers/{id}/exec"), &command)?;
            let exec = made["Id"].as_str().context("the exec has no id")?;
            api.post(&format!("/exec/{exec}/start"), &json!({ "Detach": false, "Tty": false }))
        })?);
    }
    api.connect()?;
    let remove = timed(|| api.delete(&format!("/containers/{id}?force=1")))?;
    Ok(Life { start, commands, remove })
}

/// The milliseconds that something takes.
pub(in crate::bench) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
