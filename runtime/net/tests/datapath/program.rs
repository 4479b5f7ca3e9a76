//! The real programs, run on one packet at a time (PROG_TEST_RUN): what goes in, the verdict, what comes out.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};

use crate::{packet::Packet, topology::Topology};

/// Dropped.
pub(crate) const SHOT: u32 = 2;
/// Moved to another device.
pub(crate) const REDIRECT: u32 = 7;
/// Left to the next program, or the stack.
pub(crate) const UNSPEC: u32 = u32::MAX;

/// A program, and the device its packets come by.
pub(crate) struct Program<'a> {
    topology: &'a Topology,
    program: SchedClassifier,
    ifindex: u32,
    /// The hardware address that packets are to.
    pub(crate) mac: [u8; 6],
    /// The hardware address that packets are from.
    pub(crate) sender: [u8; 6],
}

impl<'a> Program<'a> {
    /// Of packets from outside.
    pub(crate) fn uplink(topology: &'a Topology) -> Self {
        let (ifindex, mac) = topology.host_device("up0");
        Self { topology, program: topology.program("uplink_ingress"), ifindex, mac, sender: [2; 6] }
    }

    /// Of packets from a container.
    pub(crate) fn container(topology: &'a Topology, number: usize) -> Self {
        let (ifindex, _) = topology.host_device(&format!("bv{number}"));
        let (_, mac) = topology.host_device("bl0");
        let sender = topology.container_mac(number);
        Self { topology, program: topology.program("container_ingress"), ifindex, mac, sender }
    }

    /// Of the host's packets into its network.
    pub(crate) fn gateway(topology: &'a Topology) -> Self {
        let (ifindex, sender) = topology.host_device("bl0");
        let mac = topology.container_mac(0);
        Self { topology, program: topology.program("gateway_egress"), ifindex, mac, sender }
    }

    /// Of packets on their way outside.
    pub(crate) fn outgoing(topology: &'a Topology) -> Self {
        let program = topology.program("uplink_egress");
        Self { program, ..Self::uplink(topology) }
    }

    /// Runs the program on some bytes; returns its verdict and what it made of them.
    pub(crate) fn run_bytes(&self, bytes: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; bytes.len() + 256];
        // Of the context only the device's index is given: the word after ten others.
        let mut context = [0u8; 192];
        context[40..44].copy_from_slice(&self.ifindex.to_ne_bytes());
        let result = self.topology.host.run(|| {
            let options = TestRunOptions {
                data_in: Some(bytes),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            };
            self.program.test_run(options).expect("run")
        });
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    /// Runs the program on a packet between the right hardware addresses.
    pub(crate) fn run(&self, packet: Packet) -> (u32, Packet) {
        let (verdict, bytes) = self.run_bytes(&packet.towards(self.mac).of(self.sender).bytes);
        (verdict, Packet { bytes })
    }
}
