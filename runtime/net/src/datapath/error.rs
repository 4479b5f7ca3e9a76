//! What can go wrong between the daemon and the kernel.

use std::{io, path::PathBuf};

use super::Publish;

/// A failure of the datapath.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel cannot run the programs.
    #[error("this kernel cannot carry Beeline's programs: {missing}")]
    Unsupported {
        /// What it lacks, and how to get it.
        missing: String,
    },
    /// A file system call around the pins.
    #[error("{operation} {path}")]
    Pins {
        /// What was tried.
        operation: &'static str,
        /// With which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The object was refused.
    #[error("load the BPF programs")]
    Load(#[source] Box<aya::EbpfError>),
    /// The verifier refused a program.
    #[error("load the BPF program {name}; the verifier says:\n{log}")]
    Verifier {
        /// The program.
        name: String,
        /// The end of the verifier's log.
        log: String,
        /// The system call's failure.
        source: Box<aya::programs::ProgramError>,
    },
    /// Another call about a program.
    #[error("{operation} the BPF program {name}")]
    Program {
        /// What was tried.
        operation: &'static str,
        /// The program.
        name: String,
        /// Why it failed.
        source: Box<aya::programs::ProgramError>,
    },
    /// A call about a map.
    #[error("{operation} the BPF map {map}")]
    Map {
        /// What was tried.
        operation: &'static str,
        /// The map.
        map: &'static str,
        /// Why it failed.
        source: Box<aya::maps::MapError>,
    },
    /// The object lacks something it must have.
    #[error("the BPF object has no {what}: it is not of this version, rebuild Beeline")]
    Missing {
        /// What it lacks.
        what: String,
    },
    /// A pass over the flows.
    #[error("{operation} the tracked flows")]
    Flows {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A program could not be attached.
    #[error("attach {program} to {target}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The device or cgroup.
        target: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The device has an XDP program of somebody else's.
    #[error(
        "attach the guard to device {device}: it has another XDP program: detach that (ip link set dev {device} xdp off), or do without the guard there"
    )]
    GuardBusy {
        /// The device.
        device: String,
    },
    /// A port is taken by another publish of this instance.
    #[error("{wanted} is already published as {taken}")]
    AlreadyPublished {
        /// What was asked for.
        wanted: Publish,
        /// What has it.
        taken: Publish,
    },
    /// An address that cannot be published, and why.
    #[error("cannot publish {publish}: {reason}")]
    InvalidPublish {
        /// What was asked for.
        publish: Publish,
        /// Why not.
        reason: &'static str,
    },
    /// A table has no room.
    #[error("the instance has no room for another {what}: at most {capacity}")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many there can be.
        capacity: u32,
    },
    /// The network of an endpoint is not known.
    #[error("network {network} is not known to the datapath")]
    UnknownNetwork {
        /// The network's id.
        network: u32,
    },
    /// This kernel cannot accelerate connections within the host.
    #[error("connections within this host cannot be accelerated: {reason}")]
    Acceleration {
        /// What is missing, or goes wrong.
        reason: String,
    },
    /// The publish is not known.
    #[error("{publish} is not published")]
    NotPublished {
        /// What was asked for.
        publish: Publish,
    },
}
