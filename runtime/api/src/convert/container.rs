//! Containers as listings and inspections show them.

use std::collections::BTreeMap;

use beeline_engine::{ContainerConfig, ContainerView, Healthcheck, Moment, MountView, PortMapping, Probe};
use beeline_wire::container::config::{Config, HealthConfig};
use beeline_wire::container::inspect::{
    ContainerInspect, ContainerState, GraphDriver, Health, HealthcheckResult,
};
use beeline_wire::container::mount::MountPoint;
use beeline_wire::container::summary::{ContainerSummary, Port, SummaryHostConfig, SummaryNetworkSettings};
use beeline_wire::go::{Empty, StrSlice, ZERO_TIME};
use beeline_wire::version::ApiVersion;
use jiff::Timestamp;

use super::{host_config, human, list, network};

pub(crate) fn summary(view: &ContainerView) -> ContainerSummary {
    let networks = view
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.network.clone(), network::endpoint(endpoint, ApiVersion::MAX)));
    let mode = &view.config.host.network_mode;
    ContainerSummary {
        id: view.id.to_string(),
        names: vec![format!("/{}", view.name)],
        image: view.config.image.clone(),
        image_id: view.image_id.clone(),
        command: command(&view.argv),
        created: view.created.as_second(),
        ports: view.ports.iter().map(port).collect(),
        size_rw: None,
        size_root_fs: None,
        labels: view.config.labels.clone(),
        state: view.status.state.as_str().to_owned(),
        status: human::status(&view.status, Moment::now()),
        host_config: SummaryHostConfig {
            network_mode: if mode.is_empty() { "bridge".to_owned() } else { mode.clone() },
            annotations: view.config.host.annotations.clone(),
        },
        network_settings: SummaryNetworkSettings { networks: networks.collect() },
        mounts: view.mounts.iter().map(mount).collect(),
    }
}

/// Words with a space are quoted, as `docker ps` shows them.
fn command(argv: &[String]) -> String {
    let quote = |(index, word): (usize, &String)| {
        if index > 0 && word.contains(' ') { format!("'{word}'") } else { word.clone() }
    };
    argv.iter().enumerate().map(quote).collect::<Vec<_>>().join(" ")
}

fn port(port: &PortMapping) -> Port {
    let (ip, public_port) = port.host.map(|(ip, port)| (ip.to_string(), port)).unwrap_or_default();
    Port { ip, private_port: port.container_port, public_port, kind: port.protocol.to_string() }
}

fn mount(mount: &MountView) -> MountPoint {
    MountPoint {
        kind: mount.kind.clone(),
        name: mount.name.clone(),
        source: mount.source.clone(),
        destination: mount.destination.clone(),
        driver: if mount.kind == "volume" { "local".to_owned() } else { String::new() },
        mode: mount.mode.clone(),
        rw: mount.writable,
        propagation: mount.propagation.clone(),
    }
}

pub(crate) fn inspect(view: &ContainerView, version: ApiVersion) -> ContainerInspect {
    let (path, args) =
        view.argv.split_first().map(|(path, args)| (path.clone(), args.to_vec())).unwrap_or_default();
    let paths = &view.paths;
    let text = |path: &std::path::Path| path.display().to_string();
    ContainerInspect {
        id: view.id.to_string(),
        created: view.created.to_string(),
        path,
        args,
        state: state(view),
        image: view.image_id.clone(),
        resolv_conf_path: text(&paths.resolv_conf),
        hostname_path: text(&paths.hostname),
        hosts_path: text(&paths.hosts),
        // Docker shows the one format that others read.
        log_path: if matches!(view.config.host.log.driver.as_str(), "" | "json-file") {
            text(&paths.log)
        } else {
            String::new()
        },
        name: format!("/{}", view.name),
        restart_count: i64::try_from(view.restart_count).unwrap_or(i64::MAX),
        driver: "overlay2".to_owned(),
        platform: view.platform.clone(),
        exec_ids: None,
        host_config: host_config::to_wire(&view.config.host),
        graph_driver: graph_driver(view),
        mounts: view.mounts.iter().map(mount).collect(),
        config: config(&view.config),
        network_settings: network::settings(view, version),
        ..ContainerInspect::default()
    }
}

fn state(view: &ContainerView) -> ContainerState {
    let status = &view.status;
    let time = |time: Option<Timestamp>| time.map_or_else(|| ZERO_TIME.to_owned(), |time| time.to_string());
    ContainerState {
        status: status.state.as_str().to_owned(),
        running: status.state.is_up(),
        paused: status.state == beeline_engine::ContainerState::Paused,
        restarting: status.state == beeline_engine::ContainerState::Restarting,
        oom_killed: status.oom_killed,
        dead: status.state == beeline_engine::ContainerState::Dead,
        pid: status.pid.into(),
        exit_code: status.exit_code,
        error: status.error.clone(),
        started_at: time(status.started_at),
        finished_at: time(status.finished_at),
        health: status.health.as_ref().map(health),
    }
}

fn health(health: &beeline_engine::Health) -> Health {
    let result = |probe: &Probe| HealthcheckResult {
        start: probe.start.to_string(),
        end: probe.end.to_string(),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    };
    Health {
        status: health.status.as_str().to_owned(),
        failing_streak: i64::try_from(health.failing_streak).unwrap_or(i64::MAX),
        log: Some(health.log.iter().map(result).collect()),
    }
}

fn graph_driver(view: &ContainerView) -> GraphDriver {
    let paths = &view.paths;
    // Top first, as overlayfs takes them.
    let lower: Vec<_> = paths.layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    let data = [
        ("ID", view.id.to_string()),
        ("LowerDir", lower.join(":")),
        ("UpperDir", paths.upper.display().to_string()),
        ("WorkDir", paths.work.display().to_string()),
    ];
    let data: BTreeMap<_, _> = data.map(|(name, value)| (name.to_owned(), value)).into();
    GraphDriver { data: Some(data), name: "overlay2".to_owned() }
}

fn config(config: &ContainerConfig) -> Config {
    let set = |names: &std::collections::BTreeSet<String>| {
        names.iter().map(|name| (name.clone(), Empty {})).collect::<BTreeMap<_, _>>()
    };
    Config {
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        user: config.user.clone(),
        attach_stdin: config.attach_stdin,
        attach_stdout: config.attach_stdout,
        attach_stderr: config.attach_stderr,
        exposed_ports: set(&config.exposed_ports),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: Some(config.env.clone()),
        cmd: config.cmd.clone().map(StrSlice),
        healthcheck: config.healthcheck.as_ref().map(healthcheck),
        image: config.image.clone(),
        volumes: Some(set(&config.volumes)).filter(|volumes| !volumes.is_empty()),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone().map(StrSlice),
        network_disabled: config.network_disabled,
        mac_address: config.mac_address.clone(),
        on_build: None,
        labels: Some(config.labels.clone()),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout,
        ..Config::default()
    }
}

fn healthcheck(check: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: list(check.test.clone()),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_spaces_are_quoted() {
        let argv = ["sh", "-c", "echo hi", "x"].map(str::to_owned);
        assert_eq!(command(&argv), "sh -c 'echo hi' x");
        assert_eq!(command(&[]), "");
    }
}
