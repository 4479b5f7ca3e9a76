//! A client and a host, joined by one uplink.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::NetNs;
use crate::command::text;

/// The host's address on the uplink (TEST-NET-1, RFC 5737).
pub const HOST_ADDRESS: &str = "192.0.2.1";
/// The client's address on the uplink.
pub const CLIENT_ADDRESS: &str = "192.0.2.2";
/// The host's uplink device.
pub const UPLINK: &str = "up0";

/// A host namespace for the daemon and a client namespace, joined by a veth pair that serves as the host's uplink.
/// The client is the host's default gateway, and knows no route to the containers.
#[derive(Debug)]
pub struct Topology {
    /// Where the daemon lives.
    pub host: NetNs,
    /// Where its outside clients live.
    pub client: NetNs,
    /// A name that no other topology on this machine has: at most six characters, fit for `--instance`.
    pub instance: String,
}

impl Topology {
    /// Makes both namespaces and the uplink; `prefix` starts the namespaces' names.
    ///
    /// # Errors
    /// When this process is not root or iproute2 is missing.
    pub fn create(prefix: &str) -> Result<Self> {
        let instance = instance();
        let host = NetNs::create(&format!("{prefix}-{instance}-host"))?;
        let client = NetNs::create(&format!("{prefix}-{instance}-client"))?;
        let topology = Self { host, client, instance };
        topology.join()?;
        Ok(topology)
    }

    fn join(&self) -> Result<()> {
        let run = |command: &mut Command, line: &str| text(command.args(line.split(' '))).map(drop);
        run(
            &mut self.host.command("ip"),
            &format!("link add {UPLINK} type veth peer name net0 netns {}", self.client.name()),
        )?;
        for (namespace, device, address) in
            [(&self.host, UPLINK, HOST_ADDRESS), (&self.client, "net0", CLIENT_ADDRESS)]
        {
            run(&mut namespace.command("ip"), &format!("address add {address}/24 dev {device}"))?;
            run(&mut namespace.command("ip"), &format!("link set {device} up"))?;
        }
        run(&mut self.host.command("ip"), &format!("route add default via {CLIENT_ADDRESS}"))
    }
}

/// Six characters that differ between processes and between topologies of one process.
fn instance() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut number = std::process::id().wrapping_mul(64) + serial % 64;
    let mut name = String::from("t");
    for _ in 0..5 {
        name.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
    }
    name
}
