//! `beeline daemon`: checks what it needs, opens the engine, serves until it is told to stop.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use beeline_api::{Exporter, Listener};
use beeline_engine::{Engine, EngineConfig};
use beeline_spawn::memory;
use clap::Parser;
use clap::error::ErrorKind;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};
use nix::unistd::geteuid;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Flags, Settings};
use crate::telemetry;

/// Runs the daemon until SIGTERM or SIGINT. `args` are the whole command line, `beeline daemon` included.
#[expect(clippy::print_stderr, reason = "what goes wrong before the log is set up is said on standard error")]
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let flags = match Flags::try_parse_from(args.iter().skip(1)) {
        Ok(flags) => flags,
        Err(error) => {
            // Printing fails only when there is no one to read it.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beeline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: Flags) -> Result<()> {
    let validate = flags.validate;
    let settings = Settings::load(flags)?;
    if validate {
        return settings.metrics.options().map(drop);
    }
    if !geteuid().is_root() {
        bail!(
            "the daemon must run as root: it makes namespaces, control groups and loads eBPF programs; try sudo"
        );
    }
    telemetry::init(settings.log_level);
    memory::keep_little();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> Result<()> {
    // Listened for before the engine exists: a signal during start is a stop, not a crash.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let config = engine_config(&settings)?;
    let exporter = settings.export.clone().map(Exporter::open).transpose().context("open flow-export")?;
    let engine = tokio::select! {
        engine = Engine::open(config) => engine?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };

    let stop = CancellationToken::new();
    let mut listeners = Vec::new();
    for host in &settings.hosts {
        listeners.push(Listener::bind(host).await?);
    }
    let metrics = serve_metrics(&settings, &engine, &stop).await?;
    let api = tokio::spawn(beeline_api::serve(listeners, engine.clone(), stop.clone()));
    let export = exporter.map(|exporter| tokio::spawn(exporter.run(engine.clone(), stop.clone())));
    notify_ready();
    // Loading the programs took more than all that the daemon needs from now on.
    memory::release();
    let hosts = settings.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %hosts, "ready");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; running containers go on");
    stop.cancel();
    api.await.context("serve the API")?;
    if let Some(metrics) = metrics {
        metrics.await.context("serve the metrics")?;
    }
    if let Some(export) = export {
        export.await.context("export the flows")?;
    }
    engine.shutdown().await.context("shut down the engine")
}

fn engine_config(settings: &Settings) -> Result<EngineConfig> {
    let exe = env::current_exe().context("find Beeline's own executable")?;
    let defaults = EngineConfig::new(settings.root.clone(), settings.run.clone(), exe);
    Ok(EngineConfig {
        instance: settings.instance.clone(),
        datapath_log: settings.log_level.datapath(),
        conntrack_entries: settings.conntrack_entries,
        conntrack_timeouts: settings.conntrack_timeouts,
        subnet: settings.bip,
        ipv6: settings.ipv6,
        subnet6: settings.fixed_cidr_v6,
        address_pools: settings.address_pools.clone(),
        mtu: settings.mtu,
        publish_address: settings.publish_address,
        icc: settings.icc,
        masquerade: settings.ip_masq,
        rules: settings.rules.clone(),
        bridge_rules: settings.bridge_rules.clone(),
        guard: settings.guard.clone(),
        log: settings.log.clone(),
        cgroup_parent: settings.cgroup_parent.clone(),
        security: settings.security.clone(),
        bridge_accelerate: settings.bridge_accelerate,
        accelerate_host: settings.accelerate_host,
        watch: settings.watch,
        ..defaults
    })
}

/// Serves /metrics unless it is off.
async fn serve_metrics(
    settings: &Settings,
    engine: &Engine,
    stop: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(address) = settings.metrics.address else { return Ok(None) };
    let options = settings.metrics.options()?;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "listen for metrics on {address}; choose another with --metrics-addr, or switch it off with `off`"
        )
    })?;
    Ok(Some(tokio::spawn(beeline_api::serve_metrics(listener, engine.clone(), options, stop.clone()))))
}

/// Tells a service manager that the daemon answers (sd_notify(3)): one datagram to the socket it names.
fn notify_ready() {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let send = || -> nix::Result<usize> {
        let name = path.as_encoded_bytes();
        // A leading @ stands for the zero byte of an abstract name.
        let address = match name.strip_prefix(b"@") {
            Some(name) => UnixAddr::new_abstract(name)?,
            None => UnixAddr::new(name)?,
        };
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        sendto(std::os::fd::AsRawFd::as_raw_fd(&socket), b"READY=1", &address, MsgFlags::empty())
    };
    if let Err(error) = send() {
        tracing::warn!(%error, "the service manager was not told that the daemon is ready");
    }
}
