//! What can go wrong in a network operation, and what to do about it.

use std::{io, net::IpAddr};

use ipnet::IpNet;

use crate::datapath::{self, Protocol, Publish};

/// The class of an error, for callers that answer others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object does not exist.
    NotFound,
    /// The state does not allow it: a port or an address is taken.
    Conflict,
    /// The request makes no sense.
    InvalidParameter,
    /// The kernel or the daemon failed.
    Internal,
}

/// A failure of the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A process of the host has the port.
    #[error("cannot publish {publish}: port {port}/{protocol} of {address} is already in use on this host: stop what uses it, or publish another port", protocol = .publish.protocol)]
    PortInUse {
        /// What was asked for.
        publish: Publish,
        /// The port that is taken.
        port: u16,
        /// The address it was tried at.
        address: IpAddr,
    },
    /// Another container has the port.
    #[error("cannot publish {wanted}: it is already published for the container at {}: remove that one or publish another port", .taken.container_ip)]
    PortPublished {
        /// What was asked for.
        wanted: Publish,
        /// What has it.
        taken: Publish,
    },
    /// The host has no such address.
    #[error(
        "cannot publish {publish}: {address} is not an address of this host: use one of its own, or 0.0.0.0 for all"
    )]
    AddressUnavailable {
        /// What was asked for.
        publish: Publish,
        /// The address.
        address: IpAddr,
    },
    /// The host's port may not be bound.
    #[error("cannot publish {publish}: bind port {port}")]
    Bind {
        /// What was asked for.
        publish: Publish,
        /// The port that was tried.
        port: u16,
        /// Why it failed.
        source: io::Error,
    },
    /// No port of the range for unnamed host ports is free.
    #[error("no {protocol} port of {address} is free: name one, or widen net.ipv4.ip_local_port_range")]
    NoFreePort {
        /// The protocol.
        protocol: Protocol,
        /// The address.
        address: IpAddr,
    },
    /// A publish that makes no sense.
    #[error("cannot publish {publish}: {reason}")]
    InvalidPublish {
        /// What was asked for.
        publish: Publish,
        /// Why not.
        reason: &'static str,
    },
    /// The publish is not known.
    #[error("{publish} is not published")]
    NotPublished {
        /// What was asked for.
        publish: Publish,
    },
    /// The network is not known.
    #[error("network {network} is not known: create it first")]
    UnknownNetwork {
        /// The network's id.
        network: u32,
    },
    /// An address that does not belong to the network.
    #[error("address {address} is not usable in {subnet}: {reason}")]
    InvalidAddress {
        /// The address.
        address: IpAddr,
        /// The network's subnet.
        subnet: IpNet,
        /// Why not.
        reason: &'static str,
    },
    /// The address is leased.
    #[error("address {address} is already in use in {subnet}: choose another or let one be chosen")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// The network's subnet.
        subnet: IpNet,
    },
    /// A network has no address at all.
    #[error("network {network} has no addresses: it needs a subnet of one family at least")]
    NoAddresses {
        /// The network's name.
        network: String,
    },
    /// An endpoint's addresses are not of the network's families.
    #[error("endpoint {id} needs exactly one address of each family that network {network} has")]
    Families {
        /// The container's id.
        id: String,
        /// The network's name.
        network: String,
    },
    /// The subnet is exhausted.
    #[error("no address of {subnet} is free: remove containers or create a larger network")]
    NoFreeAddress {
        /// The network's subnet.
        subnet: IpNet,
    },
    /// A subnet too small for a network.
    #[error(
        "subnet {subnet} cannot hold a network: it needs a gateway and at least one more address, /30 (/126) or larger"
    )]
    SubnetTooSmall {
        /// The subnet.
        subnet: IpNet,
    },
    /// Every pool collides with the host's routes.
    #[error(
        "every subnet of the pools overlaps a route of this host or another network: name a subnet, or configure \
         default-address-pools"
    )]
    NoFreeSubnet,
    /// A device's name that the kernel or the instance cannot have.
    #[error("invalid device name {name:?}: {reason}")]
    InvalidDevice {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A netlink request.
    #[error("{operation} {object}")]
    Netlink {
        /// What was tried.
        operation: &'static str,
        /// With which device, address or route.
        object: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A system call around a network namespace.
    #[error("{operation}")]
    Namespace {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A capture of what there cannot be.
    #[error("cannot capture: {reason}")]
    InvalidCapture {
        /// Why not.
        reason: &'static str,
    },
    /// A system call of a capture.
    #[error("{operation}")]
    Capture {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The resolver cannot listen.
    #[error("listen for the name queries of containers on {gateway}: has the host this address?")]
    Resolver {
        /// The gateway's address.
        gateway: IpAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// A device that was there is not any more.
    #[error("device {device} disappeared while it was set up")]
    DeviceGone {
        /// The device.
        device: String,
    },
    /// The programs or maps in the kernel.
    #[error(transparent)]
    Datapath(Box<datapath::Error>),
    /// Several steps of a removal failed; the others were done.
    #[error("{operation}: {}", list(.errors))]
    Several {
        /// What was done.
        operation: String,
        /// Every failure.
        errors: Vec<Error>,
    },
    /// An instance's id that cannot be one.
    #[error("invalid instance {instance:?}: it has 1 to 6 of a-z and 0-9")]
    InvalidInstance {
        /// The id.
        instance: String,
    },
    /// A background task of this crate died.
    #[error("a background task of the network failed: {task}")]
    Task {
        /// The task.
        task: &'static str,
    },
}

/// Messages with their causes, one after the other.
fn list(errors: &[Error]) -> String {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            text
        })
        .collect();
    texts.join("; ")
}

impl Error {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::PortInUse { .. }
            | Self::PortPublished { .. }
            | Self::NoFreePort { .. }
            | Self::AddressInUse { .. }
            | Self::NoFreeAddress { .. }
            | Self::NoFreeSubnet => ErrorKind::Conflict,
            Self::AddressUnavailable { .. }
            | Self::InvalidPublish { .. }
            | Self::InvalidAddress { .. }
            | Self::NoAddresses { .. }
            | Self::Families { .. }
            | Self::InvalidDevice { .. }
            | Self::InvalidCapture { .. }
            | Self::InvalidInstance { .. }
            | Self::SubnetTooSmall { .. } => ErrorKind::InvalidParameter,
            Self::NotPublished { .. } | Self::UnknownNetwork { .. } => ErrorKind::NotFound,
            Self::Bind { .. }
            | Self::Netlink { .. }
            | Self::Namespace { .. }
            | Self::Capture { .. }
            | Self::Resolver { .. }
            | Self::DeviceGone { .. }
            | Self::Datapath(_)
            | Self::Several { .. }
            | Self::Task { .. } => ErrorKind::Internal,
        }
    }

    /// One error of the failures of a removal; none is success.
    pub(crate) fn collect(operation: impl FnOnce() -> String, mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several { operation: operation(), errors }),
        }
    }
}

impl From<datapath::Error> for Error {
    fn from(error: datapath::Error) -> Self {
        match error {
            datapath::Error::AlreadyPublished { wanted, taken } => Self::PortPublished { wanted, taken },
            datapath::Error::InvalidPublish { publish, reason } => Self::InvalidPublish { publish, reason },
            datapath::Error::NotPublished { publish } => Self::NotPublished { publish },
            datapath::Error::UnknownNetwork { network } => Self::UnknownNetwork { network },
            other => Self::Datapath(Box::new(other)),
        }
    }
}
