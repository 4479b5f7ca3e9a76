//! The daemon's description of itself.

use std::collections::BTreeMap;

use beeline_engine::EngineInfo;
use beeline_wire::system::info::{Commit, Info, Plugins, RegistryConfig, Runtime, Swarm};
use beeline_wire::system::version::{Component, Platform, VersionResponse};
use beeline_wire::version::ApiVersion;
use jiff::Timestamp;

use super::signed;
use crate::VERSION;

const NETWORK_DRIVERS: [&str; 3] = ["bridge", "host", "null"];

pub(crate) fn version(engine: &EngineInfo) -> VersionResponse {
    let arch = go_architecture(&engine.architecture).to_owned();
    let details = [
        ("ApiVersion", ApiVersion::MAX.to_string()),
        ("Arch", arch.clone()),
        ("BuildTime", String::new()),
        ("Experimental", "false".to_owned()),
        ("GitCommit", String::new()),
        ("GoVersion", String::new()),
        ("KernelVersion", engine.kernel.clone()),
        ("MinAPIVersion", ApiVersion::MIN.to_string()),
        ("Os", "linux".to_owned()),
    ];
    let component = Component {
        name: "Engine".to_owned(),
        version: VERSION.to_owned(),
        details: details.map(|(name, value)| (name.to_owned(), value)).into(),
    };
    VersionResponse {
        platform: Platform { name: "Beeline".to_owned() },
        components: vec![component],
        version: VERSION.to_owned(),
        api_version: ApiVersion::MAX.to_string(),
        min_api_version: ApiVersion::MIN.to_string(),
        git_commit: String::new(),
        go_version: String::new(),
        os: "linux".to_owned(),
        arch,
        kernel_version: engine.kernel.clone(),
        build_time: String::new(),
    }
}

/// `x86_64` is `amd64` where Docker uses Go's words.
fn go_architecture(uname: &str) -> &str {
    match uname {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) fn info(engine: &EngineInfo) -> Info {
    let counted = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Info {
        id: engine.id.clone(),
        containers: counted(engine.containers),
        containers_running: counted(engine.running),
        containers_paused: counted(engine.paused),
        containers_stopped: counted(engine.stopped),
        images: counted(engine.images),
        driver: "overlay2".to_owned(),
        driver_status: [["Instance".to_owned(), engine.instance.to_string()]]
            .into_iter()
            .chain(engine.guards.iter().map(|guard| ["Guard".to_owned(), guard.clone()]))
            .collect(),
        plugins: Plugins {
            volume: vec!["local".to_owned()],
            network: NETWORK_DRIVERS.map(str::to_owned).into(),
            authorization: None,
            log: beeline_engine::log_drivers().map(str::to_owned).collect(),
        },
        memory_limit: true,
        swap_limit: true,
        cpu_cfs_period: true,
        cpu_cfs_quota: true,
        cpu_shares: true,
        cpu_set: true,
        pids_limit: true,
        ipv4_forwarding: true,
        debug: tracing::enabled!(tracing::Level::DEBUG),
        n_fd: entries("/proc/self/fd"),
        oom_kill_disable: engine.cgroup_version == "1",
        n_goroutines: entries("/proc/self/task"),
        system_time: Timestamp::now().to_string(),
        logging_driver: engine.log_driver.clone(),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: engine.cgroup_version.to_owned(),
        n_events_listener: 0,
        kernel_version: engine.kernel.clone(),
        operating_system: engine.operating_system.clone(),
        os_version: engine.os_version.clone(),
        os_type: "linux".to_owned(),
        architecture: engine.architecture.clone(),
        index_server_address: String::new(),
        registry_config: RegistryConfig::default(),
        ncpu: counted(engine.cpus),
        mem_total: signed(engine.memory),
        generic_resources: None,
        docker_root_dir: engine.root.display().to_string(),
        name: engine.hostname.clone(),
        server_version: VERSION.to_owned(),
        runtimes: BTreeMap::from([("beeline".to_owned(), Runtime { path: "beeline".to_owned() })]),
        default_runtime: "beeline".to_owned(),
        swarm: Swarm { local_node_state: "inactive".to_owned(), ..Swarm::default() },
        // Containers survive the daemon, always.
        live_restore_enabled: true,
        // Built in: nothing is executed for it.
        init_binary: "beeline".to_owned(),
        containerd_commit: not_there(),
        runc_commit: not_there(),
        init_commit: not_there(),
        security_options: [format!("name=seccomp,profile={}", engine.seccomp_profile)]
            .into_iter()
            .chain(engine.remaps.then(|| "name=userns".to_owned()))
            .chain(["name=cgroupns".to_owned()])
            .collect(),
        warnings: engine.warnings.clone(),
        ..Info::default()
    }
}

/// Docker's parts that Beeline does not consist of.
fn not_there() -> Commit {
    Commit { id: "N/A".to_owned() }
}

/// How many entries a directory of /proc has.
fn entries(directory: &str) -> i64 {
    std::fs::read_dir(directory).map_or(0, |entries| i64::try_from(entries.count()).unwrap_or(i64::MAX))
}
