//! The metrics endpoint, checked by promtool and against other sources.

use std::collections::BTreeMap;
use std::fs;

use beeline_testbed::HOST_ADDRESS;

use crate::bed::{Bed, with_input};

pub(crate) const SCRAPE: &str = "curl -sS --max-time 5 http://127.0.0.1:9323/metrics";

#[test]
fn every_container_has_its_figures_and_promtool_finds_no_fault() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "--memory", "64m", "beeline/whoami"]);
    for _ in 0..20 {
        bed.in_client(&format!("curl -sS http://{HOST_ADDRESS}:8080/"));
    }
    let page = bed.in_host(SCRAPE);
    let value = |family: &str| series(&page, family, "web");
    assert!(value("container_cpu_usage_seconds_total") > 0.0);
    assert!(value("container_memory_usage_bytes") > 0.0);
    assert!(value("container_memory_working_set_bytes") <= value("container_memory_usage_bytes"));
    assert_eq!(value("container_spec_memory_limit_bytes"), 67_108_864.0);
    assert!(value("container_threads") >= 1.0);
    assert!(value("container_processes") >= 1.0);
    // Twenty connections of at least five packets each way.
    assert!(value("container_network_receive_packets_total") >= 100.0, "{page}");
    assert!(value("container_network_transmit_bytes_total") >= 20.0 * 300.0, "{page}");
    assert!(page.contains("machine_cpu_cores ") && page.contains("machine_memory_bytes "));
    assert!(page.contains("engine_daemon_container_states_containers{state=\"running\"} 1\n"));

    let checked = with_input(bed.topology.host.command("promtool"), &[]);
    assert!(!checked.stderr.is_empty() || !checked.stdout.is_empty(), "promtool is installed");
    let mut promtool = bed.topology.host.command("promtool");
    promtool.args(["check", "metrics"]);
    let checked = with_input(promtool, format!("{page}\n").as_bytes());
    assert_eq!((checked.code(), checked.stderr.as_str()), (0, ""), "{checked}");

    bed.docker_ok(&["rm", "-f", "web"]);
    assert!(!bed.in_host(SCRAPE).contains("name=\"web\""), "series end with their container");
}

#[test]
fn the_traffic_counters_count_what_the_kernel_counts() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    bed.in_client(&format!("for i in $(seq 50); do curl -sS -o /dev/null http://{HOST_ADDRESS}:8080/; done"));
    let pid = bed.inspect("web", "{{.State.Pid}}");
    let page = bed.in_host(SCRAPE);
    let kernel = |counter: &str| -> f64 {
        let text = bed.in_host(&format!("nsenter -t {pid} -n cat /proc/net/dev | grep eth0"));
        let fields: Vec<f64> = text.split_whitespace().skip(1).map(|field| field.parse().unwrap()).collect();
        fields[if counter == "tx_packets" { 9 } else { 1 }]
    };
    let ours = series(&page, "container_network_transmit_packets_total", "web");
    let theirs = kernel("tx_packets");
    assert!(
        (ours - theirs).abs() <= 0.1 * theirs + 5.0,
        "{ours} packets sent by our count, {theirs} by the kernel's"
    );
}

#[test]
fn no_counter_goes_back_when_a_daemon_takes_over() {
    let Some(mut bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let load = format!("for i in $(seq 20); do curl -sS -o /dev/null http://{HOST_ADDRESS}:8080/; done");
    bed.in_client(&load);
    let before = counters(&bed.in_host(SCRAPE));
    assert!(before.len() > 30, "{before:?}");
    bed.kill_daemon();
    bed.in_client(&load);
    bed.start();
    let after = counters(&bed.in_host(SCRAPE));
    for (series, value) in &before {
        let later = after.get(series).unwrap_or_else(|| panic!("{series} is gone"));
        assert!(later >= value, "{series} went from {value} back to {later}");
    }
    let requests = |counters: &BTreeMap<String, f64>| {
        let hits =
            counters.iter().find(|(series, _)| series.starts_with("beeline_publish_connections_total"));
        *hits.unwrap().1
    };
    assert_eq!(
        (requests(&before), requests(&after)),
        (20.0, 40.0),
        "connections made while no daemon lives count"
    );
}

/// The counters of containers and of the datapath; those of the daemon itself begin anew with it.
fn counters(page: &str) -> BTreeMap<String, f64> {
    let kept =
        ["container_", "beeline_container_", "beeline_datapath_", "beeline_publish_", "beeline_daemon_rule_"];
    let is_counter = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap();
        name.ends_with("_total") && kept.iter().any(|beginning| name.starts_with(beginning))
    };
    let parse = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    page.lines().filter(is_counter).map(parse).collect()
}

#[test]
fn the_label_list_of_the_daemon_decides_which_labels_series_have() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    fs::write(bed.dirs.config(), r#"{ "metrics-labels": ["org.example.*"] }"#).unwrap();
    bed.start();
    let labels = ["-l", "org.example.team=bees", "-l", "secret=1", "-l", "com.docker.compose.project=shop"];
    bed.docker_ok(&[&["run", "-d", "--name", "web"], &labels[..], &["beeline/whoami"]].concat());
    let page = bed.in_host(SCRAPE);
    let line =
        page.lines().find(|line| line.starts_with("container_last_seen{") && line.contains("web")).unwrap();
    assert!(line.contains("container_label_org_example_team=\"bees\""), "{line}");
    assert!(line.contains("container_label_com_docker_compose_project=\"shop\""), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

/// The value of the first series of `family` whose container is `name`.
pub(crate) fn series(page: &str, family: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{family}{{")) && line.contains(&format!("name=\"{name}\"")))
        .unwrap_or_else(|| panic!("no {family} of {name} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
