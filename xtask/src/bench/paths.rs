//! Paths between a client and a server: through a published port, and beside it the best and the usual way.
//!
//! | path      | where the server is |
//! |-----------|---------------------|
//! | ceiling   | on the host itself: no container, no translation |
//! | contained | in a container on the host's own network: what its control groups and system call filter cost |
//! | routed    | in a container behind the host, reached by its own address |
//! | beeline   | in a container, reached through a published port |
//! | iptables  | in a container behind a bridge, reached through a DNAT rule, with masquerade: what Docker sets up |
//!
//! The containers are alike, Beeline's own all of them, so that each server pays the same for its control groups and its
//! system call filter; only the way of the packets differs. Each way has a host of its own, so that none pays for
//! another's rules or programs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use beeline_testbed::command::{eventually, text};
use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS, NetNs, Topology};
use serde_json::{Value, json};

use super::{Kind, report};
use crate::interrupt;
use crate::progress::Step;
use crate::stage::Stage;

/// Where every server listens, and where it is published.
const PORT: u16 = 9000;

/// Where the server listens that is in a container on the host's network, which has the other port published.
const CONTAINED_PORT: u16 = 9002;

/// A server behind the host, and the host's address towards it (TEST-NET-2, RFC 5737).
const SERVER_ADDRESS: &str = "198.51.100.2";
const GATEWAY_ADDRESS: &str = "198.51.100.1";
const SERVER_NET: &str = "198.51.100.0/24";

/// The path that the others are compared with.
const CEILING: &str = "ceiling";

/// The image of the servers in containers.
const IMAGE: &str = "beeline-bench/load";

/// A way to a server. The server ends with this value.
struct Route<'a> {
    name: &'static str,
    topology: &'a Topology,
    target: SocketAddr,
    _server: Server,
}

/// What runs the server, and where.
enum Server {
    Process(Child),
    /// A container: the stage ends it.
    Container,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Process(child) = self {
            // Both fail only when it has ended already.
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// All figures by path and kind, in the order they were measured.
pub(super) struct Paths {
    names: Vec<&'static str>,
    figures: BTreeMap<(&'static str, &'static str), Vec<Figure>>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figure {
    /// Requests, connections or bits per second.
    rate: f64,
    /// The 99th percentile of a request's time, in seconds; zero for a stream.
    p99: f64,
}

/// Measures every path `rounds` times, each time for `seconds`, the paths taking turns.
pub(super) fn measure(stage: &Stage, work: &Path, rounds: u32, seconds: f64) -> Result<Paths> {
    let plain = Topology::create("beeline-bench-plain")?;
    let netfilter = Topology::create("beeline-bench-nat")?;
    let load = std::env::current_exe().context("find this program, which also makes the load")?;
    import(stage, work, &load)?;
    let routes = [
        ceiling(&plain, &load)?,
        contained(stage)?,
        routed(stage, &plain)?,
        published(stage)?,
        translated(stage, &netfilter)?,
    ];
    let names: Vec<&'static str> = routes.iter().map(|route| route.name).collect();
    for route in &routes {
        let reach = || figure(route, Kind::Requests, 0.05, &load).ok();
        eventually(&format!("the server of {} answers", route.name), Duration::from_secs(10), reach)?;
    }
    let mut figures: BTreeMap<_, Vec<Figure>> = BTreeMap::new();
    for round in 0..rounds as usize {
        let step = Step::start(format!("paths, round {} of {rounds}", round + 1));
        for kind in Kind::ALL {
            // Another path begins each round, so that none always follows the same one.
            for turn in 0..routes.len() {
                interrupt::check()?;
                let route = &routes[(round + turn) % routes.len()];
                step.detail(&format!("{} {}", route.name, kind.argument()));
                let figure = figure(route, kind, seconds, &load)?;
                figures.entry((route.name, kind.argument())).or_default().push(figure);
            }
        }
        step.done("");
    }
    Ok(Paths { names, figures })
}

/// One measurement, from the route's client.
fn figure(route: &Route<'_>, kind: Kind, seconds: f64, load: &Path) -> Result<Figure> {
    let mut client = route.topology.client.command(load);
    client.args(["load", "measure", kind.argument(), &route.target.to_string(), &seconds.to_string()]);
    let printed = text(&mut client).with_context(|| format!("measure {}", route.name))?;
    parse(&printed).with_context(|| format!("read the figures {printed:?}"))
}

/// Reads what `load measure` prints.
fn parse(printed: &str) -> Option<Figure> {
    let (rate, p99) = printed.trim().split_once(' ')?;
    Some(Figure { rate: rate.parse().ok()?, p99: p99.parse().ok()? })
}

fn ceiling<'a>(plain: &'a Topology, load: &Path) -> Result<Route<'a>> {
    let mut command = plain.host.command(load);
    command.args(["load", "serve", &format!("0.0.0.0:{PORT}")]).stdin(Stdio::null());
    let child = command.spawn().with_context(|| format!("start {}", load.display()))?;
    Ok(Route {
        name: CEILING,
        topology: plain,
        target: address(HOST_ADDRESS, PORT)?,
        _server: Server::Process(child),
    })
}

fn contained(stage: &Stage) -> Result<Route<'_>> {
    run(stage, "contained", CONTAINED_PORT, &["--network", "host"])?;
    Ok(Route {
        name: "contained",
        topology: &stage.topology,
        target: address(HOST_ADDRESS, CONTAINED_PORT)?,
        _server: Server::Container,
    })
}

