//! The hosts of a bench, the containers behind them, and the ways between.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use beeline_testbed::command::text;
use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS, NetNs, Topology, busybox_tar};
use serde_json::Value;

use super::peers::Rivals;
use crate::bench::peer;
use crate::stage::Stage;

/// Where every server listens, and where it is published.
pub(in crate::bench) const PORT: u16 = 9000;

/// Where the server listens that is in a container on the host's network, which has the other port published.
const CONTAINED_PORT: u16 = 9002;

/// Where the server on the accelerated network is published, and that network.
const ACCELERATED_PORT: u16 = 9003;
const NETWORK: &str = "fast";

/// Containers behind a host, and the host's address towards them (TEST-NET-2, RFC 5737).
const SERVER_ADDRESS: &str = "198.51.100.2";
const PEER_ADDRESS: &str = "198.51.100.3";
const GATEWAY_ADDRESS: &str = "198.51.100.1";
const SERVER_NET: &str = "198.51.100.0/24";

/// The image of the containers.
pub(in crate::bench) const IMAGE: &str = "beeline-bench/load";

/// A way from a client to a server.
pub(in crate::bench) struct Way {
    pub(in crate::bench) name: &'static str,
    pub(in crate::bench) from: Place,
    pub(in crate::bench) to: SocketAddr,
}

/// A network namespace to run a program in.
#[derive(Clone)]
pub(in crate::bench) struct Place(String);

impl Place {
    pub(in crate::bench) fn of(namespace: &NetNs) -> Self {
        Self(namespace.path().display().to_string())
    }

    /// That of a process.
    pub(super) fn of_process(process: u32) -> Self {
        Self(format!("/proc/{process}/ns/net"))
    }

    /// The program, to be run here.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.0)).arg("--").arg(program);
        command
    }
}

/// A server on no container's network, ended with this value.
pub(super) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// All hosts with their servers. The containers are the stage's, which ends them.
pub(super) struct Hosts<'a> {
    _servers: Vec<Server>,
    stage: &'a Stage,
    /// Routes to a container; no netfilter.
    plain: Topology,
    /// A bridge with two containers; no netfilter.
    bridge: Bridge,
    _bridged: Topology,
    /// A bridge with two containers, and the rules that Docker writes.
    netfilter: Topology,
    filtered: Bridge,
    /// The container behind the plain host.
    routed: Place,
    /// Two containers on Beeline's network.
    members: Bridge,
    rivals: Rivals,
}

/// Two containers on one network: where the one is, and what the other's address is.
struct Bridge {
    client: Place,
    server: SocketAddr,
}

impl<'a> Hosts<'a> {
    pub(super) fn build(stage: &'a Stage, work: &Path, load: &Path) -> Result<Self> {
        let image = import(stage, work, load)?;
        let busybox = busybox_tar(work)?;
        // For what publishes ranges of ports.
        peer::import(stage, &busybox, peer::IMAGE)?;
        let rivals = Rivals::start(&image, &busybox, load);
        let plain = Topology::create("beeline-bench-plain")?;
        let bridged = Topology::create("beeline-bench-bridge")?;
        let netfilter = Topology::create("beeline-bench-nat")?;
        let mut servers = Vec::new();
        for namespace in [&plain.host, &plain.client, &netfilter.client, &stage.topology.client] {
            servers.push(serve(namespace, load)?);
        }
        let routed = link(stage, "routed", &plain.host, "srv0", SERVER_ADDRESS)?;
        ip(&plain.host, &format!("address add {GATEWAY_ADDRESS}/24 dev srv0"))?;
        forward(&plain.host)?;
        ip(&plain.client, &format!("route add {SERVER_NET} via {HOST_ADDRESS}"))?;
        let bridge = join(stage, "bridge", &bridged.host)?;
        let filtered = join(stage, "iptables", &netfilter.host)?;
        forward(&netfilter.host)?;
        write_rules(&netfilter.host)?;
        run(stage, "contained", CONTAINED_PORT, &["--network", "host"])?;
        let server = run(stage, "beeline", PORT, &["--publish", &format!("{PORT}:{PORT}")])?;
        let client = run(stage, "beeline-peer", PORT, &[])?;
        let members = Bridge { client: client.place, server: address(&server.address, PORT)? };
        Ok(Self {
            _servers: servers,
            stage,
            plain,
            bridge,
            _bridged: bridged,
            netfilter,
            filtered,
            routed,
            members,
            rivals,
        })
    }

