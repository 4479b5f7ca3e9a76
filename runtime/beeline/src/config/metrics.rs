//! Settings of the metrics endpoint: where it is, what it serves, and to whom.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use beeline_api::{MetricsOptions, WebConfig};
use beeline_engine::parse_sources;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde::Deserialize;

use super::either;

const DEFAULT_ADDRESS: &str = "127.0.0.1:9323";

#[derive(Debug, Default, Args)]
pub(super) struct MetricsFlags {
    /// Where Prometheus scrapes, or "off" [default: 127.0.0.1:9323]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_addr: Option<String>,
    /// The labels of containers that their metrics get, such as org.example.team,org.example.*; those of compose always do
    /// [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    metrics_labels: Option<Vec<String>>,
    /// TLS and users of the metrics endpoint: a web configuration file as Prometheus' exporters have it
    #[arg(long, value_name = "FILE")]
    metrics_web_config: Option<PathBuf>,
    /// Answer only these addresses and subnets there [default: all]
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    metrics_allow: Option<Vec<String>>,
    /// The page for people that is there beside the metrics [default: on]
    #[arg(long, value_enum, value_name = "SWITCH")]
    metrics_page: Option<Switch>,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Switch {
    On,
    Off,
}

/// The same in daemon.json.
#[derive(Debug, Default)]
pub(super) struct MetricsKeys {
    pub(super) addr: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) web_config: Option<PathBuf>,
    pub(super) allow: Option<Vec<String>>,
    pub(super) page: Option<Switch>,
}

/// What the endpoint is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricsSettings {
    /// Where it listens; none if it is off.
    pub(crate) address: Option<SocketAddr>,
    labels: Option<Vec<String>>,
    web_config: Option<PathBuf>,
    allow: Vec<IpNet>,
    page: bool,
}

impl MetricsSettings {
    /// What the endpoint is started with. Reads the web configuration and the files that it names.
    pub(crate) fn options(&self) -> Result<MetricsOptions> {
        let open = |path: &PathBuf| WebConfig::open(path).context("metrics-web-config");
        Ok(MetricsOptions {
            labels: self.labels.clone(),
            allow: self.allow.clone(),
            web_config: self.web_config.as_ref().map(open).transpose()?,
            page: self.page,
        })
    }
}

pub(super) fn metrics(flags: MetricsFlags, file: MetricsKeys) -> Result<MetricsSettings> {
    let address = either("metrics-addr", flags.metrics_addr, file.addr)?;
    let page = either("metrics-page", flags.metrics_page, file.page)?;
    let allow = either("metrics-allow", flags.metrics_allow, file.allow)?.map(|sources| allowed(&sources));
    Ok(MetricsSettings {
        address: parse_address(address.as_deref().unwrap_or(DEFAULT_ADDRESS))?,
        labels: either("metrics-labels", flags.metrics_labels, file.labels)?,
        web_config: either("metrics-web-config", flags.metrics_web_config, file.web_config)?,
        allow: allow.transpose()?.unwrap_or_default(),
        page: page != Some(Switch::Off),
    })
}

/// A list that is given and names nobody would let everybody in: it is refused.
fn allowed(sources: &[String]) -> Result<Vec<IpNet>> {
    let nets = parse_sources(&sources.join(",")).context("metrics-allow cannot be used")?;
    if nets.is_empty() {
        bail!(
            "metrics-allow names nobody; leave it out to answer everybody, or switch the endpoint off: metrics-addr \"off\""
        );
    }
    Ok(nets)
}

fn parse_address(text: &str) -> Result<Option<SocketAddr>> {
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    let address = text.parse().with_context(|| {
        format!("invalid metrics address {text:?}: use an address and a port, such as {DEFAULT_ADDRESS}, or \"off\"")
    })?;
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(file: MetricsKeys) -> Result<MetricsSettings> {
        metrics(MetricsFlags::default(), file)
    }

    #[test]
    fn without_settings_the_endpoint_is_local_and_answers_everybody_there() {
        let settings = from_file(MetricsKeys::default()).unwrap();
        assert_eq!(settings.address, Some("127.0.0.1:9323".parse().unwrap()));
        assert!(settings.allow.is_empty() && settings.page);
        let off = from_file(MetricsKeys { addr: Some("off".into()), ..MetricsKeys::default() }).unwrap();
        assert_eq!(off.address, None);
    }

    #[test]
    fn who_may_read_is_a_list_of_sources_that_names_somebody() {
        let with = |sources: &[&str]| {
            let allow = Some(sources.iter().map(ToString::to_string).collect());
            from_file(MetricsKeys { allow, ..MetricsKeys::default() })
        };
        let settings = with(&["192.0.2.7", "2001:db8::/32"]).unwrap();
        assert_eq!(
            settings.allow,
            ["192.0.2.7/32".parse().unwrap(), "2001:db8::/32".parse::<IpNet>().unwrap()]
        );
        for (sources, part) in [(&[][..], "names nobody"), (&["10.0.0.0/33"], "10.0.0.0/33")] {
            let error = format!("{:#}", with(sources).unwrap_err());
            assert!(error.contains("metrics-allow") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_web_configuration_that_is_not_there_is_an_error() {
        let keys = MetricsKeys { web_config: Some("/no/such/web.yml".into()), ..MetricsKeys::default() };
        let error = format!("{:#}", from_file(keys).unwrap().options().unwrap_err());
        assert!(error.contains("metrics-web-config") && error.contains("/no/such/web.yml"), "{error}");
    }
}