fn routed<'a>(stage: &Stage, plain: &'a Topology) -> Result<Route<'a>> {
    link(stage, "routed", &plain.host, "srv0")?;
    ip(&plain.host, &format!("address add {GATEWAY_ADDRESS}/24 dev srv0"))?;
    forward(&plain.host)?;
    ip(&plain.client, &format!("route add {SERVER_NET} via {HOST_ADDRESS}"))?;
    Ok(Route {
        name: "routed",
        topology: plain,
        target: address(SERVER_ADDRESS, PORT)?,
        _server: Server::Container,
    })
}

/// The same way through a bridge and the rules that Docker writes for one published port.
fn translated<'a>(stage: &Stage, topology: &'a Topology) -> Result<Route<'a>> {
    let host = &topology.host;
    link(stage, "iptables", host, "srv0")?;
    ip(host, "link add br0 type bridge")?;
    ip(host, "link set srv0 master br0")?;
    ip(host, &format!("address add {GATEWAY_ADDRESS}/24 dev br0"))?;
    ip(host, "link set br0 up")?;
    forward(host)?;
    for rule in [
        format!(
            "-t nat -A PREROUTING -p tcp --dport {PORT} -m addrtype --dst-type LOCAL -j DNAT --to {SERVER_ADDRESS}"
        ),
        format!("-t nat -A POSTROUTING -s {SERVER_NET} ! -o br0 -j MASQUERADE"),
        "-t filter -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned(),
        format!("-t filter -A FORWARD -d {SERVER_ADDRESS} ! -i br0 -o br0 -p tcp --dport {PORT} -j ACCEPT"),
        "-t filter -A FORWARD -i br0 ! -o br0 -j ACCEPT".to_owned(),
    ] {
        text(host.command("iptables").arg("-w").args(rule.split(' ')))?;
    }
    Ok(Route { name: "iptables", topology, target: address(HOST_ADDRESS, PORT)?, _server: Server::Container })
}

fn published(stage: &Stage) -> Result<Route<'_>> {
    run(stage, "beeline", PORT, &["--publish", &format!("{PORT}:{PORT}")])?;
    Ok(Route {
        name: "beeline",
        topology: &stage.topology,
        target: address(HOST_ADDRESS, PORT)?,
        _server: Server::Container,
    })
}

/// Makes the servers' image: its only file is this very program, which is static.
fn import(stage: &Stage, work: &Path, load: &Path) -> Result<()> {
    let tree = work.join("image");
    std::fs::create_dir_all(&tree).with_context(|| format!("create {}", tree.display()))?;
    std::fs::copy(load, tree.join("load")).with_context(|| format!("copy {}", load.display()))?;
    let tar = work.join("image.tar");
    text(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("load"))?;
    text(stage.beeline().arg("import").arg(&tar).arg(IMAGE)).map(drop)
}

/// Runs a server in a container with these options.
fn run(stage: &Stage, name: &str, port: u16, options: &[&str]) -> Result<()> {
    let mut command = stage.beeline();
    command.args(["run", "--detach", "--name", name]).args(options).arg(IMAGE);
    command.args(["/load", "load", "serve", &format!("0.0.0.0:{port}")]);
    text(&mut command).map(drop)
}

