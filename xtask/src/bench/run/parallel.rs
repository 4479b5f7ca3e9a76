//! Many who start containers at once.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::requests::{create, sleeper};
use crate::bench::api::Api;
use crate::bench::peer::Engine;
use crate::bench::work::{Goal, OURS, Unit, Work, take_turns};
use crate::progress::Step;

/// Starters at once.
const CROWDS: [usize; 2] = [16, 64];

/// The containers of a crowd, by each as many.
const CONTAINERS: usize = 64;

/// Peers start one by each of so many, as theirs take long.
const PEERS: usize = 16;

/// Turns of each crowd.
const TURNS: u32 = 3;

pub(super) fn measure(engines: &[&dyn Engine]) -> Result<Vec<Work>> {
    let mut works = Vec::new();
    for starters in CROWDS {
        let title = format!("containers started by {starters} at once");
        let mut work = Work::new(title.clone(), Unit::PerSecond, &[Goal::AtLeast(100.0)]);
        let mut ways = Vec::new();
        for engine in engines {
            match engine.socket() {
                Some(_) if engine.name() != OURS && starters > PEERS => {}
                Some(socket) => ways.push((*engine, socket)),
                None => work.absent(engine.name(), "it has no daemon to ask"),
            }
        }
        let step = Step::start(title);
        take_turns(TURNS, &mut ways, |(engine, socket), counts| {
            step.detail(engine.name());
            let each = if engine.name() == OURS { CONTAINERS / starters } else { 1 };
            let rate = crowd(socket, starters, each).with_context(|| engine.title())?;
            if counts {
                work.add(engine.name(), &engine.title(), rate);
            }
            Ok(())
        })?;
        step.done("");
        works.push(work);
    }
    Ok(works)
}

/// Containers a second, from the first request to the last answer. They are removed after that.
fn crowd(socket: &Path, starters: usize, each: usize) -> Result<f64> {
    let mut connections = (0..starters).map(|_| Api::of(socket)).collect::<Result<Vec<Api>>>()?;
    let start = Instant::now();
    let started = everyone(&mut connections, |api| {
        let start = |_| -> Result<String> {
            let id = create(api, &sleeper(None))?;
            api.post(&format!("/containers/{id}/start"), &Value::Null)?;
            Ok(id)
        };
        (0..each).map(start).collect::<Result<Vec<String>>>()
    })?;
    let rate = (starters * each) as f64 / start.elapsed().as_secs_f64();
    let mut theirs = started.into_iter();
    let mut removers: Vec<(Api, Vec<String>)> =
        connections.into_iter().map(|api| (api, theirs.next().unwrap_or_default())).collect();
    everyone(&mut removers, |(api, ids)| {
        ids.iter().try_for_each(|id| api.delete(&format!("/containers/{id}?force=1")).map(drop))
    })?;
    Ok(rate)
}

/// Has everyone do their work at the same time.
fn everyone<T: Send, R: Send>(all: &mut [T], work: impl Fn(&mut T) -> Result<R> + Sync) -> Result<Vec<R>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = all.iter_mut().map(|one| scope.spawn(move || work(one))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a starter panicked"))?).collect()
    })
}
