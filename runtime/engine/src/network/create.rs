//! Making a network: checked, given addresses, recorded, then made in the kernel. A daemon that dies in between leaves the
//! record, from which the next one makes the rest.

use std::collections::BTreeMap;
use std::net::IpAddr;

use beeline_net::{
    Families, NetworkSpec, Pool, Range, default_device, default_gateway, default_pools, local_pool,
    network_device, overlap,
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::ipam::{self, Wanted};
use super::options::{self, BridgeOptions};
use super::set::builtin_id;
use super::{
    DEFAULT, DEFAULT_NUMBER, IpamConfig, Network, NetworkConfig, NetworkRecord, PoolConfig, is_builtin,
};
use crate::container::policy::Policy;
use crate::error::{Error, chain};
use crate::identity::{ContainerId, InstanceId};
use crate::settings::EngineConfig;
use crate::shared::Shared;

/// The number of the last network whose device's name has room for it.
const LAST_NUMBER: u32 = 9999;

pub(super) async fn create(shared: &Shared, config: NetworkConfig) -> Result<String, Error> {
    check_name(shared, &config.name)?;
    check_driver(&config.driver)?;
    let wanted = ipam::parse(&config)?;
    let options = BridgeOptions::parse(&config.options)?;
    if config.internal && options.routed != Families::default() {
        return Err(Error::Invalid(
            "an internal network cannot be routed: it is reachable from nowhere".into(),
        ));
    }
    let present: Vec<NetworkSpec> = shared
        .networks
        .all()
        .iter()
        .filter_map(|network| network.as_bridge().map(|bridge| bridge.spec.clone()))
        .collect();
    let taken: Vec<IpNet> = present.iter().flat_map(|spec| spec.ranges().map(|(subnet, _)| subnet)).collect();
    let addresses = Addresses { net: &shared.net, config: &shared.config, engine: &shared.id, taken };
    let ipv4 = addresses.choose(wanted.ipv4.as_ref(), true).await?;
    let ipv6 = addresses.choose(wanted.ipv6.as_ref(), false).await?;
    let number = (DEFAULT_NUMBER + 1..=LAST_NUMBER)
        .find(|number| !present.iter().any(|spec| spec.id == *number))
        .ok_or_else(|| Error::Unavailable("there are too many networks: remove some".into()))?;
    let device = options.device.unwrap_or_else(|| network_device(shared.instance.as_str(), number));
    if present.iter().any(|spec| spec.device == device) {
        return Err(Error::Conflict(format!("networks have same bridge name {device}")));
    }
    let spec = NetworkSpec {
        id: number,
        name: config.name.clone(),
        device,
        ipv4: ipv4.and_then(range4),
        ipv6: ipv6.and_then(range6),
        mtu: options.mtu.or(shared.config.mtu),
        icc: options.icc,
        internal: config.internal,
        masquerade: options.masquerade,
        routed: options.routed,
        flow_quota: options.flow_quota,
        rules: Policy::of_network(&config.labels, &config.options)?,
        accelerate: options.accelerate,
    };
    let id = ContainerId::random()?.to_string();
    let record = NetworkRecord { id: id.clone(), created: Timestamp::now(), config, spec };
    make(shared, record).await?;
    Ok(id)
}

async fn make(shared: &Shared, record: NetworkRecord) -> Result<(), Error> {
    let network = Network::bridge(record.clone())?;
    shared.database.put_network(&record).await?;
    let made = shared.net.create_network(record.spec.clone()).await;
    let made = made.map_err(|error| from_net(format!("create network {}", record.config.name), &error));
    if let Err(error) = made.and_then(|()| shared.serve_names(&network)) {
        shared.resolver.remove_network(record.spec.id);
        let undone = shared.net.remove_network(record.spec.id, &record.spec.device).await;
        if let Err(error) = undone.as_ref() {
            tracing::warn!(
                network = record.config.name,
                error = chain(error),
                "not everything was taken back"
            );
        }
        shared.database.remove_network(&record.id).await?;
        return Err(error);
    }
    let network = shared.networks.insert(network);
    shared.network_event("create", &network, BTreeMap::new());
    Ok(())
}

fn check_name(shared: &Shared, name: &str) -> Result<(), Error> {
    if name.trim().is_empty() {
        return Err(Error::Invalid("invalid name: name is empty".into()));
    }
    if is_builtin(name) || name == "default" {
        return Err(Error::Forbidden(format!("operation is not permitted on predefined {name} network")));
    }
    let wrong = |character: char| {
        matches!(character, '/' | ':') || character.is_control() || character.is_whitespace()
    };
    if name.contains(wrong) {
        return Err(Error::Invalid(format!("invalid name: {name:?} has a slash, a colon or a space")));
    }
    if shared.networks.all().iter().any(|network| network.name() == name) {
        return Err(Error::Conflict(format!("network with name {name} already exists")));
    }
    Ok(())
}

fn check_driver(driver: &str) -> Result<(), Error> {
    match driver {
        "" | "default" | "bridge" => Ok(()),
        "host" | "null" => {
            Err(Error::Forbidden(format!("only one instance of \"{driver}\" network is allowed")))
        }
        "macvlan" | "ipvlan" | "overlay" => {
            Err(Error::NotImplemented(format!("the network driver {driver} is not supported: use bridge")))
        }
        _ => Err(Error::NoSuchPlugin { name: driver.to_owned() }),
    }
}

/// Where subnets are chosen.
struct Addresses<'a> {
    net: &'a beeline_net::Net,
    config: &'a EngineConfig,
    engine: &'a str,
    taken: Vec<IpNet>,
}

