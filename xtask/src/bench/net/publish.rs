//! What it takes to publish many ports.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::bench::api::Api;
use crate::bench::peer::{Engine, IMAGE};
use crate::bench::run::{create, timed};
use crate::bench::work::{Goal, OURS, Unit, Work, take_turns};
use crate::progress::Step;
use crate::stage::Stage;

/// The first port, here and there, and how many are published.
const FIRST: u16 = 20_000;
const MANY: u16 = 1000;

/// Starts of containers that publish a range of ports, beside starts of such that publish one.
pub(super) fn measure(stage: &Stage, count: u32) -> Result<[Work; 2]> {
    let mut start = Work::new(format!("start with {MANY} ports"), Unit::Milliseconds, &[]);
    let mut more =
        Work::new(format!("{MANY} ports rather than one"), Unit::Milliseconds, &[Goal::AtMost(1.0)]);
    let mut api = Api::of(&Engine::socket(stage).context("Beeline has a socket")?)?;
    let step = Step::start(format!("ranges of ports, {count} times"));
    take_turns(count, &mut [(OURS, MANY), ("one", 1)], |&mut (name, ports), counts| {
        let id = create(&mut api, &publisher(ports))?;
        let took = timed(|| api.post(&format!("/containers/{id}/start"), &Value::Null))?;
        api.delete(&format!("/containers/{id}?force=1"))?;
        if counts {
            start.add(name, if ports == 1 { "with one port" } else { name }, took);
        }
        Ok(())
    })?;
    for (many, one) in start.pairs("one") {
        more.add(OURS, OURS, many - one);
    }
    step.done("");
    Ok([start, more])
}

fn publisher(ports: u16) -> Value {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    for port in FIRST..FIRST + ports {
        exposed.insert(format!("{port}/tcp"), json!({}));
        bindings.insert(format!("{port}/tcp"), json!([{ "HostPort": port.to_string() }]));
    }
    json!({
        "Image": IMAGE,
        "Cmd": ["sleep", "3600"],
        "ExposedPorts": exposed,
        "HostConfig": { "PortBindings": bindings },
    })
}
