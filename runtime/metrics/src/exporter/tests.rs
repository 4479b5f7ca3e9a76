use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::family::{ALL, Family, Scope};
use crate::{
    CgroupDirs, Datapath, HealthState, Histogram, Host, InterfaceCounters, Limits, Network, Observed,
    ProgramRuns, Publish, Resolver, Rule, StateCounts, Target, Volume,
};

fn target() -> Target {
    Target {
        id: "ab".repeat(32),
        name: "web".into(),
        image: "nginx:latest".into(),
        labels: [("com.docker.compose.project".to_owned(), "shop \"1\"".to_owned())].into(),
        cgroup: CgroupDirs { path: "/beeline/0/abab".into(), ..CgroupDirs::default() },
        started_at: UNIX_EPOCH + Duration::from_millis(1500),
        restarts: 2,
        layer: PathBuf::from("/"),
        limits: Limits { memory_bytes: Some(64 << 20), ..Limits::default() },
        interfaces: vec![InterfaceCounters {
            interface: "eth0".into(),
            rx_bytes: 7,
            ..InterfaceCounters::default()
        }],
        observed: Observed::default(),
        health: HealthState::Healthy,
        traffic: vec![Volume { direction: "sent", protocol: "udp", peer: "host", bytes: 300, packets: 2 }],
    }
}

fn exporter() -> Exporter {
    Exporter::new("1.2.3", Recorder::new().unwrap(), LabelChoice::default())
}

/// What the kernel tells where it tells everything.
fn observed() -> Observed {
    let histogram = Histogram { buckets: vec![(0.001, 2), (0.002, 3)], longer: 1, sum: 0.5 };
    Observed {
        round_trips: Some(histogram.clone()),
        connects: Some(histogram.clone()),
        run_queue: Some(histogram.clone()),
        block_io: Some(histogram),
        connections: vec![("refused", 4)],
        retransmits: Some(1),
        resets_sent: Some(1),
        resets_received: Some(1),
        window_probes: Some(1),
        overflows: Some(1),
        execs: Some(1),
        exits: Some(1),
    }
}

