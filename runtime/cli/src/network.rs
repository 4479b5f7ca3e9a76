//! `--network NAME` or `--network name=NAME,ip=ADDRESS,…`.

use std::collections::BTreeMap;
use std::str::FromStr;

use beeline_wire::network::{EndpointIpamConfig, EndpointSettings};

/// A network to be on, with wishes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkFlag {
    /// The network's name, id or mode.
    pub(crate) name: String,
    pub(crate) ip: String,
    pub(crate) ip6: String,
    pub(crate) mac_address: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) links: Vec<String>,
    pub(crate) gw_priority: Option<i64>,
    pub(crate) driver_opts: BTreeMap<String, String>,
}

impl FromStr for NetworkFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self { name: text.to_owned(), ..Self::default() });
        }
        let mut flag = Self::default();
        for part in text.split(',') {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("{part:?} has no value: use NAME=VALUE"))?;
            let value = value.to_owned();
            match key.trim() {
                "name" => flag.name = value,
                "ip" => flag.ip = value,
                "ip6" => flag.ip6 = value,
                "mac-address" => flag.mac_address = value,
                "alias" => flag.aliases.push(value),
                "link" => flag.links.push(value),
                "gw-priority" => {
                    let number =
                        value.parse().map_err(|_| format!("gw-priority {value:?} is not a number"))?;
                    flag.gw_priority = Some(number);
                }
                "driver-opt" => {
                    let (key, value) = value.split_once('=').unwrap_or((&value, ""));
                    flag.driver_opts.insert(key.to_owned(), value.to_owned());
                }
                unknown => {
                    return Err(format!(
                        "{unknown:?} is unknown: name, ip, ip6, mac-address, alias, link, gw-priority and driver-opt are \
                         known"
                    ));
                }
            }
        }
        if flag.name.is_empty() {
            return Err("the network's name is missing: name=NETWORK".to_owned());
        }
        Ok(flag)
    }
}

impl NetworkFlag {
    /// What the API takes of it.
    pub(crate) fn settings(self) -> EndpointSettings {
        let has_address = !self.ip.is_empty() || !self.ip6.is_empty();
        let list = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
        EndpointSettings {
            ipam_config: has_address.then_some(EndpointIpamConfig {
                ipv4_address: self.ip,
                ipv6_address: self.ip6,
                link_local_ips: None,
            }),
            mac_address: self.mac_address,
            aliases: list(self.aliases),
            links: list(self.links),
            gw_priority: self.gw_priority,
            driver_opts: Some(self.driver_opts).filter(|options| !options.is_empty()),
            ..EndpointSettings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_understood() {
        assert_eq!("web".parse::<NetworkFlag>().unwrap().name, "web");
        let flag: NetworkFlag =
            "name=web,ip=10.9.0.9,ip6=fd00::9,alias=db,alias=store,mac-address=02:00:00:00:00:09,gw-priority=-1,\
             driver-opt=com.docker.network.endpoint.ifname=front0"
                .parse()
                .unwrap();
        assert_eq!((flag.aliases.len(), flag.gw_priority), (2, Some(-1)));
        assert_eq!(flag.driver_opts["com.docker.network.endpoint.ifname"], "front0");
        let settings = flag.settings();
        assert_eq!(settings.ipam_config.unwrap().ipv6_address, "fd00::9");
        assert_eq!(settings.links, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("ip=10.0.0.1", "name is missing"),
            ("name=web,colour=red", "colour"),
            ("name=web,gw-priority=x", "number"),
        ] {
            let error = text.parse::<NetworkFlag>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
