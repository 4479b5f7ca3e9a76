//! Who lives beyond the host's uplinks: namespaces, and servers in them that tell whom they see.

use beeline_testbed::NetNs;

use crate::bed::{Bed, binary};
use crate::network::udp;
use crate::networks::inside;
use crate::process::Ended;

/// The port of the servers.
pub(crate) const PORT: u16 = 7000;

/// A way to somebody outside, other than the bed's client: `up1` on the host's side of it.
pub(crate) struct Side {
    _server: Ended,
    pub(crate) netns: NetNs,
}

/// The host's address on that way, and the other end's; of both families.
pub(crate) const SIDE_HOST: [&str; 2] = ["198.51.100.1", "2001:db8:2::1"];
pub(crate) const SIDE: [&str; 2] = ["198.51.100.2", "2001:db8:2::2"];

impl Side {
    /// Makes the namespace, the way to it, and a server that also has the addresses `also`.
    pub(crate) fn join(bed: &Bed, also: &[&str]) -> Self {
        let netns = NetNs::create(&format!("it-{}-side", bed.topology.instance)).unwrap();
        bed.in_host(&format!("ip link add up1 type veth peer name net0 netns {}", netns.name()));
        bed.in_host(&address_and_up("up1", SIDE_HOST));
        let side = |line: &str| run(&netns, line);
        side(&address_and_up("net0", SIDE));
        for address in also {
            side(&format!("ip address add {address} dev lo"));
        }
        side(&format!("ip route add default via {}", SIDE_HOST[0]));
        side(&format!("ip route add default via {}", SIDE_HOST[1]));
        Self { _server: serve(&netns), netns }
    }
}

/// A shell line that gives a device addresses of both families, and raises it.
pub(crate) fn address_and_up(device: &str, [v4, v6]: [&str; 2]) -> String {
    format!(
        "ip address add {v4}/24 dev {device} && ip address add {v6}/64 dev {device} nodad && ip link set {device} up"
    )
}

/// Runs a shell line in a namespace; it must succeed.
#[track_caller]
pub(crate) fn run(netns: &NetNs, line: &str) -> String {
    let output = crate::bed::shell(netns.command("sh"), line);
    assert!(output.status.success(), "{}: {line}: {output}", netns.name());
    output.text()
}

/// Starts a server of TCP and UDP that tells its own addresses and its client's.
pub(crate) fn serve(netns: &NetNs) -> Ended {
    let mut command = netns.command(binary());
    command.arg("whoami").env("WHOAMI_PORT", PORT.to_string());
    Ended::start(command)
}

/// Whether a container that asks `address` is answered by the one that has the address `by`, who
/// sees it as `seen_as`; else what was answered.
pub(crate) fn is_answered(
    bed: &Bed,
    container: &str,
    address: &str,
    by: &str,
    seen_as: &str,
) -> Result<(), String> {
    let bracketed =
        |address: &str| if address.contains(':') { format!("[{address}]") } else { address.into() };
    let tcp = format!("curl -sS -g --max-time 2 http://{}:{PORT}/", bracketed(address));
    // A datagram to one of several addresses is answered by the server's first one: only that says something.
    let udp = (address == by).then(|| udp(address, PORT));
    for line in [Some(tcp), udp].into_iter().flatten() {
        let answer = inside(bed, container, &line);
        let text = answer.text();
        let is_by = text.lines().any(|line| line == format!("IP: {by}"));
        if !is_by || !text.contains(&format!("RemoteAddr: {}:", bracketed(seen_as))) {
            return Err(format!("{line}: not by {by} who saw {seen_as}: {answer}"));
        }
    }
    Ok(())
}
