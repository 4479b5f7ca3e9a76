//! The series of one container, and those of the host that cAdvisor gives the id `/`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::disk::{self, DiskUsage};
use crate::family::{self, Family};
use crate::label::LabelChoice;
use crate::page::{Labels, Page};
use crate::process::descriptors;
use crate::{HealthState, Host, InterfaceCounters, Limits, Sample, Stall, Target, Volume};

/// How many block devices and how many interfaces of one container have series.
pub(crate) const MOST_DEVICES: usize = 16;
pub(crate) const MOST_INTERFACES: usize = 16;

/// The labels of all of a container's series.
fn labels(page: &mut Page, target: &Target, choice: &LabelChoice) -> Labels {
    let (chosen, cut) = choice.choose(&target.labels);
    page.cut("labels", cut);
    let labels = identity(&target.cgroup.path, &target.image, &target.name);
    chosen.iter().fold(labels, |labels, (name, value)| labels.with(name, value))
}

fn identity(id: &str, image: &str, name: &str) -> Labels {
    Labels::default().with("id", id).with("image", image).with("name", name)
}

impl Page {
    /// Adds a container's series.
    pub(crate) fn container(
        &mut self,
        target: &Target,
        sample: &Sample,
        choice: &LabelChoice,
        disk: &DiskUsage,
    ) {
        let labels = labels(self, target, choice);
        self.cpu(&labels, sample);
        self.memory(&labels, sample);
        self.pressure(&labels, sample);
        self.block_io(&labels, sample);
        self.file_system(&labels, target, disk);
        for interface in self.bounded("interfaces", &target.interfaces, MOST_INTERFACES) {
            self.interface(&labels, interface);
        }
        for volume in &target.traffic {
            self.traffic(&labels, volume);
        }
        let processes = sample.processes.as_deref();
        self.add_some(family::PROCESSES, &labels, processes.map(|processes| processes.len() as u64));
        self.add_some(family::FILE_DESCRIPTORS, &labels, processes.map(descriptors));
        self.add_some(family::THREADS, &labels, sample.threads);
        self.observed(&labels, &target.observed);
        self.limits(&labels, &target.limits);
        self.add(family::HEALTH, &labels, health(target.health));
        self.add(family::RESTARTS, &labels, target.restarts as f64);
        self.add(family::START_TIME, &labels, epoch_seconds(target.started_at));
        self.add(family::LAST_SEEN, &labels, epoch_seconds(SystemTime::now()).trunc());
    }

    /// Adds the host's series: what all control groups and interfaces have together.
    pub(crate) fn host(&mut self, host: &Host, memory_bytes: u64) {
        let labels = identity("/", "", "");
        let mut sample = Sample::read(&host.cgroup);
        // The root of cgroup v2 has no memory.current.
        let memory = &mut sample.memory;
        let charged = memory.rss.zip(memory.cache).map(|(rss, cache)| rss + cache);
        memory.usage = memory.usage.or(charged);
        memory.working_set = memory.working_set.or_else(|| {
            Some(charged?.saturating_sub(memory.stat.get("inactive_file").copied().unwrap_or(0)))
        });
        self.cpu(&labels, &sample);
        self.memory(&labels, &sample);
        for interface in self.bounded("interfaces", &host.interfaces, MOST_INTERFACES) {
            self.interface(&labels, interface);
        }
        self.add(family::SPEC_MEMORY_LIMIT, &labels, memory_bytes as f64);
        self.add(family::LAST_SEEN, &labels, epoch_seconds(SystemTime::now()).trunc());
    }

    fn cpu(&mut self, labels: &Labels, sample: &Sample) {
        let cpu = &sample.cpu;
        // cAdvisor reports one series per processor or, as here, one for all of them under this label.
        self.add_some(family::CPU_USAGE, &labels.with("cpu", "total"), seconds(cpu.usage));
        self.add_some(family::CPU_USER, labels, seconds(cpu.user));
        self.add_some(family::CPU_SYSTEM, labels, seconds(cpu.system));
        self.add_some(family::CFS_PERIODS, labels, cpu.periods);
        self.add_some(family::CFS_THROTTLED_PERIODS, labels, cpu.throttled_periods);
        self.add_some(family::CFS_THROTTLED, labels, seconds(cpu.throttled));
    }

    fn memory(&mut self, labels: &Labels, sample: &Sample) {
        let memory = &sample.memory;
        self.add_some(family::MEMORY_USAGE, labels, memory.usage);
        self.add_some(family::MEMORY_WORKING_SET, labels, memory.working_set);
        self.add_some(family::MEMORY_RSS, labels, memory.rss);
        self.add_some(family::MEMORY_CACHE, labels, memory.cache);
        self.add_some(family::MEMORY_SWAP, labels, memory.swap);
        self.add_some(family::MEMORY_MAX_USAGE, labels, memory.max_usage);
        self.add_some(family::MEMORY_FAILCNT, labels, memory.limit_hits);
        self.add_some(family::OOM_EVENTS, labels, memory.oom_kills);
        for (kind, count) in [("pgfault", memory.page_faults), ("pgmajfault", memory.major_page_faults)] {
            let labels = labels.with("failure_type", kind).with("scope", "container");
            self.add_some(family::MEMORY_FAILURES, &labels, count);
        }
    }

