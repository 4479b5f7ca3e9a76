//! What is shipped for Prometheus and Grafana: a real Prometheus scrapes a live daemon with the shipped configuration, and
//! every query of the dashboards and rules finds data.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use beeline_testbed::HOST_ADDRESS;
use beeline_testbed::command::{self, wait};
use serde_json::Value;

use crate::accuracy::counts_devices;
use crate::bed::Bed;

/// What the dashboards 193 and 14282 of grafana.com ask for, their variables replaced by everything.
const OTHERS: &[&str] = &[
    // 193, "Docker monitoring".
    r#"count(rate(container_last_seen{name=~".+"}[10s]))"#,
    r#"sum(rate(container_cpu_system_seconds_total[1m]))"#,
    r#"sum(rate(container_cpu_system_seconds_total{name=~".+"}[1m]))"#,
    r#"sum(rate(container_cpu_system_seconds_total{id="/"}[1m]))"#,
    r#"sum(rate(process_cpu_seconds_total[10s])) * 100"#,
    r#"sum(rate(container_cpu_usage_seconds_total{name=~".+"}[10s])) by (name) * 100"#,
    r#"sum(rate(container_network_receive_bytes_total{id="/"}[10s])) by (id)"#,
    r#"- sum(rate(container_network_transmit_bytes_total{id="/"}[10s])) by (id)"#,
    r#"sum(rate(container_network_receive_bytes_total{name=~".+"}[10s])) by (name)"#,
    r#"- rate(container_network_transmit_bytes_total{name=~".+"}[10s])"#,
    r#"sum(container_memory_rss{name=~".+"}) by (name)"#,
    r#"container_memory_rss{name=~".+"}"#,
    r#"sum(container_memory_usage_bytes{name=~".+"}) by (name)"#,
    r#"container_memory_usage_bytes{id="/"}"#,
    // 14282, "Cadvisor exporter".
    r#"{__name__=~"container.*",instance=~".+"}"#,
    r#"sum(rate(container_cpu_usage_seconds_total{instance=~".+",name=~".+",name=~".+"}[5m])) by (name) * 100"#,
    r#"sum(container_memory_rss{instance=~".+",name=~".+",name=~".+"}) by (name)"#,
    r#"sum(container_memory_cache{instance=~".+",name=~".+",name=~".+"}) by (name)"#,
    r#"sum(rate(container_network_receive_bytes_total{instance=~".+",name=~".+",name=~".+"}[5m])) by (name)"#,
    r#"sum(rate(container_network_transmit_bytes_total{instance=~".+",name=~".+",name=~".+"}[5m])) by (name)"#,
    r#"(time() - container_start_time_seconds{instance=~".+",name=~".+",name=~".+"})/86400"#,
    r#"container_start_time_seconds{container_label_com_docker_compose_project="shop"}"#,
];

/// A file of the dashboards' directory.
pub(crate) fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards").join(path)
}

/// A Prometheus in the host's namespace.
pub(crate) struct Prometheus<'a> {
    bed: &'a Bed,
    process: Child,
}

impl<'a> Prometheus<'a> {
    /// One with the shipped configuration that scrapes once a second, so that the tests need not wait for minutes.
    fn start(bed: &'a Bed) -> Self {
        let rules = shipped("prometheus/rules/beeline.yml");
        let config = fs::read_to_string(shipped("prometheus/prometheus.yml")).unwrap();
        let config = config
            .replace("interval: 15s", "interval: 1s")
            .replace("rules/beeline.yml", &rules.display().to_string());
        Self::with_config(bed, &config)
    }

    /// One with a configuration.
    pub(crate) fn with_config(bed: &'a Bed, config: &str) -> Self {
        let file = bed.dirs.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let process = bed
            .topology
            .host
            .command("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", bed.dirs.path().join("tsdb").display()))
            .arg("--web.listen-address=127.0.0.1:9090")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { bed, process }
    }

    /// The values that a query finds now; none while Prometheus does not answer yet.
    fn values(&self, query: &str) -> Vec<String> {
        let curl = ["-sS", "--max-time", "10", "--data-urlencode"];
        let mut curl_command = self.bed.topology.host.command("curl");
        curl_command.args(curl).arg(format!("query={query}")).arg("http://127.0.0.1:9090/api/v1/query");
        let output = command::output(&mut curl_command).unwrap();
        if !output.status.success() {
            return Vec::new();
        }
        // Before it is ready its answers are no JSON.
        let Ok(answer) = serde_json::from_str::<Value>(&output.text()) else { return Vec::new() };
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let found = answer["data"]["result"].as_array().unwrap();
        found.iter().map(|series| series["value"][1].as_str().unwrap().to_owned()).collect()
    }

    /// Whether a query finds anything now.
    pub(crate) fn finds(&self, query: &str) -> bool {
        self.values(query).iter().any(|value| value != "NaN")
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| {
            wait(&mut self.process, Duration::from_secs(10)).map(drop).map_err(std::io::Error::other)
        });
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

/// Containers that do a bit of everything.
fn start_workload(bed: &Bed) {
    bed.busybox();
    bed.docker_ok(&["network", "create", "shop"]);
    let project = "com.docker.compose.project=shop";
    let denied = "beeline.publish.deny=203.0.113.0/24";
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-l",
        project,
        "-l",
        denied,
        "beeline/whoami",
    ]);
    let work = format!(
        "while :; do dd if=/dev/zero of=/file bs=64k count=16 conv=fsync 2>/dev/null; \
         wget -q -O /dev/null http://{HOST_ADDRESS}:8080/; nslookup web2 127.0.0.11 >/dev/null 2>&1; \
         i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done"
    );
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "--network",
        "shop",
        "--cpus",
        "0.1",
        "--pids-limit",
        "100",
        "--memory",
        "64m",
        "busybox",
        "sh",
        "-c",
        &work,
    ]);
}

