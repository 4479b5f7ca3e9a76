//! All containers at one moment.

use beeline_engine::{ContainerView, Usage};
use beeline_metrics::{BlockIo, InterfaceCounters, Memory};
use beeline_wire::overview::{ContainerOverview, UsageOverview};

pub(crate) fn container(view: &ContainerView, used: Option<&Usage>) -> ContainerOverview {
    let status = &view.status;
    ContainerOverview {
        id: view.id.to_string(),
        name: view.name.to_string(),
        image: view.config.image.clone(),
        state: status.state.as_str().to_owned(),
        health: status.health.as_ref().map_or_else(String::new, |health| health.status.as_str().to_owned()),
        restarts: view.restart_count,
        usage: used.map(usage),
    }
}

fn usage(used: &Usage) -> UsageOverview {
    let sample = &used.sample;
    let network = |of: fn(&InterfaceCounters) -> u64| used.interfaces.iter().map(of).sum();
    let blocks = |of: fn(&BlockIo) -> u64| sample.block_io.iter().map(of).sum();
    UsageOverview {
        time: i64::try_from(used.time.as_nanosecond()).unwrap_or(i64::MAX),
        cpu: sample.cpu.usage.unwrap_or(0),
        memory: without_cache(&sample.memory),
        memory_limit: sample.memory.limit.map_or(used.host_memory, |limit| limit.min(used.host_memory)),
        received: network(|interface| interface.rx_bytes),
        transmitted: network(|interface| interface.tx_bytes),
        read: blocks(|device| device.read_bytes),
        written: blocks(|device| device.written_bytes),
        tasks: sample.threads.unwrap_or(0),
    }
}

/// As Docker's clients compute it; the key tells the cgroup version.
fn without_cache(memory: &Memory) -> u64 {
    let usage = memory.usage.unwrap_or(0);
    let cache = memory.stat.get("total_inactive_file").or_else(|| memory.stat.get("inactive_file"));
    usage - cache.copied().filter(|cache| *cache < usage).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_cache_that_can_go_at_once_is_no_use() {
        let memory = |key: &str, cache| Memory {
            usage: Some(100),
            stat: [(key.to_owned(), cache)].into(),
            ..Memory::default()
        };
        assert_eq!(without_cache(&memory("inactive_file", 30)), 70);
        assert_eq!(without_cache(&memory("total_inactive_file", 40)), 60);
        assert_eq!(without_cache(&memory("inactive_file", 100)), 100, "the two are not read at once");
        assert_eq!(without_cache(&memory("file", 30)), 100);
    }
}