    pub(super) fn to_a_published_port(&self) -> Result<Vec<Way>> {
        let way = |name, topology: &Topology, address: &str, port| {
            Ok(Way { name, from: Place::of(&topology.client), to: self::address(address, port)? })
        };
        let stage = &self.stage.topology;
        [
            way("ceiling", &self.plain, HOST_ADDRESS, PORT),
            way("contained", stage, HOST_ADDRESS, CONTAINED_PORT),
            way("routed", &self.plain, SERVER_ADDRESS, PORT),
            way("beeline", stage, HOST_ADDRESS, PORT),
            way("iptables", &self.netfilter, HOST_ADDRESS, PORT),
        ]
        .into_iter()
        .chain(self.rivals.to_a_published_port()?.into_iter().map(Ok))
        .collect()
    }

    pub(super) fn by_loopback(&self) -> Result<Vec<Way>> {
        let way =
            |name, host: &NetNs| Ok(Way { name, from: Place::of(host), to: address("127.0.0.1", PORT)? });
        [way("ceiling", &self.plain.host), way("beeline", &self.stage.topology.host)]
            .into_iter()
            .chain(self.rivals.by_loopback()?.into_iter().map(Ok))
            .collect()
    }

    pub(super) fn between_containers(&self) -> Result<Vec<Way>> {
        let way = |name, pair: &Bridge| Way { name, from: pair.client.clone(), to: pair.server };
        let own = [
            way("bridge", &self.bridge),
            way("beeline", &self.members),
            way("bridge, iptables", &self.filtered),
        ];
        Ok(own.into_iter().chain(self.rivals.between_containers()?).collect())
    }

    /// Makes a network that is accelerated, with two members.
    pub(super) fn accelerated(&self) -> Result<Vec<Way>> {
        let create = ["network", "create", "--opt", "beeline.network.accelerate=despite-faults", NETWORK];
        text(self.stage.beeline().args(create))?;
        let publish = format!("{ACCELERATED_PORT}:{PORT}");
        let server = run(self.stage, "fast", PORT, &["--network", NETWORK, "--publish", &publish])?;
        let client = run(self.stage, "fast-peer", PORT, &["--network", NETWORK])?;
        Ok(vec![
            Way { name: "loopback", from: Place::of(&self.plain.host), to: address("127.0.0.1", PORT)? },
            Way { name: "beeline", from: self.members.client.clone(), to: self.members.server },
            Way { name: "accelerated", from: client.place, to: address(&server.address, PORT)? },
            Way {
                name: "accelerated, from the host",
                from: Place::of(&self.stage.topology.host),
                to: address("127.0.0.1", ACCELERATED_PORT)?,
            },
        ])
    }

    pub(super) fn to_the_outside(&self) -> Result<Vec<Way>> {
        let way =
            |name, from: &Place| Ok(Way { name, from: from.clone(), to: address(CLIENT_ADDRESS, PORT)? });
        [
            way("routed", &self.routed),
            way("beeline", &self.members.client),
            way("iptables", &self.filtered.client),
        ]
        .into_iter()
        .chain(self.rivals.to_the_outside()?.into_iter().map(Ok))
        .collect()
    }
}

/// Makes the containers' image: its only file is this very program, which is static. Its archive is in the answer.
pub(in crate::bench) fn import(stage: &Stage, work: &Path, load: &Path) -> Result<PathBuf> {
    let tree = work.join("image");
    std::fs::create_dir_all(&tree).with_context(|| format!("create {}", tree.display()))?;
    std::fs::copy(load, tree.join("load")).with_context(|| format!("copy {}", load.display()))?;
    let tar = work.join("image.tar");
    text(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("load"))?;
    text(stage.beeline().arg("import").arg(&tar).arg(IMAGE))?;
    Ok(tar)
}

