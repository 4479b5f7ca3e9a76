//! Every metric Beeline exports, declared once. HELP texts, types and docs/metrics.md derive from this table.

use prometheus::proto::MetricType;

/// A metric family: its name, type and help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name, as scraped.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricType,
    /// What the figure says, in which unit, and what to do about it.
    pub help: &'static str,
}

macro_rules! families {
    ($($ident:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(pub(crate) const $ident: Family =
            Family { name: $name, kind: MetricType::$kind, help: $help };)*
        /// The table.
        pub const ALL: &[Family] = &[$($ident),*];
    };
}

families! {
    CPU_USAGE: COUNTER "container_cpu_usage_seconds_total", "Processor time used, in seconds.";
    CPU_USER: COUNTER "container_cpu_user_seconds_total", "Processor time used in user mode, in seconds.";
    CPU_SYSTEM: COUNTER "container_cpu_system_seconds_total", "Processor time used in kernel mode, in seconds.";
    CFS_PERIODS: COUNTER "container_cpu_cfs_periods_total", "Enforcement periods that have passed. Zero without --cpus.";
    CFS_THROTTLED_PERIODS: COUNTER "container_cpu_cfs_throttled_periods_total", "Periods in which the container was throttled. When it grows with cfs_periods, raise --cpus.";
    CFS_THROTTLED: COUNTER "container_cpu_cfs_throttled_seconds_total", "Time for which the container was throttled, in seconds.";
    MEMORY_USAGE: GAUGE "container_memory_usage_bytes", "Memory charged to the container, page cache included, in bytes.";
    MEMORY_WORKING_SET: GAUGE "container_memory_working_set_bytes", "Memory in use without inactive page cache, in bytes. Near the limit the container is about to be killed.";
    MEMORY_RSS: GAUGE "container_memory_rss", "Anonymous memory, in bytes.";
    MEMORY_CACHE: GAUGE "container_memory_cache", "Page cache, in bytes.";
    MEMORY_SWAP: GAUGE "container_memory_swap", "Swap in use, in bytes.";
    MEMORY_MAX_USAGE: GAUGE "container_memory_max_usage_bytes", "The most memory ever charged to the container, in bytes.";
    MEMORY_FAILCNT: GAUGE "container_memory_failcnt", "How often the memory limit was hit.";
    MEMORY_FAILURES: COUNTER "container_memory_failures_total", "Page faults, by failure_type: pgfault (all) and pgmajfault (read from disk).";
    OOM_EVENTS: COUNTER "container_oom_events_total", "Processes killed because the container was out of memory. Raise --memory or find the leak.";
    PROCESSES: GAUGE "container_processes", "Processes in the container.";
    THREADS: GAUGE "container_threads", "Tasks (processes and threads) in the container; --pids-limit bounds them.";
    THREADS_MAX: GAUGE "container_threads_max", "The pids limit; 0 is unlimited.";
    NETWORK_RX_BYTES: COUNTER "container_network_receive_bytes_total", "Bytes received by the container.";
    NETWORK_RX_PACKETS: COUNTER "container_network_receive_packets_total", "Packets received by the container.";
    NETWORK_RX_DROPPED: COUNTER "container_network_receive_packets_dropped_total", "Packets to the container that were dropped; beeline_datapath_drops_total has the reasons.";
    NETWORK_TX_BYTES: COUNTER "container_network_transmit_bytes_total", "Bytes sent by the container.";
    NETWORK_TX_PACKETS: COUNTER "container_network_transmit_packets_total", "Packets sent by the container.";
    NETWORK_TX_DROPPED: COUNTER "container_network_transmit_packets_dropped_total", "Packets from the container that were dropped; beeline_datapath_drops_total has the reasons.";
    START_TIME: GAUGE "container_start_time_seconds", "When the container was started, in seconds since the epoch.";
    LAST_SEEN: GAUGE "container_last_seen", "When the container was last sampled, in seconds since the epoch.";
    SPEC_MEMORY_LIMIT: GAUGE "container_spec_memory_limit_bytes", "The memory limit in bytes; 0 is unlimited.";
    SPEC_CPU_PERIOD: GAUGE "container_spec_cpu_period", "The CPU period in microseconds.";
    SPEC_CPU_QUOTA: GAUGE "container_spec_cpu_quota", "The CPU time per period in microseconds. Absent when unlimited.";
    SPEC_CPU_SHARES: GAUGE "container_spec_cpu_shares", "The CPU shares; 1024 is the default.";
    MACHINE_CPU_CORES: GAUGE "machine_cpu_cores", "Logical processors of the host.";
    MACHINE_MEMORY: GAUGE "machine_memory_bytes", "Memory of the host in bytes.";
    ENGINE_STATES: GAUGE "engine_daemon_container_states_containers", "Containers by state: running, paused, stopped.";
    ENGINE_CPUS: GAUGE "engine_daemon_engine_cpus_cpus", "Logical processors the engine can use.";
    ENGINE_MEMORY: GAUGE "engine_daemon_engine_memory_bytes", "Memory of the engine's host in bytes.";
    BUILD_INFO: GAUGE "beeline_build_info", "Always 1; the label version names the running daemon's version.";
    IMAGES: GAUGE "beeline_images", "Images in the store.";
    DATAPATH_DROPS: COUNTER "beeline_datapath_drops_total", "Packets dropped by the datapath, by reason.";
    CONNTRACK_ENTRIES: GAUGE "beeline_conntrack_entries", "Connections tracked now.";
    CONNTRACK_CAPACITY: GAUGE "beeline_conntrack_capacity", "Connections that can be tracked. New connections are refused when entries reach it: raise conntrack-entries.";
    PUBLISHES: GAUGE "beeline_published_ports", "Published ports; a range counts once.";
}

/// The table as Markdown, for docs/metrics.md.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | what it says |\n|---|---|---|\n");
    for family in ALL {
        let kind = if family.kind == MetricType::COUNTER { "counter" } else { "gauge" };
        text.push_str(&format!("| `{}` | {kind} | {} |\n", family.name, family.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_and_only_a_counter_ends_in_total() {
        for family in ALL {
            assert_eq!(
                family.kind == MetricType::COUNTER,
                family.name.ends_with("_total"),
                "{}",
                family.name
            );
            assert!(family.help.ends_with('.'), "{} needs a whole sentence", family.name);
        }
    }

    #[test]
    fn docs_metrics_md_holds_this_table() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let text = std::fs::read_to_string(&docs).unwrap();
        assert!(text.contains(&markdown()), "put this table into docs/metrics.md:\n{}", markdown());
    }
}