/// Something of everything that happens: requests, and a container that comes and goes.
fn work_once(bed: &Bed) {
    bed.in_client(&format!("curl -sS -o /dev/null http://{HOST_ADDRESS}:8080/"));
    bed.docker_ok(&["run", "--rm", "--network", "shop", "busybox", "true"]);
}

/// Every target's expression of every panel, with the panel's title.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(move |target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned()))
    });
    targets.collect()
}

fn dashboards() -> Vec<(PathBuf, Value)> {
    let files = fs::read_dir(shipped("grafana/dashboards")).unwrap().flatten();
    files
        .map(|file| (file.path(), serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap()))
        .collect()
}

/// The lines of the rules that begin with a key: `expr: …`, also where it goes on below.
fn rules(key: &str) -> Vec<String> {
    let text = fs::read_to_string(shipped("prometheus/rules/beeline.yml")).unwrap();
    let values = text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
    values.map(|value| value.trim().to_owned()).collect()
}

#[test]
fn every_panel_and_rule_finds_data_in_a_real_prometheus() {
    let Some(bed) = Bed::new() else { return };
    start_workload(&bed);
    let prometheus = Prometheus::start(&bed);
    bed.eventually("ten scrapes", || {
        work_once(&bed);
        prometheus.finds("count_over_time(container_last_seen{name=\"web\"}[1m]) >= 10").then_some(())
    });
    bed.eventually("the layers are measured", || prometheus.finds("container_fs_usage_bytes").then_some(()));
    work_once(&bed);
    let mut empty = Vec::new();
    let mut panels = 0;
    for (file, dashboard) in dashboards() {
        for (title, expression) in expressions(&dashboard) {
            panels += 1;
            let concrete = expression
                .replace("$container", ".+")
                .replace("$project", ".*")
                .replace("$__rate_interval", "20s")
                .replace("$__range", "30s");
            if !prometheus.finds(&concrete) {
                empty.push(format!("{}: {title}: {concrete}", file.display()));
            }
        }
    }
    // A record's name stands for its query. What an alert compares comes before its threshold.
    let records = rules("record:");
    let compared = rules("expr:").into_iter().filter(|expression| expression != ">-");
    let compared: Vec<String> =
        compared.map(|alert| alert.split([' ', '>']).next().unwrap().to_owned()).collect();
    let names: BTreeSet<String> = records.into_iter().chain(compared).collect();
    empty.extend(names.iter().filter(|name| !prometheus.finds(name)).cloned());
    empty.extend(OTHERS.iter().filter(|query| !prometheus.finds(query)).map(|query| (*query).to_owned()));
    // Where the kernel lets functions be watched.
    if !prometheus.finds("beeline_container_tcp_listen_overflows_total") {
        empty.retain(|query| !query.contains("listen_overflows") && !query.contains("window_probes"));
    }
    if !counts_devices() {
        empty.retain(|query| !query.contains("(rate(container_fs_"));
    }
    assert!(panels >= 70, "{panels} panels were checked");
    assert!(names.len() >= 14, "{names:?}");
    assert!(
        empty.is_empty(),
        "no data for\n{}\nin\n{}",
        empty.join("\n"),
        bed.in_host("curl -sS http://127.0.0.1:9323/metrics")
    );

    bed.docker_ok(&["rm", "-f", "busy"]);
    bed.eventually("the series of a removed container end", || {
        (!prometheus.finds("container_last_seen{name=\"busy\"}")).then_some(())
    });
    bed.docker_ok(&["rm", "-f", "web"]);
    drop(prometheus);
    bed.docker_ok(&["network", "rm", "shop"]);
}

#[test]
fn promtool_finds_no_fault_and_every_alert_fires_where_it_should() {
    for args in [
        &["check", "config", "prometheus/prometheus.yml"][..],
        &["check", "rules", "prometheus/rules/beeline.yml"],
        &["test", "rules", "prometheus/rules/beeline_test.yml"],
    ] {
        let (last, verbs) = args.split_last().unwrap();
        let mut promtool = Command::new("promtool");
        let output = command::output(promtool.args(verbs).arg(shipped(last))).unwrap();
        assert!(output.status.success(), "promtool {args:?}: {output}");
    }
    let tested = fs::read_to_string(shipped("prometheus/rules/beeline_test.yml")).unwrap();
    let runbook = fs::read_to_string(shipped("../docs/runbook.md")).unwrap();
    for alert in rules("alert:") {
        assert!(tested.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
        assert!(
            runbook.contains(&format!("\n## {alert}\n")),
            "docs/runbook.md does not say what to do about {alert}"
        );
    }
    for url in rules("runbook_url:") {
        let anchor = url.strip_prefix("docs/runbook.md#").unwrap();
        assert!(runbook.to_lowercase().contains(&format!("\n## {anchor}\n")), "{url} leads nowhere");
    }
}

#[test]
fn every_dashboard_is_complete() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        let name = file.display();
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{name}: its uid is another's");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert_eq!(variables[0]["type"], "datasource", "{name}");
        assert!(!dashboard["links"].as_array().unwrap().is_empty(), "{name} leads nowhere");
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {title}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}: {title} has no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {title}");
        }
    }
    let named: BTreeSet<&str> = uids.iter().map(String::as_str).collect();
    let expected = ["beeline-container", "beeline-health", "beeline-network", "beeline-overview"];
    assert_eq!(named, BTreeSet::from(expected));
}