impl Addresses<'_> {
    /// A subnet and its gateway, if the family is wanted: those asked for, else of the pools.
    async fn choose(&self, wanted: Option<&Wanted>, ipv4: bool) -> Result<Option<(IpNet, IpAddr)>, Error> {
        let Some(wanted) = wanted else { return Ok(None) };
        let subnet = match wanted.subnet {
            Some(subnet) if self.taken.iter().any(|other| overlap(other, &subnet)) => {
                return Err(Error::Forbidden(
                    "invalid pool request: Pool overlaps with other one on this address space".into(),
                ));
            }
            Some(subnet) => subnet,
            None => {
                let chosen = self.net.choose_subnet(self.pools(ipv4), self.taken.clone()).await;
                chosen.map_err(|error| from_net("choose a subnet".into(), &error))?
            }
        };
        let gateway = wanted.gateway.unwrap_or_else(|| first_address(subnet, wanted));
        Ok(Some((subnet, gateway)))
    }

    /// The configured pools of a family, else Docker's.
    fn pools(&self, ipv4: bool) -> Vec<Pool> {
        let configured = self.config.address_pools.iter();
        let pools: Vec<Pool> = configured
            .filter(|pool| pool.base.addr().is_ipv4() == ipv4)
            .map(|pool| Pool { base: pool.base, prefix_len: pool.size })
            .collect();
        match (pools.is_empty(), ipv4) {
            (false, _) => pools,
            (true, true) => default_pools(),
            (true, false) => vec![local_pool(seed(self.engine))],
        }
    }
}

/// What sets this engine's local IPv6 addresses apart: a part of its random id.
fn seed(engine: &str) -> [u8; 5] {
    let bytes = hex::decode(engine.get(..10).unwrap_or_default()).unwrap_or_default();
    bytes.try_into().unwrap_or_default()
}

/// The first address that may be a gateway's.
fn first_address(subnet: IpNet, wanted: &Wanted) -> IpAddr {
    let mut address = match wanted.range {
        Some(range) if range.network() != subnet.network() => range.network(),
        _ => default_gateway(subnet),
    };
    while wanted.auxiliary.values().any(|taken| *taken == address) {
        address = match address {
            IpAddr::V4(address) => std::net::Ipv4Addr::from(u32::from(address).wrapping_add(1)).into(),
            IpAddr::V6(address) => std::net::Ipv6Addr::from(u128::from(address).wrapping_add(1)).into(),
        };
    }
    address
}

fn range4((subnet, gateway): (IpNet, IpAddr)) -> Option<beeline_net::Range4> {
    let (IpNet::V4(subnet), IpAddr::V4(gateway)) = (subnet, gateway) else { return None };
    Some(Range { subnet, gateway })
}

fn range6((subnet, gateway): (IpNet, IpAddr)) -> Option<beeline_net::Range6> {
    let (IpNet::V6(subnet), IpAddr::V6(gateway)) = (subnet, gateway) else { return None };
    Some(Range { subnet, gateway })
}

/// A failure of the network's, of the kind it has there.
fn from_net(operation: String, error: &beeline_net::Error) -> Error {
    match error.kind() {
        beeline_net::ErrorKind::Conflict => Error::Conflict(chain(error)),
        beeline_net::ErrorKind::InvalidParameter => Error::Invalid(chain(error)),
        beeline_net::ErrorKind::NotFound | beeline_net::ErrorKind::Internal => {
            Error::internal(operation, error)
        }
    }
}

