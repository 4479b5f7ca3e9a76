//! Every metric Beeline exports, declared once: types, labels and HELP texts of the page, and docs/metrics.md.

use prometheus::proto::MetricType;

/// Whose figure a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A container's: its series have the container's labels, too.
    Container,
    /// The daemon's or its host's.
    Daemon,
}

/// A metric family, as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name, as scraped.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
    /// Whose figure it is.
    pub scope: Scope,
    /// The labels that each series has, beside the container's.
    pub labels: &'static [&'static str],
    /// What one is; empty for a number of things.
    pub unit: &'static str,
    /// What the figure says, in which unit, and what to do about it.
    pub help: &'static str,
}

macro_rules! families {
    ($($ident:ident: $kind:ident $scope:ident [$($label:literal),*] $unit:literal $name:literal, $help:literal;)*) => {
        $(pub(crate) const $ident: Family = Family {
            name: $name,
            kind: MetricType::$kind,
            scope: Scope::$scope,
            labels: &[$($label),*],
            unit: $unit,
            help: $help,
        };)*
        /// The table.
        pub const ALL: &[Family] = &[$($ident),*];
    };
}

families! {
    CPU_USAGE: COUNTER Container ["cpu"] "seconds" "container_cpu_usage_seconds_total", "Processor time used, in seconds.";
    CPU_USER: COUNTER Container [] "seconds" "container_cpu_user_seconds_total", "Processor time used in user mode, in seconds.";
    CPU_SYSTEM: COUNTER Container [] "seconds" "container_cpu_system_seconds_total", "Processor time used in kernel mode, in seconds.";
    CFS_PERIODS: COUNTER Container [] "" "container_cpu_cfs_periods_total", "Enforcement periods that have passed. Zero without --cpus.";
    CFS_THROTTLED_PERIODS: COUNTER Container [] "" "container_cpu_cfs_throttled_periods_total", "Periods in which the container was throttled. When it grows with cfs_periods, raise --cpus.";
    CFS_THROTTLED: COUNTER Container [] "seconds" "container_cpu_cfs_throttled_seconds_total", "Time for which the container was throttled, in seconds.";
    PRESSURE_CPU_WAITING: COUNTER Container [] "seconds" "container_pressure_cpu_waiting_seconds_total", "Time for which at least one task waited for a processor, in seconds. Raise --cpus or --cpu-shares, or move work elsewhere.";
    PRESSURE_CPU_STALLED: COUNTER Container [] "seconds" "container_pressure_cpu_stalled_seconds_total", "Time for which every task that could have run waited for a processor, in seconds.";
    PRESSURE_MEMORY_WAITING: COUNTER Container [] "seconds" "container_pressure_memory_waiting_seconds_total", "Time for which at least one task waited for memory, in seconds. Raise --memory.";
    PRESSURE_MEMORY_STALLED: COUNTER Container [] "seconds" "container_pressure_memory_stalled_seconds_total", "Time for which every task that could have run waited for memory, in seconds.";
    PRESSURE_IO_WAITING: COUNTER Container [] "seconds" "container_pressure_io_waiting_seconds_total", "Time for which at least one task waited for a block device, in seconds.";
    PRESSURE_IO_STALLED: COUNTER Container [] "seconds" "container_pressure_io_stalled_seconds_total", "Time for which every task that could have run waited for a block device, in seconds.";
    MEMORY_USAGE: GAUGE Container [] "bytes" "container_memory_usage_bytes", "Memory charged to the container, page cache included, in bytes.";
    MEMORY_WORKING_SET: GAUGE Container [] "bytes" "container_memory_working_set_bytes", "Memory in use without inactive page cache, in bytes. Near the limit the container is about to be killed.";
    MEMORY_RSS: GAUGE Container [] "bytes" "container_memory_rss", "Anonymous memory, in bytes.";
    MEMORY_CACHE: GAUGE Container [] "bytes" "container_memory_cache", "Page cache, in bytes.";
    MEMORY_SWAP: GAUGE Container [] "bytes" "container_memory_swap", "Swap in use, in bytes.";
    MEMORY_MAX_USAGE: GAUGE Container [] "bytes" "container_memory_max_usage_bytes", "The most memory ever charged to the container, in bytes.";
    MEMORY_FAILCNT: GAUGE Container [] "" "container_memory_failcnt", "How often the memory limit was hit.";
    MEMORY_FAILURES: COUNTER Container ["failure_type", "scope"] "" "container_memory_failures_total", "Page faults, by failure_type: pgfault (all) and pgmajfault (read from disk).";
    OOM_EVENTS: COUNTER Container [] "" "container_oom_events_total", "Processes killed because the container was out of memory. Raise --memory or find the leak.";
    PROCESSES: GAUGE Container [] "" "container_processes", "Processes in the container.";
    THREADS: GAUGE Container [] "" "container_threads", "Tasks (processes and threads) in the container; --pids-limit bounds them.";
    THREADS_MAX: GAUGE Container [] "" "container_threads_max", "The pids limit; 0 is unlimited.";
    FILE_DESCRIPTORS: GAUGE Container [] "" "container_file_descriptors", "Descriptors that the container's processes have open.";
    RESTARTS: COUNTER Container [] "" "beeline_container_restarts_total", "How often the restart policy has started the container again. Read its log when it grows.";
    FS_READS_BYTES: COUNTER Container ["device"] "bytes" "container_fs_reads_bytes_total", "Bytes read from the block device.";
    FS_WRITES_BYTES: COUNTER Container ["device"] "bytes" "container_fs_writes_bytes_total", "Bytes written to the block device.";
    FS_READS: COUNTER Container ["device"] "" "container_fs_reads_total", "Reads of the block device.";
    FS_WRITES: COUNTER Container ["device"] "" "container_fs_writes_total", "Writes to the block device.";
    FS_USAGE: GAUGE Container ["device"] "bytes" "container_fs_usage_bytes", "What the container has written into its own layer, in bytes. Counted in the background: at most a minute and the walk's time old, absent at first.";
    FS_LIMIT: GAUGE Container ["device"] "bytes" "container_fs_limit_bytes", "The size of the file system that the layer is on, in bytes.";
    NETWORK_RX_BYTES: COUNTER Container ["interface"] "bytes" "container_network_receive_bytes_total", "Bytes received by the container.";
    NETWORK_RX_PACKETS: COUNTER Container ["interface"] "" "container_network_receive_packets_total", "Packets received by the container.";
    NETWORK_RX_DROPPED: COUNTER Container ["interface"] "" "container_network_receive_packets_dropped_total", "Packets to the container that were dropped; beeline_datapath_drops_total has the reasons.";
    NETWORK_TX_BYTES: COUNTER Container ["interface"] "bytes" "container_network_transmit_bytes_total", "Bytes sent by the container.";
    NETWORK_TX_PACKETS: COUNTER Container ["interface"] "" "container_network_transmit_packets_total", "Packets sent by the container.";
    NETWORK_TX_DROPPED: COUNTER Container ["interface"] "" "container_network_transmit_packets_dropped_total", "Packets from the container that were dropped; beeline_datapath_drops_total has the reasons.";
    HEALTH: GAUGE Container [] "" "container_health_state", "What the health check says: 1 healthy, 0 unhealthy or starting, -1 without a check.";
    TCP_ROUND_TRIP: HISTOGRAM Container [] "seconds" "beeline_container_tcp_round_trip_seconds", "Round trips of the container's connections, in seconds: the handshake's, then one measurement a round trip (before Linux 6.10 smoothed). Absent before the first.";
    TCP_CONNECT: HISTOGRAM Container [] "seconds" "beeline_container_tcp_connect_seconds", "From the first SYN of a connection of the container's to its answer, in seconds. Long ones are of lost SYNs. Absent before the first.";
    TCP_CONNECTIONS: COUNTER Container ["outcome"] "" "beeline_container_tcp_connections_total", "Connections, by outcome: accepted (others'), and the container's own: connected, refused (nobody listens there), failed (no answer, or no way there), abandoned (given up before the answer).";
    TCP_RETRANSMITS: COUNTER Container [] "" "beeline_container_tcp_retransmitted_segments_total", "Segments that were sent once more: packets are lost on the way, or their acknowledgements are.";
    TCP_RESETS: COUNTER Container ["direction"] "" "beeline_container_tcp_resets_total", "Resets of connections, by direction: sent (a program closed over unread data, or with no lingering) and received (the peer did).";
    TCP_WINDOW_PROBES: COUNTER Container [] "" "beeline_container_tcp_window_probes_total", "Probes of peers whose window is closed: they do not read what the container sends. Where the kernel lets functions be watched.";
    TCP_OVERFLOWS: COUNTER Container [] "" "beeline_container_tcp_listen_overflows_total", "Connections that found a listening socket's queue full: the program accepts too slowly, or its backlog is too short. Where the kernel lets functions be watched.";
    PROCESS_EXECS: COUNTER Container [] "" "beeline_container_process_execs_total", "Programs that were executed in the container. Many a second are a script that should be a program, or a shell's loop.";
    PROCESS_EXITS: COUNTER Container [] "" "beeline_container_process_exits_total", "Processes of the container that ended.";
    RUN_QUEUE: HISTOGRAM Container [] "seconds" "beeline_container_run_queue_seconds", "How long threads that could run waited for a processor, in seconds. With latency-histograms only. Raise --cpus or --cpu-shares, or move work elsewhere.";
    BLOCK_IO: HISTOGRAM Container [] "seconds" "beeline_container_block_io_seconds", "How long block devices had requests of the container, in seconds. With latency-histograms only. What is written to the page cache counts when it is flushed.";
    TRAFFIC_BYTES: COUNTER Container ["direction", "protocol", "peer"] "bytes" "beeline_container_traffic_bytes_total", "Bytes by direction (sent, received), protocol (tcp, udp, sctp, icmp, other) and peer: network (containers of the same network), other_network (of another one, by a published port), host, outside (whom the container asked), published (who came by a published port). Absent where there was none.";
    TRAFFIC_PACKETS: COUNTER Container ["direction", "protocol", "peer"] "" "beeline_container_traffic_packets_total", "Packets by direction, protocol and peer, as beeline_container_traffic_bytes_total.";
    START_TIME: GAUGE Container [] "seconds" "container_start_time_seconds", "When the container was started, in seconds since the epoch.";
    LAST_SEEN: GAUGE Container [] "" "container_last_seen", "When the container was last sampled, in seconds since the epoch.";
    SPEC_MEMORY_LIMIT: GAUGE Container [] "bytes" "container_spec_memory_limit_bytes", "The memory limit in bytes; 0 is unlimited.";
    SPEC_MEMORY_RESERVATION: GAUGE Container [] "bytes" "container_spec_memory_reservation_limit_bytes", "The memory reservation in bytes; 0 is none.";
    SPEC_MEMORY_SWAP: GAUGE Container [] "bytes" "container_spec_memory_swap_limit_bytes", "The limit of memory and swap together in bytes; 0 is unlimited.";
    SPEC_CPU_PERIOD: GAUGE Container [] "microseconds" "container_spec_cpu_period", "The CPU period in microseconds.";
    SPEC_CPU_QUOTA: GAUGE Container [] "microseconds" "container_spec_cpu_quota", "The CPU time per period in microseconds. Absent when unlimited.";
    SPEC_CPU_SHARES: GAUGE Container [] "" "container_spec_cpu_shares", "The CPU shares; 1024 is the default.";
    MACHINE_CPU_CORES: GAUGE Daemon [] "" "machine_cpu_cores", "Logical processors of the host.";
    MACHINE_MEMORY: GAUGE Daemon [] "bytes" "machine_memory_bytes", "Memory of the host in bytes.";
    ENGINE_STATES: GAUGE Daemon ["state"] "" "engine_daemon_container_states_containers", "Containers by state: running, paused, stopped.";
    ENGINE_CPUS: GAUGE Daemon [] "" "engine_daemon_engine_cpus_cpus", "Logical processors the engine can use.";
    ENGINE_MEMORY: GAUGE Daemon [] "bytes" "engine_daemon_engine_memory_bytes", "Memory of the engine's host in bytes.";
    ENGINE_INFO: GAUGE Daemon ["architecture", "kernel", "version"] "" "engine_daemon_engine_info", "Always 1; the labels tell of the engine and its host.";
    ENGINE_EVENTS: COUNTER Daemon [] "" "engine_daemon_events_total", "Events the engine has published.";
    CONTAINER_ACTIONS: HISTOGRAM Daemon ["action"] "seconds" "engine_daemon_container_actions_seconds", "How long actions on containers took that succeeded, in seconds: create, start, stop, delete.";
    NETWORK_ACTIONS: HISTOGRAM Daemon ["action"] "seconds" "engine_daemon_network_actions_seconds", "How long actions on networks took that succeeded, in seconds: allocate, connect, release.";
    HEALTH_CHECKS: COUNTER Daemon [] "" "engine_daemon_health_checks_total", "Health checks of containers that were begun.";
    HEALTH_CHECKS_FAILED: COUNTER Daemon [] "" "engine_daemon_health_checks_failed_total", "Health checks that could not be run; what a check that ran says is not in it.";
    HEALTH_CHECK_START: HISTOGRAM Daemon [] "seconds" "engine_daemon_health_check_start_duration_seconds", "How long health checks took to be begun, in seconds.";
    BUILD_INFO: GAUGE Daemon ["version"] "" "beeline_build_info", "Always 1; the label version names the running daemon's version.";
    IMAGES: GAUGE Daemon [] "" "beeline_images", "Images in the store.";
    DATAPATH_DROPS: COUNTER Daemon ["reason"] "" "beeline_datapath_drops_total", "Packets dropped by the datapath, by reason.";
    FLOW_EVENTS_LOST: COUNTER Daemon ["what", "reason"] "" "beeline_flow_events_lost_total", "Events of flows and drops that were not told, by reason: rate (more than the budget: they are sampled), buffer (the ring buffer was full), table (more conversations than are known at once), listener (a reader of the API or the export was too slow). Traffic and its counters are not concerned.";
    CONNTRACK_ENTRIES: GAUGE Daemon [] "" "beeline_conntrack_entries", "Connections tracked now.";
    CONNTRACK_CAPACITY: GAUGE Daemon [] "" "beeline_conntrack_capacity", "Connections that can be tracked. New connections are refused when entries reach it, and counted as drops with the reason flows_exhausted: raise conntrack-entries.";
    PUBLISHES: GAUGE Daemon [] "" "beeline_published_ports", "Published ports; a range counts once.";
    START_PHASES: HISTOGRAM Daemon ["phase"] "seconds" "beeline_container_start_phase_seconds", "How long each phase of a container's start took, in seconds.";
    API_REQUESTS: COUNTER Daemon ["route", "method", "code"] "" "beeline_api_requests_total", "Requests to the API that were answered.";
    API_SECONDS: HISTOGRAM Daemon ["route", "method"] "seconds" "beeline_api_request_duration_seconds", "How long requests to the API took until their answer began, in seconds.";
    SCRAPE_SECONDS: HISTOGRAM Daemon [] "seconds" "beeline_scrape_duration_seconds", "How long the metrics took to be read and written, in seconds; the last scrape is not in it.";
    SAMPLE_FAILURES: COUNTER Daemon [] "" "beeline_sample_failures_total", "Containers whose control groups could not be read in a scrape: they ended meanwhile.";
    CUT: GAUGE Daemon ["what"] "" "beeline_metrics_cut", "What this page leaves out beyond its bounds: labels, devices, interfaces, publishes, rules, networks. Name the labels you need in metrics-labels.";
    PUBLISH_CONNECTIONS: COUNTER Daemon ["name", "protocol", "host_ip", "host_port"] "" "beeline_publish_connections_total", "Connections (TCP, SCTP) and flows (UDP) that came through a published port.";
    PUBLISH_REFUSED: COUNTER Daemon ["name", "protocol", "host_ip", "host_port"] "" "beeline_publish_refused_total", "New connections to a published port that a rule refused.";
    PUBLISH_PACKETS: COUNTER Daemon ["name", "protocol", "host_ip", "host_port"] "" "beeline_publish_packets_total", "Packets to the container through a published port.";
    PUBLISH_BYTES: COUNTER Daemon ["name", "protocol", "host_ip", "host_port"] "bytes" "beeline_publish_bytes_total", "Bytes to the container through a published port.";
    PUBLISH_RULE_HITS: COUNTER Daemon ["name", "protocol", "host_ip", "host_port", "scope", "action"] "" "beeline_publish_rule_hits_total", "New connections that rules of the port (scope publish) or its network (scope network, which counts for all its ports) decided about.";
    DAEMON_RULE_HITS: COUNTER Daemon ["source", "action"] "" "beeline_daemon_rule_hits_total", "New connections that a rule of the daemon decided about; source is empty for all that no rule names.";
    NETWORK_FLOWS: GAUGE Daemon ["network"] "" "beeline_network_flows", "Connections that the members of a network have now.";
    NETWORK_QUOTA: GAUGE Daemon ["network"] "" "beeline_network_flow_quota", "Connections that the members of a network may have together. New ones are dropped with the reason flow_quota: raise conntrack-entries.";
    PROGRAM_RUNS: COUNTER Daemon ["program"] "" "beeline_program_runs_total", "Runs of a program in the kernel. With program-statistics only; begins anew when the program is loaded anew.";
    PROGRAM_SECONDS: COUNTER Daemon ["program"] "seconds" "beeline_program_run_seconds_total", "How long runs of a program in the kernel took together, in seconds. With program-statistics only.";
    DNS_QUERIES: COUNTER Daemon ["class"] "" "beeline_dns_queries_total", "Questions of containers to the resolver, by who answers: names (of containers), outside (servers of the host or the container), refused.";
    DNS_FAILURES: COUNTER Daemon ["reason"] "" "beeline_dns_failures_total", "Questions that no answer was got for: no_answer and no_servers (check resolv.conf), too_many at a time.";
}

/// The table as Markdown, for docs/metrics.md.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | unit | labels | what it says |\n|---|---|---|---|---|\n");
    for family in ALL {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            family.name,
            kind_name(family.kind),
            family.unit,
            labels.join(", "),
            family.help
        ));
    }
    text
}

fn kind_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    fn names_are_unique_and_end_in_their_unit() {
        let names: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL.iter().filter(|family| !family.unit.is_empty()) {
            let stem = family.name.trim_end_matches("_total");
            // cAdvisor's names that dashboards ask for.
            let is_cadvisors = stem.starts_with("container_");
            assert!(stem.ends_with(family.unit) || is_cadvisors, "{} in {}", family.name, family.unit);
        }
    }

    #[test]
    fn docs_metrics_md_holds_this_table() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let text = std::fs::read_to_string(&docs).unwrap();
        assert!(text.contains(&markdown()), "put this table into docs/metrics.md:\n{}", markdown());
    }
}
