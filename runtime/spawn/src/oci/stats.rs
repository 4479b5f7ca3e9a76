//! What a container uses, in the words of runc's `events`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Error, Runtime};
use crate::cgroup::{Cgroup, CgroupPaths, Mode};

/// A container's use of its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// As in runc's `events --stats`, below `data`.
    pub data: Value,
    /// How often the kernel has killed a process of it for want of memory.
    pub oom_kills: u64,
}

impl Runtime {
    /// Reads what a container uses now.
    ///
    /// # Errors
    /// There is no such container.
    pub fn stats(&self, id: &str) -> Result<Stats, Error> {
        let cgroup = self.entry(id)?.record()?.cgroup()?;
        Ok(Stats { data: read(&cgroup), oom_kills: cgroup.oom_kills().unwrap_or(0) })
    }
}

fn read(cgroup: &Cgroup) -> Value {
    let paths = cgroup.paths();
    let mut data = Map::new();
    if cgroup.mode() == Mode::Unified {
        if let Some(group) = &paths.unified {
            data.insert("cpu".to_owned(), cpu_v2(group));
            data.insert("memory".to_owned(), memory(group, &MEMORY_V2));
            data.insert("pids".to_owned(), pids(group));
        }
    } else {
        data.insert("cpu".to_owned(), cpu_v1(&paths));
        if let Some(group) = paths.v1.get("memory") {
            data.insert("memory".to_owned(), memory(group, &MEMORY_V1));
        }
        if let Some(group) = paths.v1.get("pids") {
            data.insert("pids".to_owned(), pids(group));
        }
    }
    Value::Object(data)
}

/// A file's number; `max` and what cannot be read are 0, as in runc.
fn number(path: PathBuf) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn keyed(path: PathBuf) -> Map<String, Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), json!(value.trim().parse::<u64>().ok()?)))
    });
    entries.collect()
}

fn value(of: &Map<String, Value>, key: &str) -> u64 {
    of.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn cpu_v2(group: &Path) -> Value {
    let stat = keyed(group.join("cpu.stat"));
    let nanoseconds = |key| value(&stat, key) * 1000;
    json!({
        "usage": {
            "total": nanoseconds("usage_usec"),
            "user": nanoseconds("user_usec"),
            "kernel": nanoseconds("system_usec"),
        },
        "throttling": {
            "periods": value(&stat, "nr_periods"),
            "throttledPeriods": value(&stat, "nr_throttled"),
            "throttledTime": nanoseconds("throttled_usec"),
        },
    })
}

fn cpu_v1(paths: &CgroupPaths) -> Value {
    /// Of the kernel's clock ticks, in which it tells user and kernel time.
    const NANOSECONDS: u64 = 10_000_000;
    let account = paths.v1.get("cpuacct").cloned().unwrap_or_default();
    let throttling = paths.v1.get("cpu").map(|group| keyed(group.join("cpu.stat"))).unwrap_or_default();
    let ticks = keyed(account.join("cpuacct.stat"));
    json!({
        "usage": {
            "total": number(account.join("cpuacct.usage")),
            "user": value(&ticks, "user") * NANOSECONDS,
            "kernel": value(&ticks, "system") * NANOSECONDS,
        },
        "throttling": {
            "periods": value(&throttling, "nr_periods"),
            "throttledPeriods": value(&throttling, "nr_throttled"),
            "throttledTime": value(&throttling, "throttled_time"),
        },
    })
}

/// The names that a hierarchy gives the same figures.
struct MemoryFiles {
    usage: &'static str,
    limit: &'static str,
    max: &'static str,
    swap_usage: &'static str,
    swap_limit: &'static str,
    cache: &'static str,
}

const MEMORY_V1: MemoryFiles = MemoryFiles {
    usage: "memory.usage_in_bytes",
    limit: "memory.limit_in_bytes",
    max: "memory.max_usage_in_bytes",
    swap_usage: "memory.memsw.usage_in_bytes",
    swap_limit: "memory.memsw.limit_in_bytes",
    cache: "cache",
};

const MEMORY_V2: MemoryFiles = MemoryFiles {
    usage: "memory.current",
    limit: "memory.max",
    max: "memory.peak",
    swap_usage: "memory.swap.current",
    swap_limit: "memory.swap.max",
    cache: "file",
};

fn memory(group: &Path, files: &MemoryFiles) -> Value {
    let raw = keyed(group.join("memory.stat"));
    json!({
        "cache": value(&raw, files.cache),
        "usage": {
            "usage": number(group.join(files.usage)),
            "limit": number(group.join(files.limit)),
            "max": number(group.join(files.max)),
            "failcnt": number(group.join("memory.failcnt")),
        },
        "swap": {
            "usage": number(group.join(files.swap_usage)),
            "limit": number(group.join(files.swap_limit)),
            "failcnt": number(group.join("memory.memsw.failcnt")),
        },
        "raw": raw,
    })
}

fn pids(group: &Path) -> Value {
    json!({ "current": number(group.join("pids.current")), "limit": number(group.join("pids.max")) })
}
