//! Networks: what users ask for, who is on which, and published ports as readers see them.

mod config;
mod create;
mod endpoint;
mod filter;
mod ipam;
pub(crate) mod keeper;
mod leases;
mod name;
mod options;
mod remove;
mod set;
mod view;

pub use config::{EndpointConfig, IpamConfig, NetworkConfig, PoolConfig};
pub(crate) use name::parse_link;
pub use view::{NetworkMember, NetworkView, PoolView, PortRule, PortStatus};

pub(crate) use create::{default_record, load};
pub(crate) use endpoint::{check_endpoint, endpoint_view};
pub(crate) use filter::select;
pub(crate) use leases::Lease;
pub(crate) use set::{Networks, derive};
pub(crate) use view::view;

use std::sync::{Mutex, MutexGuard, PoisonError};

use beeline_net::{Ipam, NetworkSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::identity::ContainerId;
use leases::Leases;
use options::BridgeOptions;
pub use options::parse_acceleration;

/// The name of the default network.
pub(crate) const DEFAULT: &str = "bridge";

/// The id of the default network in the datapath.
pub(crate) const DEFAULT_NUMBER: u32 = 1;

/// A network as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    /// What was asked for.
    pub(crate) config: NetworkConfig,
    /// What the datapath is told, chosen addresses included.
    pub(crate) spec: NetworkSpec,
}

/// A network.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) config: NetworkConfig,
    pub(crate) kind: Kind,
}

/// What a network is made of.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A device and addresses of its own.
    Bridge(Box<Bridge>),
    /// The host's own network.
    Host,
    /// No network but the loopback.
    Null,
}

/// A network with a device.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) spec: NetworkSpec,
    pub(crate) options: BridgeOptions,
    leases: Mutex<Leases>,
}

impl Network {
    /// A network with a device, as it was stored.
    ///
    /// # Errors
    /// Its addresses cannot be a network's.
    pub(crate) fn bridge(record: NetworkRecord) -> Result<Self, Error> {
        let NetworkRecord { id, created, config, spec } = record;
        let wanted = ipam::parse(&config)?;
        let pool = |range: Option<(ipnet::IpNet, std::net::IpAddr)>, wanted: Option<&ipam::Wanted>| {
            let Some((subnet, gateway)) = range else { return Ok(None) };
            let mut pool = Ipam::new(subnet, gateway)?;
            if let Some(range) = wanted.and_then(|wanted| wanted.range) {
                pool = pool.with_range(range)?;
            }
            let reserved = wanted.into_iter().flat_map(|wanted| wanted.auxiliary.values().copied());
            Ok(Some(pool.with_reserved(reserved)))
        };
        let invalid = |error: beeline_net::Error| Error::Invalid(error.to_string());
        let ipv4 = spec.ipv4.map(|range| (range.subnet.into(), range.gateway.into()));
        let ipv6 = spec.ipv6.map(|range| (range.subnet.into(), range.gateway.into()));
        let leases = Leases::new(
            pool(ipv4, wanted.ipv4.as_ref()).map_err(invalid)?,
            pool(ipv6, wanted.ipv6.as_ref()).map_err(invalid)?,
        );
        let options = BridgeOptions::parse(&config.options)?;
        let kind = Kind::Bridge(Box::new(Bridge { spec, options, leases: Mutex::new(leases) }));
        Ok(Self { id, created, config, kind })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// `bridge`, `host` or `null`.
    pub(crate) fn driver(&self) -> &'static str {
        match self.kind {
            Kind::Bridge(_) => "bridge",
            Kind::Host => "host",
            Kind::Null => "null",
        }
    }

    /// Whether Beeline made it by itself.
    pub(crate) fn is_builtin(&self) -> bool {
        is_builtin(self.name())
    }

    /// Its device and addresses, if it has such.
    pub(crate) fn as_bridge(&self) -> Option<&Bridge> {
        if let Kind::Bridge(bridge) = &self.kind { Some(bridge) } else { None }
    }
}

impl Bridge {
    /// Leases addresses to a container that starts or is connected.
    ///
    /// # Errors
    /// What is asked for cannot be had; the network is being removed.
    pub(crate) fn lease(&self, id: &ContainerId, config: &EndpointConfig) -> Result<Lease, Error> {
        let wanted = Lease { ipv4: config.ipv4(), ipv6: config.ipv6() };
        let gone = || Error::NoSuchNetwork { reference: self.spec.name.clone() };
        self.leases().take(id, wanted)?.ok_or_else(gone)
    }

    /// Takes a stored lease into the pools; the answer is what still fits the network.
    pub(crate) fn restore(&self, id: &ContainerId, lease: Lease) -> Lease {
        self.leases().restore(id, lease)
    }

    /// The container has stopped: its addresses stay its own as long as no other has to have them.
    pub(crate) fn rest(&self, id: &ContainerId) {
        self.leases().rest(id);
    }

    /// The container has left, or is removed.
    pub(crate) fn release(&self, id: &ContainerId) {
        self.leases().release(id);
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // Its methods do not panic half way.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name is that of one of the networks that are always there.
pub(crate) fn is_builtin(name: &str) -> bool {
    matches!(name, DEFAULT | "host" | "none")
}
