//! Namespaces, devices and a datapath, removed when the test ends however it ends.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use aya::programs::SchedClassifier;
use beeline_net::{
    Families, Rules,
    datapath::{
        Datapath, DatapathConfig, DropReason, EndpointSpec, LogLevel, NetworkSpec, Protocol, Publish,
        Timeouts, UplinkSpec, Watch,
    },
};
use nix::sched::{CloneFlags, setns};

pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
pub(crate) const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
pub(crate) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, 1);
const NETWORK: u32 = 1;

/// Whether the test can run; says so when it cannot.
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    root
}

/// A network namespace that is deleted when dropped.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    fn new(name: String) -> Self {
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs ip(8) inside.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        ip(&all);
    }

    /// Moves the calling thread inside.
    pub(crate) fn enter(&self) {
        let file = File::open(Path::new("/run/netns").join(&self.name)).expect("open the namespace");
        setns(file, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
    }

    /// Runs a closure on a thread inside and returns what it returns.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn index(&self, device: &str) -> u32 {
        self.run(|| nix::net::if_::if_nametoindex(device).expect("device"))
    }

    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        self.run(|| std::fs::write(Path::new("/proc/sys").join(name), value).expect("sysctl"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.name]).status());
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip(8)");
    assert!(status.success(), "ip {}", arguments.join(" "));
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn choose(self, v4: Ipv4Addr, v6: Ipv6Addr) -> IpAddr {
        match self {
            Self::V4 => v4.into(),
            Self::V6 => v6.into(),
        }
    }

    pub(crate) fn client(self) -> IpAddr {
        self.choose(CLIENT, CLIENT6)
    }

    pub(crate) fn host(self) -> IpAddr {
        self.choose(HOST, HOST6)
    }

    pub(crate) fn gateway(self) -> IpAddr {
        self.choose(GATEWAY, GATEWAY6)
    }

    pub(crate) fn loopback(self) -> IpAddr {
        self.choose(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
    }

    pub(crate) fn any(self) -> IpAddr {
        self.choose(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)
    }
}

/// A container's namespace with its end of the pair.
pub(crate) struct Container {
    pub(crate) namespace: Namespace,
    pub(crate) address: Ipv4Addr,
    pub(crate) address6: Ipv6Addr,
    pub(crate) ifindex: u32,
}

impl Container {
    pub(crate) fn ip(&self, family: Family) -> IpAddr {
        family.choose(self.address, self.address6)
    }

    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work)
    }
}

/// A BPF file system of the test's own.
struct Bpffs(PathBuf);

impl Drop for Bpffs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
        drop(std::fs::remove_dir(&self.0));
    }
}

/// Everything, with the datapath open in the host's namespace.
pub(crate) struct Topology {
    datapath: Option<Datapath>,
    pub(crate) client: Namespace,
    pub(crate) containers: Vec<Container>,
    pub(crate) host: Namespace,
    config: DatapathConfig,
    tag: String,
    _bpffs: Bpffs,
}

impl Topology {
    /// A client and a host with this many containers in one network.
    pub(crate) fn new(containers: usize) -> Self {
        Self::with(containers, |_| {})
    }

    /// The same with another network.
    pub(crate) fn with(containers: usize, adjust: impl FnOnce(&mut NetworkSpec)) -> Self {
        Self::build(containers, 65536, adjust)
    }

    /// One container, and a table of flows of this size, all of it for the network.
    pub(crate) fn with_flows(entries: u32) -> Self {
        Self::build(1, entries, |network| network.flow_quota = Some(entries))
    }

    /// How the datapath was opened.
    pub(crate) fn config(&self) -> &DatapathConfig {
        &self.config
    }

    /// A namespace beside the others.
    pub(crate) fn namespace(&self, tag: &str) -> Namespace {
        Namespace::new(format!("bl{}{tag}", self.tag))
    }

    /// This many containers, a table of flows of this size, and another network.
    pub(crate) fn build(
        containers: usize,
        conntrack_entries: u32,
        adjust: impl FnOnce(&mut NetworkSpec),
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let host = Namespace::new(format!("bl{tag}h"));
        let client = Namespace::new(format!("bl{tag}c"));
        host.ip(&format!("link add up0 type veth peer name eth0 netns {}", client.name));
        host.ip("addr add 192.0.2.1/24 dev up0");
        host.ip("link set up0 up");
        host.ip(&format!("addr add {HOST6}/64 dev up0 nodad"));
        client.ip("addr add 192.0.2.2/24 dev eth0");
        client.ip(&format!("addr add {CLIENT6}/64 dev eth0 nodad"));
        client.ip("link set eth0 up");
        host.ip("link add bl0 type bridge");
        host.ip("addr add 172.30.0.1/24 dev bl0");
        host.ip(&format!("addr add {GATEWAY6}/64 dev bl0 nodad"));
        host.ip("addr add fe80::1/64 dev bl0 nodad");
        host.ip("link set bl0 up");
        // What needs an ICMP error is forwarded by the host's stack.
        host.sysctl("net/ipv4/conf/bl0/forwarding", "1");
        // Answers to sockets that are bound to the loopback address come in by it.
        host.sysctl("net/ipv4/conf/bl0/route_localnet", "1");
        // The kernel looks up no way for packets that come in by a device that does not forward.
        host.sysctl("net/ipv6/conf/bl0/forwarding", "1");

        let bpffs = Bpffs(std::env::temp_dir().join(format!("beeline-bpffs-{tag}")));
        let config = DatapathConfig {
            instance: "t".into(),
            bpffs: bpffs.0.clone(),
            cgroup2: cgroup2(),
            conntrack_entries,
            timeouts: Timeouts::NORMAL,
            log_level: LogLevel::Debug,
            watch: Watch::default(),
        };
        let mut topology =
            Self { datapath: None, client, containers: Vec::new(), host, config, tag, _bpffs: bpffs };
        topology.open();
        topology.configure(adjust);
        for number in 0..containers {
            topology.add_container(number);
        }
        topology
    }

