//! The real programs, run on one packet at a time (PROG_TEST_RUN): what goes in, the verdict, what comes out.

use std::collections::BTreeMap;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, TestRunResult};

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
    /// What another program has marked its packets with.
    mark: u32,
    /// The hardware address that packets are to.
    pub(crate) mac: [u8; 6],
    /// The hardware address that packets are from.
    pub(crate) sender: [u8; 6],
}

impl<'a> Program<'a> {
    /// Of packets from outside.
    pub(crate) fn uplink(topology: &'a Topology) -> Self {
        Self::uplink_at(topology, "up0")
    }

    /// Of packets from outside that come in by another device.
    pub(crate) fn uplink_at(topology: &'a Topology, device: &str) -> Self {
        let (ifindex, mac) = topology.host_device(device);
        Self { topology, program: topology.program("uplink_ingress"), ifindex, mark: 0, mac, sender: [2; 6] }
    }

    /// Of packets from a container.
    pub(crate) fn container(topology: &'a Topology, number: usize) -> Self {
        let (ifindex, _) = topology.host_device(&format!("bv{number}"));
        Self::of_device(topology, ifindex, topology.container_mac(number))
    }

    /// Of packets from the container with this hardware address.
    pub(crate) fn of_device(topology: &'a Topology, ifindex: u32, sender: [u8; 6]) -> Self {
        let (_, mac) = topology.host_device("bl0");
        Self { topology, program: topology.program("container_ingress"), ifindex, mark: 0, mac, sender }
    }

    /// Of the host's packets into its network.
    pub(crate) fn gateway(topology: &'a Topology) -> Self {
        let (ifindex, sender) = topology.host_device("bl0");
        let mac = topology.container_mac(0);
        Self { topology, program: topology.program("gateway_egress"), ifindex, mark: 0, mac, sender }
    }

    /// Of packets on their way outside.
    pub(crate) fn outgoing(topology: &'a Topology) -> Self {
        let program = topology.program("uplink_egress");
        Self { program, ..Self::uplink(topology) }
    }

    /// Runs the program on some bytes; returns its verdict and what it made of them.
    pub(crate) fn run_bytes(&self, bytes: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; bytes.len() + 256];
        let context = self.context();
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

    /// Runs the program on many packets; returns how often each verdict came.
    pub(crate) fn run_all(&self, packets: impl Iterator<Item = Vec<u8>> + Send) -> BTreeMap<u32, usize> {
        let mut verdicts = BTreeMap::new();
        self.topology.host.run(|| {
            for bytes in packets {
                *verdicts.entry(self.once(&bytes).return_value).or_default() += 1;
            }
        });
        verdicts
    }

    /// The least nanoseconds that a run on a packet takes; each has this verdict.
    pub(crate) fn least(&self, packet: Packet, runs: usize, verdict: u32) -> u128 {
        let bytes = self.address(packet).bytes;
        let run = || {
            let result = self.once(&bytes);
            assert_eq!(result.return_value, verdict);
            result.duration.as_nanos()
        };
        self.topology.host.run(|| (0..runs).map(|_| run()).min().expect("some runs"))
    }

    /// One run, in the host's namespace.
    fn once(&self, bytes: &[u8]) -> TestRunResult {
        let context = self.context();
        let options =
            TestRunOptions { data_in: Some(bytes), ctx_in: Some(&context), ..TestRunOptions::default() };
        self.program.test_run(options).expect("run")
    }

    /// With packets that another program has marked.
    pub(crate) fn marked(self, mark: u32) -> Self {
        Self { mark, ..self }
    }

    /// Of the context only the mark and the device's index are given: the words after two and after ten others.
    fn context(&self) -> [u8; 192] {
        let mut context = [0u8; 192];
        context[8..12].copy_from_slice(&self.mark.to_ne_bytes());
        context[40..44].copy_from_slice(&self.ifindex.to_ne_bytes());
        context
    }

    /// A packet between the right hardware addresses.
    pub(crate) fn address(&self, packet: Packet) -> Packet {
        packet.towards(self.mac).of(self.sender)
    }

    /// Runs the program on a packet between the right hardware addresses.
    pub(crate) fn run(&self, packet: Packet) -> (u32, Packet) {
        let (verdict, bytes) = self.run_bytes(&self.address(packet).bytes);
        (verdict, Packet { bytes })
    }
}
