//! `events`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use beeline_spawn::oci::{Runtime, Stats, Status};
use clap::Args;
use serde_json::{Value, json};

use super::say;

/// How often it is looked whether the container has ended, or memory was short.
const STEP: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// How often figures are printed: 5s, 500ms, 1m
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// Print the figures once
    #[arg(long)]
    stats: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER")]
    id: String,
}

pub(super) fn run(runtime: &Runtime, args: &EventsArgs) -> anyhow::Result<u8> {
    let status = runtime.state(&args.id)?.status;
    if status == Status::Stopped {
        bail!("container {} is not running", args.id);
    }
    let mut stats = runtime.stats(&args.id)?;
    tell(&args.id, "stats", stats.data.clone())?;
    let mut told = Instant::now();
    while !args.stats && runtime.state(&args.id).is_ok_and(|state| state.status != Status::Stopped) {
        sleep(STEP);
        let Ok(now) = runtime.stats(&args.id) else { break };
        let Stats { oom_kills, .. } = stats;
        for _ in oom_kills..now.oom_kills {
            tell(&args.id, "oom", Value::Null)?;
        }
        if told.elapsed() >= args.interval {
            tell(&args.id, "stats", now.data.clone())?;
            told = Instant::now();
        }
        stats = now;
    }
    Ok(0)
}

fn tell(id: &str, kind: &str, data: Value) -> anyhow::Result<()> {
    let mut event = json!({ "type": kind, "id": id });
    if let (Some(event), false) = (event.as_object_mut(), data.is_null()) {
        event.insert("data".to_owned(), data);
    }
    say(&event.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("{text:?} is no duration: 5s, 500ms or 1m");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(wrong()),
    };
    if duration.is_zero() { Err("an interval is longer than nothing".to_owned()) } else { Ok(duration) }
}
