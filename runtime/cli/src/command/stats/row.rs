//! What a container's figures come to, computed as Docker's client does.

use beeline_wire::go::ZERO_TIME;
use beeline_wire::stats::{ContainerStats, MemoryStats};

use crate::command::images::short;
use crate::units;

/// The columns' names in templates, and their titles.
pub(super) const COLUMNS: [(&str, &str); 9] = [
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("Container", "CONTAINER"),
];

/// A container's cells, in the order of [`COLUMNS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(pub(super) [String; COLUMNS.len()]);

impl Row {
    /// Dashes where a container that does not run has no figures.
    pub(super) fn new(stats: &ContainerStats, whole_ids: bool) -> Self {
        let id = if whole_ids { stats.id.clone() } else { short(&stats.id).to_owned() };
        let name = stats.name.trim_start_matches('/').to_owned();
        if stats.read == ZERO_TIME {
            let none = || "--".to_owned();
            let pair = || "-- / --".to_owned();
            return Self([id.clone(), name, none(), pair(), none(), pair(), pair(), none(), id]);
        }
        let memory = memory_without_cache(&stats.memory_stats);
        let limit = stats.memory_stats.limit;
        let share = if limit == 0 { 0.0 } else { memory as f64 / limit as f64 * 100.0 };
        let sum = |of: fn(&beeline_wire::stats::NetworkStats) -> u64| stats.networks.values().map(of).sum();
        let pair =
            |first: u64, second: u64| format!("{} / {}", units::decimal(first), units::decimal(second));
        Self([
            id.clone(),
            name,
            format!("{:.2}%", cpu_percent(stats)),
            format!("{} / {}", units::binary(memory), units::binary(limit)),
            format!("{share:.2}%"),
            pair(sum(|network| network.rx_bytes), sum(|network| network.tx_bytes)),
            pair(blocks(stats, 'r'), blocks(stats, 'w')),
            stats.pids_stats.current.to_string(),
            id,
        ])
    }
}

/// The share of one processor: 200 % is two.
fn cpu_percent(stats: &ContainerStats) -> f64 {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = now.cpu_usage.total_usage.saturating_sub(before.cpu_usage.total_usage);
    let passed = now.system_cpu_usage.saturating_sub(before.system_cpu_usage);
    if passed == 0 {
        return 0.0;
    }
    used as f64 / passed as f64 * f64::from(now.online_cpus) * 100.0
}

/// What is in use without the page cache that can be dropped at once; the key tells the cgroup version.
fn memory_without_cache(memory: &MemoryStats) -> u64 {
    let cache = memory.stats.get("total_inactive_file").or_else(|| memory.stats.get("inactive_file"));
    let cache = cache.copied().filter(|cache| *cache < memory.usage);
    memory.usage - cache.unwrap_or(0)
}

fn blocks(stats: &ContainerStats, way: char) -> u64 {
    let entries = stats.blkio_stats.io_service_bytes_recursive.iter().flatten();
    entries.filter(|entry| entry.op.starts_with(way)).map(|entry| entry.value).sum()
}

#[cfg(test)]
mod tests {
    use beeline_wire::stats::{BlkioEntry, BlkioStats, CpuStats, CpuUsage, NetworkStats, PidsStats};

    use super::*;

    fn cpu(total_usage: u64, system_cpu_usage: u64) -> CpuStats {
        let cpu_usage = CpuUsage { total_usage, ..CpuUsage::default() };
        CpuStats { cpu_usage, system_cpu_usage, online_cpus: 2, ..CpuStats::default() }
    }

    #[test]
    fn a_row_is_what_dockers_client_shows() {
        let entry = |op: &str, value| BlkioEntry { op: op.into(), value, ..BlkioEntry::default() };
        let blocks = vec![entry("read", 4096), entry("write", 1_500_000)];
        let network = NetworkStats { rx_bytes: 1234, tx_bytes: 0, ..NetworkStats::default() };
        let stats = ContainerStats {
            name: "/web".into(),
            id: "0123456789abcdef".into(),
            read: "2026-01-01T00:00:00Z".into(),
            pids_stats: PidsStats { current: 3, limit: 0 },
            blkio_stats: BlkioStats { io_service_bytes_recursive: Some(blocks), ..BlkioStats::default() },
            cpu_stats: cpu(1_500, 4_000),
            precpu_stats: cpu(1_000, 2_000),
            memory_stats: MemoryStats {
                usage: 3 << 20,
                limit: 64 << 20,
                stats: [("inactive_file".to_owned(), 1 << 20)].into(),
                ..MemoryStats::default()
            },
            networks: [("eth0".to_owned(), network)].into(),
            ..ContainerStats::default()
        };
        let expected = [
            "0123456789ab",
            "web",
            "50.00%",
            "2MiB / 64MiB",
            "3.12%",
            "1.23kB / 0B",
            "4.1kB / 1.5MB",
            "3",
            "0123456789ab",
        ];
        assert_eq!(Row::new(&stats, false).0, expected);
        assert_eq!(Row::new(&stats, true).0[0], "0123456789abcdef");
        let stopped = ContainerStats { read: ZERO_TIME.into(), ..stats };
        assert_eq!(Row::new(&stopped, false).0[2..4], ["--", "-- / --"]);
    }
}