    fn pressure(&mut self, labels: &Labels, sample: &Sample) {
        let pressure = &sample.pressure;
        let mut add = |waiting: Family, stalled: Family, stall: Option<Stall>| {
            let micros = |count: u64| count as f64 / 1e6;
            self.add_some(waiting, labels, stall.map(|stall| micros(stall.some_us)));
            self.add_some(stalled, labels, stall.map(|stall| micros(stall.full_us)));
        };
        add(family::PRESSURE_CPU_WAITING, family::PRESSURE_CPU_STALLED, pressure.cpu);
        add(family::PRESSURE_MEMORY_WAITING, family::PRESSURE_MEMORY_STALLED, pressure.memory);
        add(family::PRESSURE_IO_WAITING, family::PRESSURE_IO_STALLED, pressure.io);
    }

    fn block_io(&mut self, labels: &Labels, sample: &Sample) {
        for io in self.bounded("devices", &sample.block_io, MOST_DEVICES) {
            let labels = labels.with("device", &disk::device_name(io.device));
            self.add(family::FS_READS_BYTES, &labels, io.read_bytes as f64);
            self.add(family::FS_WRITES_BYTES, &labels, io.written_bytes as f64);
            self.add(family::FS_READS, &labels, io.reads as f64);
            self.add(family::FS_WRITES, &labels, io.writes as f64);
        }
    }

    fn file_system(&mut self, labels: &Labels, target: &Target, disk: &DiskUsage) {
        let Some((device, size)) = disk::file_system(&target.layer) else { return };
        let labels = labels.with("device", &device);
        self.add_some(family::FS_USAGE, &labels, disk.size(&target.layer));
        self.add(family::FS_LIMIT, &labels, size as f64);
    }

    fn interface(&mut self, labels: &Labels, interface: &InterfaceCounters) {
        let labels = labels.with("interface", &interface.interface);
        self.add(family::NETWORK_RX_BYTES, &labels, interface.rx_bytes as f64);
        self.add(family::NETWORK_RX_PACKETS, &labels, interface.rx_packets as f64);
        self.add(family::NETWORK_RX_DROPPED, &labels, interface.rx_dropped as f64);
        self.add(family::NETWORK_TX_BYTES, &labels, interface.tx_bytes as f64);
        self.add(family::NETWORK_TX_PACKETS, &labels, interface.tx_packets as f64);
        self.add(family::NETWORK_TX_DROPPED, &labels, interface.tx_dropped as f64);
    }

    fn traffic(&mut self, labels: &Labels, volume: &Volume) {
        let labels = labels
            .with("direction", volume.direction)
            .with("protocol", volume.protocol)
            .with("peer", volume.peer);
        self.add(family::TRAFFIC_BYTES, &labels, volume.bytes as f64);
        self.add(family::TRAFFIC_PACKETS, &labels, volume.packets as f64);
    }

    fn limits(&mut self, labels: &Labels, limits: &Limits) {
        let bytes = |limit: Option<u64>| limit.unwrap_or(0) as f64;
        self.add(family::THREADS_MAX, labels, limits.pids.unwrap_or(0) as f64);
        self.add(family::SPEC_MEMORY_LIMIT, labels, bytes(limits.memory_bytes));
        self.add(family::SPEC_MEMORY_RESERVATION, labels, bytes(limits.memory_reservation_bytes));
        self.add(family::SPEC_MEMORY_SWAP, labels, bytes(limits.memory_swap_bytes));
        self.add(family::SPEC_CPU_SHARES, labels, limits.cpu_shares.unwrap_or(1024) as f64);
        self.add(family::SPEC_CPU_PERIOD, labels, limits.cpu_period_us.unwrap_or(100_000) as f64);
        if let Some(quota) = limits.cpu_quota_us {
            self.add(family::SPEC_CPU_QUOTA, labels, quota as f64);
        }
    }
}

/// cAdvisor's numbers.
fn health(state: HealthState) -> f64 {
    match state {
        HealthState::Unchecked => -1.0,
        HealthState::Unhealthy => 0.0,
        HealthState::Healthy => 1.0,
    }
}

fn seconds(nanoseconds: Option<u64>) -> Option<f64> {
    nanoseconds.map(|nanoseconds| nanoseconds as f64 / 1e9)
}

fn epoch_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or(0.0)
}
