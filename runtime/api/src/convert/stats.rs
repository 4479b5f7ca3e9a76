//! A container's figures as Docker sends them.

use beeline_engine::{Stats, Usage};
use beeline_metrics::{BlockIo, Cpu, InterfaceCounters, Memory};
use beeline_wire::stats::{
    BlkioEntry, BlkioStats, ContainerStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
    ThrottlingData,
};

/// The answer, with the processor time of the sample before if there is one.
pub(crate) fn stats(stats: &Stats) -> ContainerStats {
    let mut answer = ContainerStats {
        name: format!("/{}", stats.name),
        id: stats.id.to_string(),
        ..ContainerStats::default()
    };
    let Some(now) = &stats.now else { return answer };
    let sample = &now.sample;
    answer.read = now.time.to_string();
    answer.pids_stats =
        PidsStats { current: sample.threads.unwrap_or(0), limit: sample.threads_max.unwrap_or(0) };
    answer.blkio_stats = block_io(&sample.block_io);
    answer.cpu_stats = cpu(now);
    if let Some(before) = &stats.before {
        answer.preread = before.time.to_string();
        answer.precpu_stats = cpu(before);
    }
    answer.memory_stats = memory(&sample.memory, now.host_memory);
    answer.networks = now.interfaces.iter().map(network).collect();
    answer
}

fn cpu(usage: &Usage) -> CpuStats {
    let Cpu { usage: total, user, system, per_cpu, periods, throttled_periods, throttled } =
        usage.sample.cpu.clone();
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: total.unwrap_or(0),
            percpu_usage: per_cpu,
            usage_in_kernelmode: system.unwrap_or(0),
            usage_in_usermode: user.unwrap_or(0),
        },
        system_cpu_usage: usage.host.total_ns,
        online_cpus: usage.host.online,
        throttling_data: ThrottlingData {
            periods: periods.unwrap_or(0),
            throttled_periods: throttled_periods.unwrap_or(0),
            throttled_time: throttled.unwrap_or(0),
        },
    }
}

fn memory(memory: &Memory, host: u64) -> MemoryStats {
    let is_v1 = memory.stat.contains_key("total_inactive_file");
    MemoryStats {
        usage: memory.usage.unwrap_or(0),
        max_usage: memory.max_usage.filter(|_| is_v1).unwrap_or(0),
        stats: memory.stat.clone(),
        failcnt: memory.ooms.or(memory.limit_hits).unwrap_or(0),
        // No limit is the host's memory: whoever draws a share needs a whole.
        limit: memory.limit.map_or(host, |limit| limit.min(host)),
    }
}

fn block_io(devices: &[BlockIo]) -> BlkioStats {
    let entries = |of: fn(&BlockIo) -> [u64; 2]| {
        let of_device = |io: &BlockIo| {
            let (major, minor) = io.device;
            let entry = |(op, value): (&str, u64)| BlkioEntry { major, minor, op: op.to_owned(), value };
            ["read", "write"].into_iter().zip(of(io)).map(entry).collect::<Vec<_>>()
        };
        Some(devices.iter().flat_map(of_device).collect())
    };
    BlkioStats {
        io_service_bytes_recursive: entries(|io| [io.read_bytes, io.written_bytes]),
        io_serviced_recursive: entries(|io| [io.reads, io.writes]),
        ..BlkioStats::default()
    }
}

fn network(interface: &InterfaceCounters) -> (String, NetworkStats) {
    let counters = NetworkStats {
        rx_bytes: interface.rx_bytes,
        rx_packets: interface.rx_packets,
        rx_errors: 0,
        rx_dropped: interface.rx_dropped,
        tx_bytes: interface.tx_bytes,
        tx_packets: interface.tx_packets,
        tx_errors: 0,
        tx_dropped: interface.tx_dropped,
    };
    (interface.interface.clone(), counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_beyond_the_hosts_memory_is_none() {
        let of = |limit| memory(&Memory { limit, ..Memory::default() }, 1000).limit;
        assert_eq!([of(None), of(Some(5000)), of(Some(500))], [1000, 1000, 500]);
    }

    #[test]
    fn devices_have_an_entry_for_each_way() {
        let stats =
            block_io(&[BlockIo { device: (8, 1), read_bytes: 1, written_bytes: 2, reads: 3, writes: 4 }]);
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 1, op: op.into(), value };
        assert_eq!(stats.io_service_bytes_recursive, Some(vec![entry("read", 1), entry("write", 2)]));
        assert_eq!(stats.io_serviced_recursive, Some(vec![entry("read", 3), entry("write", 4)]));
        assert_eq!(stats.io_time_recursive, None);
    }
}