    /// Tells the datapath of the network, the uplink and the containers once more, as a daemon does that starts.
    pub(crate) fn tell_again(&self) {
        self.configure(|_| {});
        for (number, container) in self.containers.iter().enumerate() {
            self.tell_container(number, container);
        }
    }

    /// Opens the datapath, as a daemon does that starts.
    pub(crate) fn open(&mut self) {
        self.datapath = None;
        let config = self.config.clone();
        let opened = self.host.run(move || Datapath::open(&config));
        self.datapath = Some(opened.unwrap_or_else(|error| panic!("open: {error}\n{error:?}")));
    }

    /// Closes the datapath, as a daemon does that dies.
    pub(crate) fn close(&mut self) {
        self.datapath = None;
    }

    /// Has the maps look as if another version of the layouts had made them.
    pub(crate) fn age_maps(&self) {
        let folder = self.config.bpffs.join("beeline").join(&self.config.instance);
        let current = format!("maps_v{}", beeline_net::datapath::LAYOUT_VERSION);
        std::fs::rename(folder.join(current), folder.join("maps_v1")).expect("rename");
    }

    /// The versions of the maps that are there.
    pub(crate) fn map_versions(&self) -> Vec<String> {
        let folder = self.config.bpffs.join("beeline").join(&self.config.instance);
        let entries = std::fs::read_dir(folder).expect("pins").flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with("maps_v")).collect()
    }

    /// Opens it with programs that differ from those that are pinned, as an upgraded daemon does.
    pub(crate) fn reload(&mut self) {
        self.config.log_level = LogLevel::Warn;
        self.open();
    }

    /// Opens it as a daemon does that measures everything.
    pub(crate) fn open_to_watch(&mut self) {
        self.config.watch = Watch { latencies: true, program_runs: true };
        self.open();
    }

    /// Opens it as a daemon with other timeouts does.
    pub(crate) fn open_with(&mut self, timeouts: Timeouts) {
        self.config.timeouts = timeouts;
        self.open();
    }

    pub(crate) fn datapath(&self) -> &Datapath {
        self.datapath.as_ref().expect("open")
    }

    /// The network as it is without any adjustment.
    pub(crate) fn network(&self) -> NetworkSpec {
        NetworkSpec {
            id: NETWORK,
            gateway_ifindex: self.host.index("bl0"),
            gateway_mac: self.host.run(|| mac("bl0")),
            ipv4: Some(("172.30.0.0/24".parse().expect("subnet"), GATEWAY)),
            ipv6: Some(("fd00:30::/64".parse().expect("subnet"), GATEWAY6)),
            mtu: 1500,
            icc: true,
            internal: false,
            masquerade: true,
            routed: Families::default(),
            flow_quota: None,
            rules: Rules::default(),
        }
    }

    fn configure(&self, adjust: impl FnOnce(&mut NetworkSpec)) {
        let (uplink, gateway) = (self.host.index("up0"), self.host.index("bl0"));
        let mut network = self.network();
        adjust(&mut network);
        let addresses = vec![IpAddr::V4(HOST), IpAddr::V6(HOST6)];
        let datapath = self.datapath();
        self.host.run(|| {
            datapath.attach_uplink(uplink, "up0").expect("attach the uplink");
            datapath.attach_gateway(gateway, "bl0").expect("attach the gateway");
        });
        datapath
            .set_uplink(&UplinkSpec { ifindex: uplink, addresses, mtu: 1500, layer3: false })
            .expect("uplink");
        datapath.set_network(&network).expect("network");
        datapath
            .set_local_addresses(&[HOST.into(), GATEWAY.into(), HOST6.into(), GATEWAY6.into()])
            .expect("addresses");
    }

    fn add_container(&mut self, number: usize) {
        let namespace = Namespace::new(format!("bl{}n{number}", self.tag));
        let address = Ipv4Addr::new(172, 30, 0, 2 + number as u8);
        let address6 = Ipv6Addr::new(0xfd00, 0x30, 0, 0, 0, 0, 0, 2 + number as u16);
        let device = format!("bv{number}");
        self.host.ip(&format!("link add {device} type veth peer name eth0 netns {}", namespace.name));
        self.host.ip(&format!("link set {device} up"));
        namespace.ip(&format!("addr add {address}/24 dev eth0"));
        namespace.ip(&format!("addr add {address6}/64 dev eth0 nodad"));
        // As in the engine's containers: the link-local address, too, is good at once.
        namespace.sysctl("net/ipv6/conf/eth0/accept_dad", "0");
        namespace.ip("link set eth0 up");
        namespace.ip(&format!("route add default via {GATEWAY}"));
        namespace.ip(&format!("route add default via {GATEWAY6}"));
        let ifindex = self.host.index(&device);
        let container = Container { namespace, address, address6, ifindex };
        self.tell_container(number, &container);
        self.containers.push(container);
    }

    fn tell_container(&self, number: usize, container: &Container) {
        let device = format!("bv{number}");
        let datapath = self.datapath();
        datapath
            .set_endpoint(&EndpointSpec {
                ipv4: Some(container.address),
                ipv6: Some(container.address6),
                mac: container.run(|| mac("eth0")),
                host_ifindex: container.ifindex,
                network: NETWORK,
            })
            .expect("endpoint");
        let ifindex = container.ifindex;
        self.host.run(|| datapath.attach_container(ifindex, &device).expect("attach the container"));
    }

    /// Publishes a port of every IPv4 address.
    pub(crate) fn publish(&self, protocol: Protocol, host: u16, container: usize, port: u16) -> Publish {
        self.publish_range(Family::V4, protocol, host..=host, container, port)
    }

    /// Publishes a port of every address of both families.
    pub(crate) fn publish_both(&self, protocol: Protocol, host: u16, container: usize, port: u16) {
        for family in Family::BOTH {
            self.publish_range(family, protocol, host..=host, container, port);
        }
    }

    /// Publishes ports of every address of a family.
    pub(crate) fn publish_range(
        &self,
        family: Family,
        protocol: Protocol,
        ports: std::ops::RangeInclusive<u16>,
        container: usize,
        port: u16,
    ) -> Publish {
        let publish = Publish {
            protocol,
            host_ip: family.any(),
            host_first: *ports.start(),
            host_last: *ports.end(),
            container_ip: self.containers[container].ip(family),
            container_first: port,
        };
        self.datapath().publish(&publish).expect("publish");
        publish
    }

    /// A device of the host: its index and hardware address.
    pub(crate) fn host_device(&self, name: &str) -> (u32, [u8; 6]) {
        (self.host.index(name), self.host.run(|| mac(name)))
    }

    /// A container's hardware address.
    pub(crate) fn container_mac(&self, number: usize) -> [u8; 6] {
        self.containers[number].run(|| mac("eth0"))
    }

    /// A program as it is pinned.
    pub(crate) fn program(&self, name: &str) -> SchedClassifier {
        SchedClassifier::from_pin(self.program_path(name)).expect("program")
    }

    /// Where the link of a program at the root cgroup is pinned.
    pub(crate) fn link_path(&self, program: &str) -> PathBuf {
        self.config.bpffs.join("beeline").join(&self.config.instance).join("links").join(program)
    }

    /// Where a program is pinned.
    pub(crate) fn program_path(&self, name: &str) -> PathBuf {
        let folder = self.config.bpffs.join("beeline").join(&self.config.instance);
        let mut entries = std::fs::read_dir(folder).expect("pins").flatten().map(|entry| entry.path());
        let programs = entries.find(|path| path.to_string_lossy().contains("/programs_")).expect("programs");
        programs.join(name)
    }

    /// Configures an instance that was destroyed and opened again.
    pub(crate) fn configure_again(&self) {
        self.configure(|_| {});
    }

    /// How often packets were refused for a reason.
    pub(crate) fn refused(&self, reason: DropReason) -> u64 {
        let drops = self.datapath().drops().expect("drops");
        drops.iter().find(|(counted, _)| *counted == reason).map_or(0, |(_, count)| *count)
    }

    /// What was refused, for messages.
    pub(crate) fn drops(&self) -> String {
        let drops = self.datapath().drops().expect("drops");
        let counted: Vec<String> = drops
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(reason, n)| format!("{}={n}", reason.name()))
            .collect();
        counted.join(" ")
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("refused: {}", self.datapath.as_ref().map(|_| self.drops()).unwrap_or_default());
        }
        if let Some(datapath) = self.datapath.take() {
            datapath.destroy().expect("destroy");
        }
    }
}

pub(crate) fn mac(device: &str) -> [u8; 6] {
    let output = Command::new("ip").args(["-o", "link", "show", "dev", device]).output().expect("ip(8)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mac = text.split("link/ether ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("MAC");
    let octets: Vec<u8> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).expect("octet")).collect();
    octets.try_into().expect("six octets")
}

pub(crate) fn cgroup2() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let mount =
        mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).expect("a cgroup2 mount");
    mount.split(' ').nth(1).expect("its path").into()
}