/// The default network: as configured, else as it was, else in a subnet that is free here.
pub(crate) async fn default_record(
    stored: &[NetworkRecord],
    config: &EngineConfig,
    instance: &InstanceId,
    net: &beeline_net::Net,
    engine: &str,
) -> Result<NetworkRecord, Error> {
    let before = stored.iter().find(|record| record.config.name == DEFAULT);
    let others = stored.iter().filter(|record| record.config.name != DEFAULT);
    let taken = others.flat_map(|record| record.spec.ranges().map(|(subnet, _)| subnet)).collect();
    let addresses = Addresses { net, config, engine, taken };
    let last4 =
        before.and_then(|record| record.spec.ipv4).map(|range| (range.subnet.into(), range.gateway.into()));
    let last6 =
        before.and_then(|record| record.spec.ipv6).map(|range| (range.subnet.into(), range.gateway.into()));
    let ipv4 = match config.subnet {
        Some(bip) => Some(given(bip.into())),
        None => last4,
    };
    let ipv4 = addresses.choose(Some(&wanted(ipv4)), true).await?;
    let ipv6 = match (config.ipv6, config.subnet6) {
        (false, _) => None,
        (true, Some(subnet)) => addresses.choose(Some(&wanted(Some(given(subnet.into())))), false).await?,
        (true, None) => addresses.choose(Some(&wanted(last6)), false).await?,
    };
    let spec = NetworkSpec {
        id: DEFAULT_NUMBER,
        name: DEFAULT.into(),
        device: default_device(instance.as_str()),
        ipv4: ipv4.and_then(range4),
        ipv6: ipv6.and_then(range6),
        mtu: config.mtu,
        icc: config.icc,
        internal: false,
        masquerade: config.masquerade,
        routed: Families::default(),
        flow_quota: None,
        rules: config.bridge_rules.clone(),
        accelerate: config.bridge_accelerate,
    };
    let network = NetworkConfig {
        name: DEFAULT.into(),
        driver: "bridge".into(),
        enable_ipv6: spec.ipv6.is_some(),
        options: options::of_default(&spec, config.publish_address),
        ipam: IpamConfig { pools: spec.ranges().map(pool_config).collect(), ..IpamConfig::default() },
        ..NetworkConfig::default()
    };
    let created = before.map_or_else(Timestamp::now, |record| record.created);
    Ok(NetworkRecord { id: builtin_id(engine, DEFAULT), created, config: network, spec })
}

/// A configured subnet, whose host's part, if it has one, is the gateway's address.
fn given(subnet: IpNet) -> (IpNet, IpAddr) {
    let gateway = if subnet.addr() == subnet.network() { default_gateway(subnet) } else { subnet.addr() };
    (subnet.trunc(), gateway)
}

fn wanted(range: Option<(IpNet, IpAddr)>) -> Wanted {
    let (subnet, gateway) = range.unzip();
    Wanted { subnet, gateway, ..Wanted::default() }
}

fn pool_config((subnet, gateway): (IpNet, IpAddr)) -> PoolConfig {
    PoolConfig { subnet: subnet.to_string(), gateway: gateway.to_string(), ..PoolConfig::default() }
}

/// The stored networks. One that cannot be understood any more is told of and left out.
pub(crate) fn load(records: Vec<NetworkRecord>) -> Vec<Network> {
    let load = |record: NetworkRecord| {
        let name = record.config.name.clone();
        let loaded = Network::bridge(record);
        loaded
            .inspect_err(|error| {
                tracing::error!(name, error = error.full(), "the stored network cannot be had");
            })
            .ok()
    };
    records.into_iter().filter_map(load).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_the_first_address_that_is_not_taken() {
        let subnet: IpNet = "10.9.0.0/24".parse().unwrap();
        let mut wanted = Wanted::default();
        assert_eq!(first_address(subnet, &wanted).to_string(), "10.9.0.1");
        wanted.auxiliary.insert("router".into(), [10, 9, 0, 1].into());
        assert_eq!(first_address(subnet, &wanted).to_string(), "10.9.0.2");
        wanted.range = Some("10.9.0.128/25".parse().unwrap());
        assert_eq!(first_address(subnet, &wanted).to_string(), "10.9.0.128");
    }

    #[test]
    fn the_configured_address_is_the_gateways() {
        let parts = |text: &str| {
            let (subnet, gateway) = given(text.parse().unwrap());
            format!("{subnet} {gateway}")
        };
        assert_eq!(parts("172.30.0.5/24"), "172.30.0.0/24 172.30.0.5");
        assert_eq!(parts("172.30.0.0/24"), "172.30.0.0/24 172.30.0.1");
        assert_eq!(parts("fd00:1::/64"), "fd00:1::/64 fd00:1::1");
    }

    #[test]
    fn an_engines_local_addresses_come_from_its_id() {
        assert_eq!(seed("0123456789abcdef"), [0x01, 0x23, 0x45, 0x67, 0x89]);
        assert_ne!(seed(&"a".repeat(64)), seed(&"b".repeat(64)));
    }
}