/// Runs a server in a container without a network, and joins it with `host` by a veth pair.
fn link(stage: &Stage, name: &str, host: &NetNs, device: &str) -> Result<()> {
    run(stage, name, PORT, &["--network", "none"])?;
    let inspected: Value = serde_json::from_str(&text(stage.beeline().args(["inspect", name]))?)?;
    let pid = inspected[0]["State"]["Pid"].as_u64().context("the container has no process")?;
    ip(host, &format!("link add {device} type veth peer name eth0 netns {pid}"))?;
    ip(host, &format!("link set {device} up"))?;
    for line in [
        format!("address add {SERVER_ADDRESS}/24 dev eth0"),
        "link set eth0 up".to_owned(),
        format!("route add default via {GATEWAY_ADDRESS}"),
    ] {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{pid}/ns/net")).arg("ip").args(line.split(' '));
        text(&mut inside).with_context(|| format!("give the server a way back to {CLIENT_ADDRESS}"))?;
    }
    Ok(())
}

fn ip(namespace: &NetNs, line: &str) -> Result<()> {
    text(namespace.command("ip").args(line.split(' '))).map(drop)
}

/// Lets `host` forward; the setting belongs to its namespace.
fn forward(host: &NetNs) -> Result<()> {
    text(host.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])).map(drop)
}

fn address(ip: &str, port: u16) -> Result<SocketAddr> {
    format!("{ip}:{port}").parse().with_context(|| format!("read the address {ip}"))
}

impl Paths {
    fn runs(&self, path: &'static str, kind: Kind) -> &[Figure] {
        self.figures.get(&(path, kind.argument())).map_or(&[], Vec::as_slice)
    }

    fn rate(&self, path: &'static str, kind: Kind) -> f64 {
        report::median(&rates(self.runs(path, kind)))
    }

    /// The share of the ceiling, each run beside the ceiling's of the same round: a machine's mood changes less within
    /// a round than between two.
    fn share(&self, path: &'static str, kind: Kind) -> f64 {
        let runs = self.runs(path, kind).iter().zip(self.runs(CEILING, kind));
        report::median(&runs.map(|(run, ceiling)| run.rate / ceiling.rate).collect::<Vec<f64>>())
    }

    /// Rates, and their share of the ceiling.
    pub(super) fn table(&self) -> String {
        let row = |&path: &&'static str| {
            let cells = Kind::ALL.map(|kind| {
                let rate = self.rate(path, kind);
                let figure = match kind {
                    Kind::Stream => format!("{:.1} Gbit/s", rate / 1e9),
                    Kind::Requests | Kind::Connections => format!("{rate:.0} /s"),
                };
                format!("{figure} ({:.2}x)", self.share(path, kind))
            });
            std::iter::once(path.to_owned()).chain(cells).collect()
        };
        let rows: Vec<Vec<String>> = self.names.iter().map(row).collect();
        report::table(&["path", "requests", "connections", "stream"], &rows)
    }

    pub(super) fn json(&self) -> Value {
        let entry = |&path: &&'static str| {
            let kinds = Kind::ALL.map(|kind| {
                let runs = self.runs(path, kind);
                let p99: Vec<f64> = runs.iter().map(|figure| figure.p99 * 1e6).collect();
                let figures = json!({
                    "median": self.rate(path, kind),
                    "of_ceiling": self.share(path, kind),
                    "p99_microseconds": report::median(&p99),
                    "runs": rates(runs),
                });
                (kind.argument(), figures)
            });
            let mut value = json!(BTreeMap::from(kinds));
            value["path"] = json!(path);
            value
        };
        self.names.iter().map(entry).collect()
    }
}

fn rates(runs: &[Figure]) -> Vec<f64> {
    runs.iter().map(|figure| figure.rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_are_printed() {
        assert_eq!(parse("1234.5 0.00025\n"), Some(Figure { rate: 1234.5, p99: 0.000_25 }));
        assert_eq!(parse("refused"), None);
    }

    #[test]
    fn the_median_counts_and_shares_are_of_the_same_round() {
        let run = |rate| Figure { rate, p99: 0.0 };
        let runs = |rates: [f64; 3]| rates.map(run).to_vec();
        let figures = BTreeMap::from([
            ((CEILING, "requests"), runs([100.0, 10.0, 200.0])),
            (("beeline", "requests"), runs([90.0, 9.5, 100.0])),
        ]);
        let paths = Paths { names: vec![CEILING, "beeline"], figures };
        assert!(paths.table().contains("90 /s (0.90x)"), "{}", paths.table());
        assert_eq!(paths.json()[1]["requests"]["of_ceiling"], 0.9);
    }
}
