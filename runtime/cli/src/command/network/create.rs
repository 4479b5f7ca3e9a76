use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use beeline_wire::network::{Ipam, IpamConfig, NetworkCreateRequest, NetworkCreateResponse};
use clap::Args;
use ipnet::IpNet;

use crate::client::Client;
use crate::command::run::pairs;
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline network create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The addresses, such as 172.30.0.0/24; once for IPv4, once for IPv6 [default: chosen]
    #[arg(long, value_name = "CIDR")]
    subnet: Vec<IpNet>,
    /// The addresses that containers are given without asking, a part of the subnet
    #[arg(long, value_name = "CIDR")]
    ip_range: Vec<IpNet>,
    /// The gateway's address [default: the first of the subnet]
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<std::net::IpAddr>,
    /// An address that something else has: NAME=ADDRESS; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    aux_address: Vec<String>,
    /// Give the network IPv6 addresses
    #[arg(long)]
    ipv6: bool,
    /// Give the network IPv4 addresses
    #[arg(long, value_name = "YES", default_value_t = true, action = clap::ArgAction::Set)]
    ipv4: bool,
    /// Let its containers reach nothing outside
    #[arg(long)]
    internal: bool,
    /// Kept for tools that ask for it: every container may be connected anyway
    #[arg(long)]
    attachable: bool,
    /// bridge, the only driver
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// An option of the driver, such as com.docker.network.driver.mtu=1400; may be repeated
    #[arg(short, long = "opt", value_name = "OPTION")]
    option: Vec<String>,
    /// Set a label: NAME=VALUE; may be repeated
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// The network's name
    #[arg(value_name = "NETWORK")]
    name: String,
}

impl Create {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let created: NetworkCreateResponse = client.post_json("/networks/create", &self.request()?).await?;
        if !created.warning.is_empty() {
            output::complain(&format!("beeline: warning: {}", created.warning));
        }
        output::line(&created.id)?;
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> Result<NetworkCreateRequest> {
        Ok(NetworkCreateRequest {
            name: self.name.clone(),
            driver: self.driver.clone(),
            enable_ipv4: Some(self.ipv4),
            enable_ipv6: Some(self.ipv6),
            ipam: Some(Ipam { driver: "default".into(), options: None, config: self.pools()? }),
            internal: self.internal,
            attachable: self.attachable,
            options: pairs(&self.option),
            labels: pairs(&self.label),
            ..NetworkCreateRequest::default()
        })
    }

    /// One pool for each subnet, with the ranges and addresses that lie in it.
    fn pools(&self) -> Result<Vec<IpamConfig>> {
        let mut pools: Vec<(IpNet, IpamConfig)> = self
            .subnet
            .iter()
            .map(|subnet| (*subnet, IpamConfig { subnet: subnet.to_string(), ..IpamConfig::default() }))
            .collect();
        for range in &self.ip_range {
            in_pool(&mut pools, range.addr(), "--ip-range")?.ip_range = range.to_string();
        }
        for gateway in &self.gateway {
            in_pool(&mut pools, *gateway, "--gateway")?.gateway = gateway.to_string();
        }
        for (name, address) in pairs(&self.aux_address) {
            let parsed = address.parse().with_context(|| format!("invalid address {address:?}"))?;
            in_pool(&mut pools, parsed, "--aux-address")?.auxiliary_addresses.insert(name, address);
        }
        Ok(pools.into_iter().map(|(_, pool)| pool).collect())
    }
}

fn in_pool<'a>(
    pools: &'a mut [(IpNet, IpamConfig)],
    address: std::net::IpAddr,
    flag: &str,
) -> Result<&'a mut IpamConfig> {
    match pools.iter_mut().find(|(subnet, _)| subnet.contains(&address)) {
        Some((_, pool)) => Ok(pool),
        None => bail!("{flag} {address} lies in no --subnet: give the subnet it belongs to"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    fn request(line: &str) -> Result<NetworkCreateRequest> {
        Line::try_parse_from(format!("create {line}").split(' ')).unwrap().create.request()
    }

    #[test]
    fn addresses_go_to_the_subnet_they_lie_in() {
        let request = request(
            "--subnet 10.9.0.0/24 --subnet fd00:9::/64 --ipv6 --gateway fd00:9::9 --ip-range 10.9.0.128/25 \
             --aux-address router=10.9.0.2 -o com.docker.network.driver.mtu=1400 web",
        )
        .unwrap();
        let pools = request.ipam.unwrap().config;
        assert_eq!((pools[0].ip_range.as_str(), pools[0].gateway.as_str()), ("10.9.0.128/25", ""));
        assert_eq!(pools[0].auxiliary_addresses, BTreeMap::from([("router".into(), "10.9.0.2".into())]));
        assert_eq!(pools[1].gateway, "fd00:9::9");
        assert_eq!(request.options["com.docker.network.driver.mtu"], "1400");
        assert_eq!((request.enable_ipv4, request.enable_ipv6), (Some(true), Some(true)));
    }

    #[test]
    fn an_address_outside_of_every_subnet_is_refused() {
        let error = request("--gateway 10.9.0.1 web").unwrap_err().to_string();
        assert!(error.contains("--gateway 10.9.0.1 lies in no --subnet"), "{error}");
    }
}
