//! Namespaces for one test, and what must be gone after it.

use std::{
    future::Future,
    net::Ipv4Addr,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use beeline_net::{
    Endpoint, EndpointSpec, Error, Families, Net, NetConfig, Netns, NetworkSpec, Protocol, Publish, Range4,
    mac_of,
};
use nix::sched::{CloneFlags, setns, unshare};

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(crate) const NETWORK: u32 = 1;

/// The host and a client, one uplink between them.
pub(crate) struct Bed {
    pub(crate) instance: String,
    pub(crate) client: Netns,
}

/// A container: a namespace and its endpoint.
pub(crate) struct Container {
    pub(crate) netns: Netns,
    pub(crate) endpoint: Endpoint,
}

impl Container {
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.endpoint.ipv4.unwrap().ip
    }
}

/// Runs a test in a network namespace of its own, and checks that nothing is left of the instance.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(Bed) -> F + Send) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let outcome = thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                ip("link set lo up");
                let client = Netns::create().unwrap();
                add_uplink(&client);
                let bed = Bed { instance: instance(), client };
                let pins = PathBuf::from("/sys/fs/bpf/beeline").join(&bed.instance);
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap();
                let _cleared = Cleared(pins.clone());
                runtime.block_on(test(bed));
                assert!(!pins.exists(), "pins are left at {}", pins.display());
                let links: Vec<String> =
                    links().into_iter().filter(|name| name != "lo" && name != "up0").collect();
                assert!(links.is_empty(), "devices are left: {links:?}");
            })
            .join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// The pins of the second instance of a test that has two.
fn beside(pins: &Path) -> PathBuf {
    let name = pins.file_name().unwrap_or_default().to_string_lossy();
    pins.with_file_name(second_instance(&name))
}

/// The id of a test's second instance.
pub(crate) fn second_instance(instance: &str) -> String {
    instance.replacen('t', "x", 1)
}

/// Pins of a failed test would stay: programs attached to the root cgroup among them.
struct Cleared(PathBuf);

impl Drop for Cleared {
    fn drop(&mut self) {
        if thread::panicking() {
            for pins in [&self.0, &beside(&self.0)] {
                drop(std::fs::remove_dir_all(pins));
            }
        }
    }
}

fn instance() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("t{:04x}{}", std::process::id() & 0xffff, count % 10)
}

fn add_uplink(client: &Netns) {
    let path = format!("/proc/{}/fd/{}", std::process::id(), client.as_fd().as_raw_fd());
    ip(&format!("link add up0 type veth peer name net0 netns {path}"));
    ip(&format!("addr add {HOST}/24 dev up0"));
    ip("link set up0 up");
    inside(client, || {
        ip(&format!("addr add {CLIENT}/24 dev net0"));
        ip("link set net0 up");
    });
}

impl Bed {
    pub(crate) fn config(&self) -> NetConfig {
        NetConfig { conntrack_entries: 4096, ..NetConfig::new(&self.instance) }
    }

    pub(crate) async fn open(&self) -> Net {
        Net::open(self.config()).await.unwrap_or_else(|error| panic!("{}", explain(&error)))
    }

    pub(crate) fn network(&self) -> NetworkSpec {
        NetworkSpec {
            id: NETWORK,
            name: "bridge".into(),
            device: beeline_net::default_device(&self.instance),
            ipv4: Some(Range4 { subnet: "172.31.7.0/24".parse().unwrap(), gateway: [172, 31, 7, 1].into() }),
            ipv6: None,
            mtu: None,
            icc: true,
            internal: false,
            masquerade: true,
            routed: Families::default(),
            flow_quota: None,
            rules: beeline_net::Rules::default(),
            accelerate: beeline_net::Acceleration::Off,
        }
    }

    /// Opens the network of the instance, with one network.
    pub(crate) async fn start(&self) -> Net {
        let net = self.open().await;
        net.create_network(self.network()).await.unwrap_or_else(|error| panic!("{}", explain(&error)));
        net
    }
}

pub(crate) fn endpoint(id: &str, last: u8) -> EndpointSpec {
    let ip = Ipv4Addr::new(172, 31, 7, last);
    EndpointSpec {
        id: id.into(),
        network: NETWORK,
        ifname: "eth0".into(),
        ipv4: Some(ip),
        ipv6: None,
        mac: mac_of(ip.into()),
        routes: Families { ipv4: true, ipv6: false },
    }
}

/// A container with an address.
pub(crate) async fn container(net: &Net, last: u8) -> Container {
    let netns = Net::create_netns().await.unwrap();
    let id = format!("{last:02x}").repeat(32);
    let endpoint = net.attach(netns.as_fd(), endpoint(&id, last)).await;
    Container { netns, endpoint: endpoint.unwrap_or_else(|error| panic!("{}", explain(&error))) }
}

pub(crate) fn publish(
    protocol: Protocol,
    host_ip: Ipv4Addr,
    port: u16,
    container: Ipv4Addr,
    inside: u16,
) -> Publish {
    Publish {
        protocol,
        host_ip: host_ip.into(),
        host_first: port,
        host_last: port,
        container_ip: container.into(),
        container_first: inside,
    }
}

/// An error with all its causes.
pub(crate) fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Runs a function on a thread inside a namespace.
pub(crate) fn inside<T: Send>(netns: &Netns, function: impl FnOnce() -> T + Send) -> T {
    let result = thread::scope(|scope| {
        scope
            .spawn(|| {
                setns(netns.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
                function()
            })
            .join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs `ip` in the namespace of the calling thread.
pub(crate) fn ip(arguments: &str) {
    output(arguments);
}

/// What `ip` says in the namespace of the calling thread.
pub(crate) fn output(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names of the devices in the namespace of the calling thread.
pub(crate) fn links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// Waits until something holds, at most some seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the programs' pins of an instance are there.
pub(crate) fn has_pins(instance: &str) -> bool {
    Path::new("/sys/fs/bpf/beeline").join(instance).exists()
}
