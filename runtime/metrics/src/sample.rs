//! Reads a container's control groups into one [`Sample`], the same for cgroup v2 and v1.
//!
//! File formats: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{cpuacct,memory}.rst in the kernel's tree.
//! A figure that the kernel does not offer is `None`, and its series is left out rather than reported as zero.

use std::collections::BTreeMap;
use std::path::Path;

use crate::block_io::{self, BlockIo};
use crate::cgroup_file::{Table, number, numbers, processes};
use crate::{CgroupDirs, Pressure};

/// What one container used up to now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Block devices that were read or written.
    pub block_io: Vec<BlockIo>,
    /// Waits for processors, memory and devices.
    pub pressure: Pressure,
    /// Tasks (processes and threads) in the group; the pids controller counts tasks.
    pub threads: Option<u64>,
    /// How many there may be.
    pub threads_max: Option<u64>,
    /// The group's processes.
    pub processes: Option<Vec<u32>>,
}

/// Processor time in nanoseconds, and bandwidth control.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cpu {
    /// Time used in user and kernel mode.
    pub usage: Option<u64>,
    /// Time used in user mode.
    pub user: Option<u64>,
    /// Time used in kernel mode.
    pub system: Option<u64>,
    /// Time used of each processor; version 1 alone tells.
    pub per_cpu: Vec<u64>,
    /// Enforcement periods that have passed.
    pub periods: Option<u64>,
    /// Periods in which the group was throttled.
    pub throttled_periods: Option<u64>,
    /// Time the group was throttled.
    pub throttled: Option<u64>,
}

/// Memory in bytes, and its events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// All memory charged to the group, page cache included.
    pub usage: Option<u64>,
    /// The most that was ever charged.
    pub max_usage: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// Page cache.
    pub cache: Option<u64>,
    /// Swap.
    pub swap: Option<u64>,
    /// Usage without the page cache that can be dropped at once (inactive file pages).
    pub working_set: Option<u64>,
    /// The most that may be charged.
    pub limit: Option<u64>,
    /// How often the limit was hit.
    pub limit_hits: Option<u64>,
    /// How often nothing could be reclaimed at the limit; version 2 alone tells.
    pub ooms: Option<u64>,
    /// Minor and major page faults.
    pub page_faults: Option<u64>,
    /// Major page faults.
    pub major_page_faults: Option<u64>,
    /// Processes killed for lack of memory.
    pub oom_kills: Option<u64>,
    /// All of the kernel's memory.stat.
    pub stat: BTreeMap<String, u64>,
}

impl Sample {
    /// Reads the groups of one container. A group that has just gone yields an empty sample.
    pub fn read(dirs: &CgroupDirs) -> Self {
        let mut sample = if dirs.v1.is_empty() {
            dirs.unified.as_deref().map(read_unified).unwrap_or_default()
        } else {
            read_v1(dirs)
        };
        sample.pressure = dirs.unified.as_deref().map(Pressure::read).unwrap_or_default();
        sample
    }
}

/// Nanoseconds in a microsecond.
const MICRO: u64 = 1000;
/// Version 1 writes no limit as the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

fn read_unified(dir: &Path) -> Sample {
    let cpu = Table::read(dir, "cpu.stat");
    let stat = Table::read(dir, "memory.stat");
    let events = Table::read(dir, "memory.events");
    let usage = number(dir, "memory.current");
    Sample {
        cpu: Cpu {
            usage: cpu.scaled("usage_usec", MICRO),
            user: cpu.scaled("user_usec", MICRO),
            system: cpu.scaled("system_usec", MICRO),
            per_cpu: Vec::new(),
            periods: cpu.get("nr_periods"),
            throttled_periods: cpu.get("nr_throttled"),
            throttled: cpu.scaled("throttled_usec", MICRO),
        },
        memory: Memory {
            usage,
            max_usage: number(dir, "memory.peak"),
            rss: stat.get("anon"),
            cache: stat.get("file"),
            swap: number(dir, "memory.swap.current"),
            working_set: working_set(usage, stat.get("inactive_file")),
            limit: number(dir, "memory.max"),
            limit_hits: events.get("max"),
            ooms: events.get("oom"),
            page_faults: stat.get("pgfault"),
            major_page_faults: stat.get("pgmajfault"),
            oom_kills: events.get("oom_kill"),
            stat: stat.0,
        },
        block_io: block_io::read_unified(dir),
        pressure: Pressure::default(),
        threads: number(dir, "pids.current"),
        threads_max: number(dir, "pids.max"),
        processes: processes(dir),
    }
}

