//! Settings that say who may reach published ports, and where the guard stands.

use anyhow::{Context, Result};
use beeline_engine::{Acceleration, Guard, Rules, parse_acceleration, parse_sources};
use clap::Args;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::either;

/// What the guard is asked for with to stand at every uplink.
const ALL: &str = "all";

#[derive(Debug, Default, Args)]
pub(super) struct PolicyFlags {
    /// Only these addresses and subnets may reach published ports
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    pub(super) publish_allow: Vec<String>,
    /// These addresses and subnets may not reach published ports
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    pub(super) publish_deny: Vec<String>,
    /// Only these may reach published ports of containers on the default network
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    pub(super) bridge_allow: Vec<String>,
    /// These may not reach published ports of containers on the default network
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    pub(super) bridge_deny: Vec<String>,
    /// Drop every packet of what --publish-deny names at these uplinks, or at all of them with "all", before the host
    /// sees it
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    pub(super) guard: Vec<String>,
}

/// One device, "all", or a list of devices.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Devices {
    One(String),
    Several(Vec<String>),
}

/// A setting of Docker's for what it does by other means: Beeline has none of them to switch on.
#[derive(Debug, Default)]
pub(super) struct NotNeeded;

impl<'de> Deserialize<'de> for NotNeeded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if Option::<bool>::deserialize(deserializer)? == Some(true) {
            return Err(D::Error::custom(
                "it cannot be true: Beeline's programs do without netfilter and without a proxy; remove the key or set \
                 it to false",
            ));
        }
        Ok(Self)
    }
}

/// A list of sources by its key, from the flag and from the file.
type Sources<'a> = (&'a str, Vec<String>, Option<Vec<String>>);

/// The rules of two lists.
pub(super) fn rules(allow: Sources<'_>, deny: Sources<'_>) -> Result<Rules> {
    let read = |(key, flag, file): Sources<'_>| {
        let texts = either(key, given(flag), file)?.unwrap_or_default();
        let sources = texts.iter().map(|text| parse_sources(text)).collect::<Result<Vec<_>, _>>();
        sources.with_context(|| format!("{key} cannot be used"))
    };
    Ok(Rules::new(read(allow)?.into_iter().flatten(), read(deny)?.into_iter().flatten()))
}

/// How connections of the default network are accelerated.
pub(super) fn acceleration(flag: Option<String>, file: Option<String>) -> Result<Acceleration> {
    const KEY: &str = "beeline-bridge-accelerate";
    match either(KEY, flag, file)? {
        Some(text) => Ok(parse_acceleration(KEY, &text)?),
        None => Ok(Acceleration::Off),
    }
}

/// Where the guard stands.
pub(super) fn guard(flag: Vec<String>, file: Option<Devices>) -> Result<Guard> {
    let file = file.map(|devices| match devices {
        Devices::One(device) => vec![device],
        Devices::Several(devices) => devices,
    });
    let devices = either("beeline-guard", given(flag), file)?.unwrap_or_default();
    Ok(match devices {
        devices if devices.is_empty() => Guard::Off,
        devices if devices.iter().any(|device| device == ALL) => Guard::All,
        devices => Guard::Devices(devices.into_iter().collect()),
    })
}

fn given(flag: Vec<String>) -> Option<Vec<String>> {
    (!flag.is_empty()).then_some(flag)
}
