//! `cargo xtask demo`: a container answers on a published port, and no netfilter rule is anywhere.
//!
//! Everything happens in two network namespaces and a temporary directory that the demo makes for itself:
//!
//! ```text
//!   client  192.0.2.2 ---uplink--- 192.0.2.1  host: the daemon, and behind bl-INSTANCE the container
//! ```

mod screen;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use beeline_testbed::command::{eventually, text};
use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS, NetNs};

use crate::progress::{Step, note, seconds};
use crate::setup::{self, Purpose};
use crate::stage::Stage;
use crate::workspace::is_root;
use crate::{build, interrupt};

/// The published port on the host, and the name of the container.
const PORT: u16 = 8080;
const NAME: &str = "hello";

/// The metrics that the demo shows: one of each resource.
const METRICS: &[&str] = &[
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_processes",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
    "container_network_receive_packets_total",
    "container_network_transmit_packets_total",
];

/// Run a container on a published port, in network namespaces of its own, and show how it answers
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave it running and say how to go on
    #[arg(long)]
    keep: bool,
    /// Use this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(is_root(), "the demo makes network namespaces and loads BPF programs: run it as root");
        let start = Instant::now();
        setup::ensure(Purpose::Demo)?;
        let binary = build::given_or_release(self.binary)?;
        let demo = Demo::new(binary)?;
        demo.play()?;
        if self.keep {
            demo.keep();
            return Ok(());
        }
        demo.stage.clear()?;
        note(&format!("done in {}", seconds(start.elapsed())));
        Ok(())
    }
}

/// The scenes, played on a stage of their own.
#[derive(Debug)]
struct Demo {
    binary: PathBuf,
    stage: Stage,
}

impl Demo {
    fn new(binary: PathBuf) -> Result<Self> {
        let stage = Stage::build(&binary, "beeline-demo", &[])?;
        note(&format!(
            "network namespaces: {} ({HOST_ADDRESS}), where the daemon is, and {} ({CLIENT_ADDRESS})",
            stage.topology.host.name(),
            stage.topology.client.name()
        ));
        Ok(Self { binary, stage })
    }

    fn play(&self) -> Result<()> {
        let outcome = self.scenes();
        if outcome.is_err() && interrupt::check().is_ok() {
            screen::show("the daemon's log", &self.stage.directories.log());
        }
        outcome
    }

    fn scenes(&self) -> Result<()> {
        let start =
            Step::start(format!("beeline run --detach --name {NAME} --publish {PORT}:80 beeline/whoami"));
        let publish = format!("{PORT}:80");
        let run =
            ["run", "--detach", "--name", NAME, "--memory", "64m", "--publish", &publish, "beeline/whoami"];
        match text(self.stage.beeline().args(run)) {
            Ok(id) => start.done(id.get(..12).unwrap_or(&id)),
            Err(error) => return Err(start.failed(error)),
        }
        interrupt::check()?;
        let page = self.fetch(&self.stage.topology.host, "127.0.0.1")?;
        screen::show(&format!("curl http://127.0.0.1:{PORT}/   (on the host)"), &page);
        let page = self.fetch(&self.stage.topology.client, HOST_ADDRESS)?;
        let page = screen::lines(&page, &["Hostname", "RemoteAddr"]);
        let line = format!(
            "curl http://{HOST_ADDRESS}:{PORT}/ | grep -E 'Hostname|RemoteAddr'   (from the client's namespace)"
        );
        screen::show(&line, &page);
        ensure!(
            page.contains(CLIENT_ADDRESS),
            "the container does not see the client's own address, {CLIENT_ADDRESS}"
        );
        interrupt::check()?;
        screen::show("beeline ports", &text(self.stage.beeline().arg("ports"))?);
        screen::show(&format!("curl 127.0.0.1:9323/metrics | grep {NAME}"), &self.metrics()?);
        self.programs()?;
        self.netfilter_is_empty()
    }

    /// Fetches the page inside `namespace`.
    fn fetch(&self, namespace: &NetNs, address: &str) -> Result<String> {
        let url = format!("http://{address}:{PORT}/");
        let curl = ["--silent", "--show-error", "--fail", "--max-time", "5", &url];
        // The first request may come before the container listens; it is refused then, by the container itself.
        let page = eventually("the container answers", Duration::from_secs(5), || {
            text(namespace.command("curl").args(curl)).ok()
        });
        // The last attempt's error says more than that it was late.
        page.or_else(|_late| text(namespace.command("curl").args(curl)))
    }

    /// The container's lines of the daemon's metrics.
    fn metrics(&self) -> Result<String> {
        let curl = ["--silent", "--show-error", "--fail", "--max-time", "5", "http://127.0.0.1:9323/metrics"];
        let label = format!("name=\"{NAME}\"");
        // The sampler looks at the container once a second.
        eventually("the container's metrics appear", Duration::from_secs(5), || {
            let metrics = text(self.stage.topology.host.command("curl").args(curl)).ok()?;
            let lines = screen::metrics(&metrics, &label, METRICS);
            (!lines.is_empty()).then_some(lines)
        })
    }

    /// Shows the programs at work: by device, or by pin where bpftool is too old to know TCX links (before 7.3).
    fn programs(&self) -> Result<()> {
        let host = &self.stage.topology.host;
        let attached = screen::programs(&text(host.command("bpftool").arg("net"))?);
        if !attached.is_empty() {
            screen::show("bpftool net", &attached);
            return Ok(());
        }
        let links = PathBuf::from("/sys/fs/bpf/beeline").join(&self.stage.topology.instance).join("links");
        let mut listing = String::new();
        for pin in pins(&links)? {
            let link = text(host.command("bpftool").args(["link", "show", "pinned"]).arg(links.join(&pin)))?;
            listing.push_str(&screen::link(&pin, &link));
        }
        screen::show(&format!("bpftool link show pinned {}/...", links.display()), &listing);
        Ok(())
    }

    /// Shows that netfilter has no rule in the host's namespace, and fails when it has.
    fn netfilter_is_empty(&self) -> Result<()> {
        let host = &self.stage.topology.host;
        let mut rules = String::new();
        for program in ["iptables-save", "ip6tables-save"] {
            rules.push_str(&text(&mut host.command(program))?);
        }
        rules.push_str(&text(host.command("nft").args(["list", "ruleset"]))?);
        if screen::has_rules(&rules) {
            bail!("netfilter is not empty:\n{rules}");
        }
        screen::show("iptables-save; ip6tables-save; nft list ruleset", "(no rule)");
        Ok(())
    }

    /// Leaves everything running, and says how to use it and how to end it.
    fn keep(self) {
        let (host, client) = (self.stage.topology.host.name(), self.stage.topology.client.name());
        let pid = self.stage.daemon_pid();
        let text = format!(
            "export DOCKER_HOST={docker_host}\n\
             {binary} ps                     # so do docker ps, docker logs, ...\n\
             nsenter --net=/run/netns/{client} curl http://{HOST_ADDRESS}:{PORT}/\n\
             nsenter --net=/run/netns/{host} curl http://127.0.0.1:9323/metrics\n\
             # and to end it:\n\
             {binary} rm --force {NAME}; kill {pid}; ip netns delete {client}; ip netns delete {host}; rm -r {directory}",
            docker_host = self.stage.directories.docker_host(),
            binary = self.binary.display(),
            directory = self.stage.directories.path().display(),
        );
        screen::show("it goes on running; a shell can use it like this", &text);
        self.stage.keep();
    }
}

/// The names of the pins in `directory`, sorted.
fn pins(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
