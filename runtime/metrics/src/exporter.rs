//! Turns a [`Snapshot`] into the Prometheus text exposition format.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::{SysconfVar, sysconf};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::family::{self, Family};
use crate::{Datapath, InterfaceCounters, Sample, Snapshot, Target};

/// The Content-Type of [`Exporter::render`]'s text (Prometheus exposition formats, text 0.0.4).
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Why an exposition could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write the Prometheus exposition")]
pub struct Error(#[from] prometheus::Error);

/// Renders scrapes. Cheap to create; holds what does not change while the daemon runs.
#[derive(Debug)]
pub struct Exporter {
    version: String,
    process: ProcessCollector,
    cpus: u64,
    memory_bytes: u64,
}

impl Exporter {
    /// An exporter of the daemon that calls it, whose version is `version`.
    pub fn new(version: impl Into<String>) -> Self {
        let configured =
            |var| sysconf(var).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Self {
            version: version.into(),
            process: ProcessCollector::for_self(),
            cpus: configured(SysconfVar::_NPROCESSORS_ONLN),
            memory_bytes: configured(SysconfVar::_PHYS_PAGES) * configured(SysconfVar::PAGE_SIZE),
        }
    }

    /// Samples every container of `snapshot` and writes the exposition.
    ///
    /// # Errors
    /// When two families clash, which is a defect of this crate.
    pub fn render(&self, snapshot: &Snapshot) -> Result<String, Error> {
        let mut page = Page::default();
        for target in &snapshot.containers {
            page.container(target, &Sample::read(&target.cgroup));
        }
        self.daemon(&mut page, snapshot);
        if let Some(datapath) = &snapshot.datapath {
            page.datapath(datapath);
        }
        let mut families = page.into_families();
        families.extend(self.process.collect());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn daemon(&self, page: &mut Page, snapshot: &Snapshot) {
        let none = Labels::default();
        let (cpus, memory) = (self.cpus as f64, self.memory_bytes as f64);
        page.add(family::MACHINE_CPU_CORES, &none, cpus);
        page.add(family::MACHINE_MEMORY, &none, memory);
        page.add(family::ENGINE_CPUS, &none, cpus);
        page.add(family::ENGINE_MEMORY, &none, memory);
        let states = snapshot.states;
        for (state, count) in
            [("paused", states.paused), ("running", states.running), ("stopped", states.stopped)]
        {
            page.add(family::ENGINE_STATES, &none.with("state", state), count as f64);
        }
        page.add(family::BUILD_INFO, &none.with("version", &self.version), 1.0);
        page.add(family::IMAGES, &none, snapshot.images as f64);
    }
}

/// The exposition under construction: series by family.
#[derive(Default)]
struct Page(BTreeMap<&'static str, (Family, Vec<Metric>)>);

impl Page {
    fn container(&mut self, target: &Target, sample: &Sample) {
        let labels = Labels::of(target);
        self.cpu(&labels, sample);
        self.memory(&labels, sample);
        for interface in &target.interfaces {
            self.interface(&labels, interface);
        }
        let processes = sample.processes.as_ref().map(|processes| processes.len() as u64);
        self.add_some(family::PROCESSES, &labels, processes);
        self.add_some(family::THREADS, &labels, sample.threads);

        let limits = target.limits;
        self.add(family::THREADS_MAX, &labels, limits.pids.unwrap_or(0) as f64);
        self.add(family::SPEC_MEMORY_LIMIT, &labels, limits.memory_bytes.unwrap_or(0) as f64);
        self.add(family::SPEC_CPU_SHARES, &labels, limits.cpu_shares.unwrap_or(1024) as f64);
        self.add(family::SPEC_CPU_PERIOD, &labels, limits.cpu_period_us.unwrap_or(100_000) as f64);
        if let Some(quota) = limits.cpu_quota_us {
            self.add(family::SPEC_CPU_QUOTA, &labels, quota as f64);
        }
        self.add(family::START_TIME, &labels, epoch_seconds(target.started_at));
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

    fn interface(&mut self, labels: &Labels, interface: &InterfaceCounters) {
        let labels = labels.with("interface", &interface.interface);
        self.add(family::NETWORK_RX_BYTES, &labels, interface.rx_bytes as f64);
        self.add(family::NETWORK_RX_PACKETS, &labels, interface.rx_packets as f64);
        self.add(family::NETWORK_RX_DROPPED, &labels, interface.rx_dropped as f64);
        self.add(family::NETWORK_TX_BYTES, &labels, interface.tx_bytes as f64);
        self.add(family::NETWORK_TX_PACKETS, &labels, interface.tx_packets as f64);
        self.add(family::NETWORK_TX_DROPPED, &labels, interface.tx_dropped as f64);
    }

    fn datapath(&mut self, datapath: &Datapath) {
        let none = Labels::default();
        for (reason, count) in &datapath.drops {
            self.add(family::DATAPATH_DROPS, &none.with("reason", reason), *count as f64);
        }
        self.add(family::CONNTRACK_ENTRIES, &none, datapath.conntrack_entries as f64);
        self.add(family::CONNTRACK_CAPACITY, &none, datapath.conntrack_capacity as f64);
        self.add(family::PUBLISHES, &none, datapath.publishes as f64);
    }

    fn add_some(&mut self, family: Family, labels: &Labels, value: Option<impl Number>) {
        if let Some(value) = value {
            self.add(family, labels, value.number());
        }
    }

    fn add(&mut self, family: Family, labels: &Labels, value: f64) {
        let mut metric = Metric::from_label(labels.pairs());
        if family.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.0.entry(family.name).or_insert((family, Vec::new())).1.push(metric);
    }

    fn into_families(self) -> Vec<MetricFamily> {
        let family = |(declared, metrics): (Family, Vec<Metric>)| {
            let mut family = MetricFamily::default();
            family.set_name(declared.name.to_owned());
            family.set_help(declared.help.to_owned());
            family.set_field_type(declared.kind);
            family.set_metric(metrics);
            family
        };
        self.0.into_values().map(family).collect()
    }
}

/// Label names and values, sorted as the exposition wants them.
#[derive(Clone, Default)]
struct Labels(BTreeMap<String, String>);

impl Labels {
    fn of(target: &Target) -> Self {
        let mut labels: BTreeMap<String, String> = target
            .labels
            .iter()
            .map(|(key, value)| (format!("container_label_{}", sanitize(key)), value.clone()))
            .collect();
        labels.insert("id".to_owned(), target.cgroup.path.clone());
        labels.insert("image".to_owned(), target.image.clone());
        labels.insert("name".to_owned(), target.name.clone());
        Self(labels)
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = self.clone();
        labels.0.insert(name.to_owned(), value.to_owned());
        labels
    }

    fn pairs(&self) -> Vec<LabelPair> {
        let pair = |(name, value): (&String, &String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        };
        self.0.iter().map(pair).collect()
    }
}

/// Replaces what a label name may not hold, as cAdvisor does: `com.docker.compose.project` becomes
/// `com_docker_compose_project`.
fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn seconds(nanoseconds: Option<u64>) -> Option<f64> {
    nanoseconds.map(|nanoseconds| nanoseconds as f64 / 1e9)
}

fn epoch_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or(0.0)
}

/// A sampled figure: seconds come as floating point, everything else as an integer.
trait Number {
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CgroupDirs, Limits, StateCounts};

    fn target() -> Target {
        Target {
            id: "ab".repeat(32),
            name: "web".into(),
            image: "nginx:latest".into(),
            labels: [("com.docker.compose.project".to_owned(), "shop \"1\"".to_owned())].into(),
            cgroup: CgroupDirs { path: "/beeline/0/abab".into(), ..CgroupDirs::default() },
            started_at: UNIX_EPOCH + std::time::Duration::from_millis(1500),
            limits: Limits { memory_bytes: Some(64 << 20), ..Limits::default() },
            interfaces: vec![InterfaceCounters {
                interface: "eth0".into(),
                rx_bytes: 7,
                ..InterfaceCounters::default()
            }],
        }
    }

    #[test]
    fn a_container_has_cadvisors_names_and_labels() {
        let snapshot = Snapshot {
            containers: vec![target()],
            states: StateCounts { running: 1, ..StateCounts::default() },
            ..Snapshot::default()
        };
        let text = Exporter::new("1.2.3").render(&snapshot).unwrap();
        let labels = r#"container_label_com_docker_compose_project="shop \"1\"",id="/beeline/0/abab",image="nginx:latest""#;
        assert!(
            text.contains(&format!(
                "container_network_receive_bytes_total{{{labels},interface=\"eth0\",name=\"web\"}} 7\n"
            )),
            "{text}"
        );
        assert!(text.contains("# TYPE container_network_receive_bytes_total counter\n"));
        assert!(text.contains(&format!("container_start_time_seconds{{{labels},name=\"web\"}} 1.5\n")));
        assert!(
            text.contains(&format!("container_spec_memory_limit_bytes{{{labels},name=\"web\"}} 67108864\n"))
        );
        assert!(text.contains("engine_daemon_container_states_containers{state=\"running\"} 1\n"));
        assert!(text.contains("beeline_build_info{version=\"1.2.3\"} 1\n"));
        assert!(text.contains("process_resident_memory_bytes "));
    }

    #[test]
    fn series_end_with_their_container() {
        let exporter = Exporter::new("1");
        let with = Snapshot { containers: vec![target()], ..Snapshot::default() };
        assert!(exporter.render(&with).unwrap().contains("name=\"web\""));
        assert!(!exporter.render(&Snapshot::default()).unwrap().contains("name=\"web\""));
    }

    #[test]
    fn drops_are_reported_by_reason() {
        let datapath = Datapath { drops: vec![("spoofed_source".into(), 3)], ..Datapath::default() };
        let snapshot = Snapshot { datapath: Some(datapath), ..Snapshot::default() };
        let text = Exporter::new("1").render(&snapshot).unwrap();
        assert!(text.contains("beeline_datapath_drops_total{reason=\"spoofed_source\"} 3\n"));
    }
}