/// A control group of version 2 with every file, and a daemon that has done everything once.
fn everything(group: &Path) -> String {
    let files = [
        (
            "cpu.stat",
            "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 1\nnr_throttled 1\nthrottled_usec 1\n",
        ),
        ("memory.current", "9\n"),
        ("memory.peak", "9\n"),
        ("memory.swap.current", "0\n"),
        ("memory.stat", "anon 4\nfile 5\ninactive_file 1\npgfault 7\npgmajfault 1\n"),
        ("memory.events", "max 0\noom 0\noom_kill 0\n"),
        ("pids.current", "1\n"),
        ("cgroup.procs", "1\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
        ("cpu.pressure", "some total=1\nfull total=1\n"),
        ("memory.pressure", "some total=1\nfull total=1\n"),
        ("io.pressure", "some total=1\nfull total=1\n"),
    ];
    for (name, text) in files {
        std::fs::write(group.join(name), text).unwrap();
    }
    let cgroup = CgroupDirs { path: "/x".into(), unified: Some(group.into()), ..CgroupDirs::default() };
    let mut target = Target { cgroup: cgroup.clone(), layer: group.into(), ..target() };
    target.limits.cpu_quota_us = Some(1000);
    target.observed = observed();
    target.labels.extend((0..40).map(|at| (format!("label{at}"), String::new())));
    let datapath = Datapath {
        drops: vec![("spoofed_source".into(), 3)],
        publishes: vec![Publish {
            container: "web".into(),
            protocol: "tcp".into(),
            host_ip: "0.0.0.0".into(),
            host_port: "80".into(),
            rule_hits: [(("publish".to_owned(), "deny".to_owned()), 5)].into(),
            ..Publish::default()
        }],
        daemon_rules: vec![Rule { action: "deny".into(), source: "10.0.0.0/8".into(), hits: 1 }],
        programs: vec![ProgramRuns { program: "connect4", runs: 2, seconds: 0.5 }],
        networks: vec![Network { name: "bridge".into(), flows: 1, quota: 2 }],
        event_losses: vec![("flow", "rate", 4)],
        ..Datapath::default()
    };
    let snapshot = Snapshot {
        containers: vec![target],
        host: Host { cgroup, ..Host::default() },
        states: StateCounts { running: 1, ..StateCounts::default() },
        datapath: Some(datapath),
        resolver: Resolver { queries: vec![("names", 1)], failures: vec![("too_many", 1)] },
        ..Snapshot::default()
    };
    let recorder = Recorder::new().unwrap();
    let took = Duration::from_millis(3);
    recorder.api_request("/info", "GET", 200, took);
    recorder.container_action("start", took);
    recorder.network_action("connect", took);
    recorder.start_phase("network", took);
    recorder.health_check_started(took);
    let exporter = Exporter::new("1.2.3", recorder, LabelChoice::default());
    exporter.render(&snapshot).unwrap();
    // The layer's size is there some time after the first scrape.
    for _ in 0..500 {
        if exporter.disk.size(group).is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    exporter.render(&snapshot).unwrap()
}

/// The names of a series' labels.
fn label_names(line: &str) -> BTreeSet<String> {
    let Some((_, labels)) = line.split_once('{') else { return BTreeSet::new() };
    let (labels, _) = labels.rsplit_once('}').unwrap();
    labels.split("\",").filter_map(|pair| Some(pair.split_once('=')?.0.to_owned())).collect()
}

#[test]
fn every_metric_of_the_table_is_on_the_page_with_its_labels_and_no_other_is() {
    let group = tempfile::tempdir().unwrap();
    let text = everything(group.path());
    let declared: BTreeMap<&str, Family> = ALL.iter().map(|family| (family.name, *family)).collect();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let Some(family) = declared.get(name).or_else(|| stem.and_then(|stem| declared.get(stem))) else {
            assert!(name.starts_with("process_"), "{name} is not declared");
            continue;
        };
        seen.insert(family.name);
        let mut labels = label_names(line);
        if family.scope == Scope::Container {
            labels.retain(|label| !label.starts_with("container_label_"));
            for label in ["id", "image", "name"] {
                assert!(labels.remove(label), "{line} has no {label}");
            }
        }
        labels.remove("le");
        let expected: BTreeSet<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(labels, expected, "{line}");
    }
    let missing: Vec<&str> =
        ALL.iter().map(|family| family.name).filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{text}");
}

#[test]
fn a_container_has_cadvisors_names_and_labels() {
    let snapshot = Snapshot { containers: vec![target()], ..Snapshot::default() };
    let text = exporter().render(&snapshot).unwrap();
    let labels = r#"container_label_com_docker_compose_project="shop \"1\"",id="/beeline/0/abab",image="nginx:latest""#;
    let bytes =
        format!("container_network_receive_bytes_total{{{labels},interface=\"eth0\",name=\"web\"}} 7\n");
    assert!(text.contains(&bytes), "{text}");
    assert!(text.contains("# TYPE container_network_receive_bytes_total counter\n"));
    assert!(text.contains(&format!("container_start_time_seconds{{{labels},name=\"web\"}} 1.5\n")));
    assert!(text.contains(&format!("container_spec_memory_limit_bytes{{{labels},name=\"web\"}} 67108864\n")));
    assert!(text.contains("beeline_build_info{version=\"1.2.3\"} 1\n"));
    assert!(text.contains("process_resident_memory_bytes "));
}

#[test]
fn a_histogram_adds_up_its_buckets_and_is_absent_without_any() {
    let some = Target { observed: observed(), ..target() };
    let none = Observed { round_trips: Some(Histogram::default()), ..Observed::default() };
    let none = Target { observed: none, name: "idle".into(), ..target() };
    let snapshot = Snapshot { containers: vec![some, none], ..Snapshot::default() };
    let text = exporter().render(&snapshot).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("beeline_container_tcp_round_trip_seconds"));
    let values: Vec<&str> = lines.map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(values, ["2", "5", "6", "0.5", "6"], "{text}");
}

#[test]
fn series_end_with_their_container() {
    let exporter = exporter();
    let with = Snapshot { containers: vec![target()], ..Snapshot::default() };
    assert!(exporter.render(&with).unwrap().contains("name=\"web\""));
    assert!(!exporter.render(&Snapshot::default()).unwrap().contains("name=\"web\""));
}

#[test]
fn a_page_has_bounds_and_says_what_it_leaves_out() {
    let publish = |port: usize| Publish { host_port: port.to_string(), ..Publish::default() };
    let publishes: Vec<Publish> = (0..crate::datapath::MOST_PUBLISHES + 5).map(publish).collect();
    let snapshot =
        Snapshot { datapath: Some(Datapath { publishes, ..Datapath::default() }), ..Snapshot::default() };
    let text = exporter().render(&snapshot).unwrap();
    assert!(text.contains("beeline_metrics_cut{what=\"publishes\"} 5\n"));
    let series = text.lines().filter(|line| line.starts_with("beeline_publish_bytes_total{")).count();
    assert_eq!(series, crate::datapath::MOST_PUBLISHES);
    assert!(text.contains("beeline_published_ports 1005\n"), "the number itself is not cut");
}
