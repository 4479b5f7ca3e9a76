//! The metrics endpoint, checked by promtool and scraped by a real Prometheus; the dashboard's queries find data.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use beeline_testbed::HOST_ADDRESS;
use beeline_testbed::command::{self, wait};

use crate::bed::{Bed, with_input};

const SCRAPE: &str = "curl -sS --max-time 5 http://127.0.0.1:9323/metrics";

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
fn every_panel_of_every_dashboard_finds_data_in_a_real_prometheus() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let burn = "while :; do :; done";
    bed.docker_ok(&[
        "run", "-d", "--name", "busy", "--cpus", "0.1", "--memory", "64m", "busybox", "sh", "-c", burn,
    ]);
    let dashboards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards");
    // The shipped configuration with a shorter interval, so that the test need not wait for minutes.
    let shipped = fs::read_to_string(dashboards.join("prometheus/prometheus.yml")).unwrap();
    let config = bed.dirs.path().join("prometheus.yml");
    fs::write(&config, shipped.replace("interval: 15s", "interval: 1s")).unwrap();
    let mut prometheus = bed
        .topology
        .host
        .command("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", bed.dirs.path().join("tsdb").display()))
        .arg("--web.listen-address=127.0.0.1:9090")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let query = |expression: &str| {
        let output = command::output(bed.topology.host.command("promtool").args([
            "query",
            "instant",
            "http://127.0.0.1:9090",
            expression,
        ]))
        .unwrap();
        assert!(
            output.status.success() || output.stderr.contains("connection refused"),
            "{expression}: {output}"
        );
        output.text()
    };
    bed.eventually("five scrapes", || {
        bed.in_client(&format!("curl -sS -o /dev/null http://{HOST_ADDRESS}:8080/"));
        let scrapes = query("count_over_time(container_last_seen{name=\"web\"}[1m]) >= 5");
        scrapes.contains("web").then_some(())
    });
    let mut panels = 0;
    for file in fs::read_dir(dashboards.join("grafana/dashboards")).unwrap().flatten() {
        let dashboard: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
        for expression in expressions(&dashboard) {
            panels += 1;
            let concrete = expression
                .replace("$container", ".+")
                .replace("$__rate_interval", "10s")
                .replace("$__range", "30s");
            assert!(!query(&concrete).is_empty(), "{}: no data for {concrete}", file.path().display());
        }
    }
    assert!(panels >= 10, "{panels} panels were checked");
    prometheus.kill().unwrap();
    wait(&mut prometheus, Duration::from_secs(10)).unwrap();
}

/// Every target's expression of every panel.
fn expressions(dashboard: &serde_json::Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The value of the first series of `family` whose container is `name`.
fn series(page: &str, family: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{family}{{")) && line.contains(&format!("name=\"{name}\"")))
        .unwrap_or_else(|| panic!("no {family} of {name} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