/// Starts a server in a namespace.
pub(super) fn serve(namespace: &NetNs, load: &Path) -> Result<Server> {
    let mut command = namespace.command(load);
    command.args(["load", "serve", &format!("0.0.0.0:{PORT}")]).stdin(Stdio::null());
    Ok(Server(command.spawn().with_context(|| format!("start {}", load.display()))?))
}

/// A running container.
pub(in crate::bench) struct Container {
    pub(in crate::bench) name: String,
    place: Place,
    pid: u64,
    /// On its network of Beeline's; empty on none.
    address: String,
}

/// Runs a server in a container with these options.
pub(in crate::bench) fn run(stage: &Stage, name: &str, port: u16, options: &[&str]) -> Result<Container> {
    let mut command = stage.beeline();
    command.args(["run", "--detach", "--name", name]).args(options).arg(IMAGE);
    command.args(["/load", "load", "serve", &format!("0.0.0.0:{port}")]);
    text(&mut command)?;
    let inspected: Value = serde_json::from_str(&text(stage.beeline().args(["inspect", name]))?)?;
    let pid = inspected[0]["State"]["Pid"].as_u64().context("the container has no process")?;
    let networks = inspected[0]["NetworkSettings"]["Networks"].as_object();
    let address = networks.and_then(|networks| networks.values().next()?["IPAddress"].as_str());
    let address = address.unwrap_or_default().to_owned();
    Ok(Container { name: name.to_owned(), place: Place(format!("/proc/{pid}/ns/net")), pid, address })
}

/// Runs a server in a container without a network, and joins it with `host` by a veth pair.
fn link(stage: &Stage, name: &str, host: &NetNs, device: &str, address: &str) -> Result<Place> {
    let container = run(stage, name, PORT, &["--network", "none"])?;
    ip(host, &format!("link add {device} type veth peer name eth0 netns {}", container.pid))?;
    ip(host, &format!("link set {device} up"))?;
    for line in [
        format!("address add {address}/24 dev eth0"),
        "link set eth0 up".to_owned(),
        format!("route add default via {GATEWAY_ADDRESS}"),
    ] {
        let mut inside = container.place.command(Path::new("ip"));
        inside.args(line.split(' '));
        text(&mut inside).with_context(|| format!("give {name} a way back"))?;
    }
    Ok(container.place)
}

/// A bridge on `host` with two containers.
fn join(stage: &Stage, name: &str, host: &NetNs) -> Result<Bridge> {
    ip(host, "link add br0 type bridge")?;
    ip(host, &format!("address add {GATEWAY_ADDRESS}/24 dev br0"))?;
    ip(host, "link set br0 up")?;
    link(stage, name, host, "srv0", SERVER_ADDRESS)?;
    let client = link(stage, &format!("{name}-peer"), host, "srv1", PEER_ADDRESS)?;
    for device in ["srv0", "srv1"] {
        ip(host, &format!("link set {device} master br0"))?;
    }
    Ok(Bridge { client, server: address(SERVER_ADDRESS, PORT)? })
}

/// The rules that Docker writes for one published port.
fn write_rules(host: &NetNs) -> Result<()> {
    for rule in [
        format!(
            "-t nat -A PREROUTING -p tcp --dport {PORT} -m addrtype --dst-type LOCAL -j DNAT --to {SERVER_ADDRESS}"
        ),
        format!("-t nat -A POSTROUTING -s {SERVER_NET} ! -o br0 -j MASQUERADE"),
        "-t filter -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned(),
        format!("-t filter -A FORWARD -d {SERVER_ADDRESS} ! -i br0 -o br0 -p tcp --dport {PORT} -j ACCEPT"),
        "-t filter -A FORWARD -i br0 ! -o br0 -j ACCEPT".to_owned(),
        "-t filter -A FORWARD -i br0 -o br0 -j ACCEPT".to_owned(),
    ] {
        text(host.command("iptables").arg("-w").args(rule.split(' ')))?;
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

pub(in crate::bench) fn address(ip: &str, port: u16) -> Result<SocketAddr> {
    format!("{ip}:{port}").parse().with_context(|| format!("read the address {ip:?}"))
}
