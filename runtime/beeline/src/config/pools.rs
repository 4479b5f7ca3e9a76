//! Address pools that networks without a subnet are cut from.

use beeline_engine::AddressPool;
use ipnet::IpNet;
use serde::Deserialize;

/// An entry of `default-address-pools`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolEntry {
    base: IpNet,
    size: u8,
}

/// Reads `base=10.10.0.0/16,size=24`.
pub(super) fn parse_pool(text: &str) -> Result<AddressPool, String> {
    let (mut base, mut size) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => base = value.parse().ok(),
            Some(("size", value)) => size = value.parse().ok(),
            _ => return Err(format!("{part:?} is neither base=CIDR nor size=LENGTH")),
        }
    }
    let (Some(base), Some(size)) = (base, size) else {
        return Err("a pool has a base and a size, such as base=10.10.0.0/16,size=24".to_owned());
    };
    to_pool(&PoolEntry { base, size })
}

/// A pool from which at least one network can be cut that holds a container.
pub(super) fn to_pool(entry: &PoolEntry) -> Result<AddressPool, String> {
    let (base, size) = (entry.base.trunc(), entry.size);
    if size < base.prefix_len() || size > base.max_prefix_len() - 2 {
        return Err(format!("networks of size {size} cannot be cut from {base}"));
    }
    Ok(AddressPool { base, size })
}