fn read_v1(dirs: &CgroupDirs) -> Sample {
    let dir = |controller: &str| dirs.v1.get(controller).map(std::path::PathBuf::as_path);
    let in_dir = |controller: &str, file: &str| dir(controller).and_then(|dir| number(dir, file));
    let table =
        |controller: &str, file: &str| dir(controller).map(|dir| Table::read(dir, file)).unwrap_or_default();
    let nanos = |file: &str| in_dir("cpuacct", file);

    let cpu = table("cpu", "cpu.stat");
    let stat = table("memory", "memory.stat");
    let oom = table("memory", "memory.oom_control");
    let usage = in_dir("memory", "memory.usage_in_bytes");
    Sample {
        cpu: Cpu {
            usage: nanos("cpuacct.usage"),
            user: nanos("cpuacct.usage_user"),
            system: nanos("cpuacct.usage_sys"),
            per_cpu: dir("cpuacct").map(|dir| numbers(dir, "cpuacct.usage_percpu")).unwrap_or_default(),
            periods: cpu.get("nr_periods"),
            throttled_periods: cpu.get("nr_throttled"),
            throttled: cpu.get("throttled_time"),
        },
        memory: Memory {
            usage,
            max_usage: in_dir("memory", "memory.max_usage_in_bytes"),
            rss: stat.get("total_rss"),
            cache: stat.get("total_cache"),
            swap: stat.get("total_swap"),
            working_set: working_set(usage, stat.get("total_inactive_file")),
            limit: in_dir("memory", "memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT),
            limit_hits: in_dir("memory", "memory.failcnt"),
            ooms: None,
            page_faults: stat.get("total_pgfault"),
            major_page_faults: stat.get("total_pgmajfault"),
            oom_kills: oom.get("oom_kill"),
            stat: stat.0,
        },
        block_io: dir("blkio").map(block_io::read_v1).unwrap_or_default(),
        pressure: Pressure::default(),
        threads: in_dir("pids", "pids.current"),
        threads_max: in_dir("pids", "pids.max"),
        processes: ["pids", "memory", "cpu"].iter().find_map(|controller| processes(dir(controller)?)),
    }
}

/// cAdvisor's definition, which the OOM killer's view of reclaimable memory suggests.
fn working_set(usage: Option<u64>, inactive_file: Option<u64>) -> Option<u64> {
    Some(usage?.saturating_sub(inactive_file.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Stall;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn a_unified_group_is_read_in_seconds_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                (
                    "cpu.stat",
                    "usage_usec 2500000\nuser_usec 1500000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 3\nthrottled_usec 200000\n",
                ),
                ("memory.current", "1000\n"),
                ("memory.stat", "anon 400\nfile 600\ninactive_file 250\npgfault 7\npgmajfault 1\n"),
                ("memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n"),
                ("memory.max", "max\n"),
                ("pids.current", "3\n"),
                ("pids.max", "100\n"),
                ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"),
                ("cgroup.procs", "10\n11\n"),
            ],
        );
        let sample = Sample::read(&CgroupDirs { unified: Some(dir.path().into()), ..CgroupDirs::default() });
        assert_eq!(sample.cpu.usage, Some(2_500_000_000));
        assert_eq!(sample.cpu.throttled_periods, Some(3));
        assert_eq!(sample.memory.working_set, Some(750));
        assert_eq!(sample.memory.oom_kills, Some(1));
        assert_eq!(sample.memory.max_usage, None, "memory.peak is absent before Linux 5.19");
        assert_eq!((sample.memory.limit, sample.memory.ooms), (None, Some(1)));
        assert_eq!(sample.memory.stat["inactive_file"], 250);
        assert_eq!((sample.threads, sample.threads_max), (Some(3), Some(100)));
        assert_eq!(sample.processes, Some(vec![10, 11]));
        assert_eq!(sample.pressure.cpu, Some(Stall { some_us: 9, full_us: 0 }));
    }

    #[test]
    fn version_1_groups_are_read_across_controllers() {
        let root = tempfile::tempdir().unwrap();
        let dir = |name: &str| root.path().join(name);
        write(&dir("cpu"), &[("cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_time 1500000000\n")]);
        write(
            &dir("cpuacct"),
            &[
                ("cpuacct.usage", "3000000000\n"),
                ("cpuacct.usage_user", "1000000000\n"),
                ("cpuacct.usage_percpu", "1000000000 2000000000 \n"),
            ],
        );
        write(
            &dir("memory"),
            &[
                ("memory.usage_in_bytes", "900\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.stat", "cache 1\ntotal_cache 500\ntotal_rss 300\ntotal_inactive_file 1000\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ],
        );
        write(&dir("pids"), &[("pids.current", "1\n"), ("cgroup.procs", "42\n")]);
        let v1: BTreeMap<_, _> =
            ["cpu", "cpuacct", "memory", "pids"].map(|name| (name.to_owned(), dir(name))).into();
        let sample = Sample::read(&CgroupDirs { v1, ..CgroupDirs::default() });
        assert_eq!(sample.cpu.usage, Some(3_000_000_000));
        assert_eq!(sample.cpu.per_cpu, [1_000_000_000, 2_000_000_000]);
        assert_eq!(sample.cpu.throttled, Some(1_500_000_000));
        assert_eq!(sample.memory.limit, None, "the largest number is no limit");
        assert_eq!(sample.memory.cache, Some(500));
        assert_eq!(sample.memory.working_set, Some(0), "more inactive than used never wraps around");
        assert_eq!(sample.memory.oom_kills, Some(2));
        assert_eq!(sample.processes, Some(vec![42]));
    }

    #[test]
    fn a_group_that_has_gone_is_an_empty_sample() {
        let dirs = CgroupDirs { unified: Some("/nonexistent/group".into()), ..CgroupDirs::default() };
        assert_eq!(Sample::read(&dirs), Sample::default());
    }
}
