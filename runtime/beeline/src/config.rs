//! The daemon's configuration: command line flags, the file daemon.json, defaults, in this order.
//!
//! The file has Docker's keys where Docker has one. As in dockerd, a value given by flag and by file is an error: nobody
//! could tell which one holds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use beeline_api::{Export, HostAddr, InvalidHost};
use beeline_engine::{
    Acceleration, AddressPool, Guard, InstanceId, LogDriver, Rules, SecurityDefaults, Timeouts, Watch,
};
use clap::Parser;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;

mod export;
mod log_level;
mod metrics;
mod policy;
mod pools;
mod security;
#[cfg(test)]
mod tests;
mod timeouts;
mod watch;

use export::{ExportFlags, ExportKeys, export};
pub(crate) use log_level::LogLevel;
pub(crate) use metrics::MetricsSettings;
use metrics::{MetricsFlags, MetricsKeys, Switch, metrics};
use policy::{Devices, NotNeeded, PolicyFlags, acceleration, guard, rules};
use pools::{PoolEntry, parse_pool, to_pool};
use security::{SecurityFlags, SecurityKeys, UlimitEntry, security};
use timeouts::{Given, timeouts};
use watch::{WatchFlags, watch};

const DEFAULT_FILE: &str = "/etc/beeline/daemon.json";
const DEFAULT_ROOT: &str = "/var/lib/beeline";
const DEFAULT_RUN: &str = "/run/beeline";

/// Run the daemon
#[derive(Debug, Parser)]
#[command(name = "beeline daemon", bin_name = "beeline daemon", version)]
pub(crate) struct Flags {
    /// Where images, records and logs are kept [default: /var/lib/beeline]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where sockets and locks are kept [default: /run/beeline]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// A socket to listen on: unix://PATH or tcp://ADDRESS:PORT; may be repeated [default: unix://RUN/beeline.sock]
    #[arg(short = 'H', long, value_name = "URL")]
    host: Vec<String>,
    #[command(flatten)]
    metrics: MetricsFlags,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Tells this daemon's devices, pins and control groups from other daemons': 1 to 6 of a-z and 0-9
    /// [default: derived from the root directory]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// How much to log
    #[arg(short, long, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Log debug messages; the same as --log-level debug
    #[arg(short = 'D', long)]
    debug: bool,
    /// The default network's gateway and subnet, such as 172.30.0.1/24 [default: one that no route of the host covers]
    #[arg(long, value_name = "CIDR")]
    bip: Option<Ipv4Net>,
    /// Give the default network IPv6 addresses
    #[arg(long)]
    ipv6: bool,
    /// The default network's IPv6 subnet, such as fd00:1::/64 [default: a local one of this daemon's own]
    #[arg(long, value_name = "CIDR")]
    fixed_cidr_v6: Option<Ipv6Net>,
    /// What the subnets of networks are cut from: base=CIDR,size=LENGTH; may be repeated [default: private ranges]
    #[arg(long, value_name = "POOL", value_parser = parse_pool)]
    default_address_pool: Vec<AddressPool>,
    /// The default network's MTU [default: that of the default route's device]
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,
    /// The host address that ports are published on when -p names none [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// Whether containers on the default network may talk to each other [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    icc: Option<bool>,
    /// Whether packets of the default network to the outside carry the host's address [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ip_masq: Option<bool>,
    /// Let connections between containers on the default network go past the network: true, or despite-faults
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    bridge_accelerate: Option<String>,
    /// Let those of the host itself with containers on such networks go past them, too
    #[arg(long)]
    accelerate_host: bool,
    #[command(flatten)]
    policy: PolicyFlags,
    /// The control group above those of containers that name none [default: /beeline/INSTANCE]
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// The log driver of containers that name none [default: json-file]
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// An option of that driver: NAME=VALUE; may be repeated
    #[arg(long, value_name = "OPTION")]
    log_opt: Vec<String>,
    #[command(flatten)]
    security: SecurityFlags,
    #[command(flatten)]
    watch: WatchFlags,
    #[command(flatten)]
    export: ExportFlags,
    /// How many connections can be tracked at once [default: 262144]
    #[arg(long, value_name = "NUMBER")]
    conntrack_entries: Option<u32>,
    /// How long silent connections of a kind are remembered: KIND=DURATION, such as udp=30s; may be repeated
    #[arg(long, value_name = "KIND=DURATION", value_parser = timeouts::parse)]
    conntrack_timeout: Vec<Given>,
    /// Check flags and file, and exit
    #[arg(long)]
    pub(crate) validate: bool,
}

/// The keys of daemon.json.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    #[serde(alias = "root")]
    data_root: Option<PathBuf>,
    #[serde(alias = "run")]
    exec_root: Option<PathBuf>,
    hosts: Option<Vec<String>>,
    metrics_addr: Option<String>,
    metrics_labels: Option<Vec<String>>,
    metrics_web_config: Option<PathBuf>,
    metrics_allow: Option<Vec<String>>,
    metrics_page: Option<Switch>,
    instance: Option<String>,
    log_level: Option<LogLevel>,
    debug: Option<bool>,
    bip: Option<Ipv4Net>,
    ipv6: Option<bool>,
    fixed_cidr_v6: Option<Ipv6Net>,
    default_address_pools: Option<Vec<PoolEntry>>,
    mtu: Option<u32>,
    ip: Option<IpAddr>,
    icc: Option<bool>,
    ip_masq: Option<bool>,
    iptables: NotNeeded,
    ip6tables: NotNeeded,
    userland_proxy: NotNeeded,
    beeline_publish_allow: Option<Vec<String>>,
    beeline_publish_deny: Option<Vec<String>>,
    beeline_bridge_allow: Option<Vec<String>>,
    beeline_bridge_deny: Option<Vec<String>>,
    beeline_guard: Option<Devices>,
    cgroup_parent: Option<String>,
    log_driver: Option<String>,
    log_opts: Option<BTreeMap<String, String>>,
    beeline_bridge_accelerate: Option<String>,
    beeline_accelerate_host: Option<bool>,
    conntrack_entries: Option<u32>,
    seccomp_profile: Option<String>,
    no_new_privileges: Option<bool>,
    default_ulimits: Option<BTreeMap<String, UlimitEntry>>,
    userns_remap: Option<String>,
    conntrack_timeouts: Option<BTreeMap<String, String>>,
    latency_histograms: Option<bool>,
    program_statistics: Option<bool>,
    flow_export: ExportKeys,
}

/// What the daemon runs with.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) hosts: Vec<HostAddr>,
    pub(crate) metrics: MetricsSettings,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) log_level: LogLevel,
    pub(crate) bip: Option<Ipv4Net>,
    pub(crate) ipv6: bool,
    pub(crate) fixed_cidr_v6: Option<Ipv6Net>,
    pub(crate) address_pools: Vec<AddressPool>,
    pub(crate) mtu: Option<u32>,
    pub(crate) publish_address: IpAddr,
    pub(crate) icc: bool,
    pub(crate) ip_masq: bool,
    pub(crate) rules: Rules,
    pub(crate) bridge_rules: Rules,
    pub(crate) guard: Guard,
    pub(crate) cgroup_parent: String,
    pub(crate) log: LogDriver,
    pub(crate) bridge_accelerate: Acceleration,
    pub(crate) accelerate_host: bool,
    pub(crate) conntrack_entries: u32,
    pub(crate) security: SecurityDefaults,
    pub(crate) conntrack_timeouts: Timeouts,
    pub(crate) watch: Watch,
    pub(crate) export: Option<Export>,
}

impl Settings {
    /// Reads the file that `flags` name and merges both.
    pub(crate) fn load(flags: Flags) -> Result<Self> {
        let file = read(&flags.config)?;
        Self::merge(flags, file)
    }

    fn merge(flags: Flags, file: File) -> Result<Self> {
        let policy = flags.policy;
        let keys = SecurityKeys {
            seccomp_profile: file.seccomp_profile,
            no_new_privileges: file.no_new_privileges,
            default_ulimits: file.default_ulimits,
            userns_remap: file.userns_remap,
        };
        let hosts = (!flags.host.is_empty()).then_some(flags.host);
        let flag_level = if flags.debug { Some(LogLevel::Debug) } else { flags.log_level };
        let file_level = if file.debug == Some(true) { Some(LogLevel::Debug) } else { file.log_level };
        let run = either("run", flags.run, file.exec_root)?.unwrap_or_else(|| DEFAULT_RUN.into());
        let hosts = match either("hosts", hosts, file.hosts)? {
            Some(hosts) => hosts.iter().map(|host| host.parse()).collect::<Result<_, InvalidHost>>()?,
            None => vec![HostAddr::Unix(run.join("beeline.sock"))],
        };
        let metrics_keys = MetricsKeys {
            addr: file.metrics_addr,
            labels: file.metrics_labels,
            web_config: file.metrics_web_config,
            allow: file.metrics_allow,
            page: file.metrics_page,
        };
        let instance = either("instance", flags.instance, file.instance)?;
        let flag_pools = (!flags.default_address_pool.is_empty()).then_some(flags.default_address_pool);
        let file_pools = file.default_address_pools.map(|pools| pools.iter().map(to_pool).collect());
        let file_pools =
            file_pools.transpose().map_err(|reason: String| anyhow!("default-address-pools: {reason}"))?;
        Ok(Self {
            root: either("root", flags.root, file.data_root)?.unwrap_or_else(|| DEFAULT_ROOT.into()),
            hosts,
            metrics: metrics(flags.metrics, metrics_keys)?,
            instance: instance.map(|name| name.parse()).transpose()?,
            log_level: either("log-level", flag_level, file_level)?.unwrap_or_default(),
            bip: either("bip", flags.bip, file.bip)?,
            ipv6: either("ipv6", flags.ipv6.then_some(true), file.ipv6)?.unwrap_or(false),
            fixed_cidr_v6: either("fixed-cidr-v6", flags.fixed_cidr_v6, file.fixed_cidr_v6)?,
            address_pools: either("default-address-pools", flag_pools, file_pools)?.unwrap_or_default(),
            mtu: either("mtu", flags.mtu, file.mtu)?,
            publish_address: either("ip", flags.ip, file.ip)?.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            icc: either("icc", flags.icc, file.icc)?.unwrap_or(true),
            ip_masq: either("ip-masq", flags.ip_masq, file.ip_masq)?.unwrap_or(true),
            rules: rules(
                ("beeline-publish-allow", policy.publish_allow, file.beeline_publish_allow),
                ("beeline-publish-deny", policy.publish_deny, file.beeline_publish_deny),
            )?,
            bridge_rules: rules(
                ("beeline-bridge-allow", policy.bridge_allow, file.beeline_bridge_allow),
                ("beeline-bridge-deny", policy.bridge_deny, file.beeline_bridge_deny),
            )?,
            cgroup_parent: cgroup_parent(either("cgroup-parent", flags.cgroup_parent, file.cgroup_parent)?)?,
            log: log(
                either("log-driver", flags.log_driver, file.log_driver)?,
                either("log-opts", log_options(&flags.log_opt)?, file.log_opts)?,
            )?,
            guard: guard(policy.guard, file.beeline_guard)?,
            bridge_accelerate: acceleration(flags.bridge_accelerate, file.beeline_bridge_accelerate)?,
            accelerate_host: either(
                "beeline-accelerate-host",
                flags.accelerate_host.then_some(true),
                file.beeline_accelerate_host,
            )?
            .unwrap_or(false),
            conntrack_entries: either("conntrack-entries", flags.conntrack_entries, file.conntrack_entries)?
                .unwrap_or(262_144),
            security: security(flags.security, keys)?,
            conntrack_timeouts: timeouts(flags.conntrack_timeout, file.conntrack_timeouts)?,
            watch: watch(&flags.watch, file.latency_histograms, file.program_statistics)?,
            export: export(flags.export, file.flow_export)?,
            run,
        })
    }
}

/// The options given as flags, if any are.
fn log_options(flags: &[String]) -> Result<Option<BTreeMap<String, String>>> {
    let pair = |flag: &String| {
        let pair = flag.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| anyhow!("invalid log-opt {flag:?}: use NAME=VALUE"))
    };
    let options = flags.iter().map(pair).collect::<Result<BTreeMap<_, _>>>()?;
    Ok(Some(options).filter(|options| !options.is_empty()))
}

/// A path that stays below the hierarchies' roots; empty is the daemon's own.
fn cgroup_parent(parent: Option<String>) -> Result<String> {
    let parent = parent.unwrap_or_default();
    beeline_engine::check_cgroup_parent(&parent).context("cgroup-parent")?;
    Ok(parent)
}

/// The log driver of containers that name none.
fn log(driver: Option<String>, options: Option<BTreeMap<String, String>>) -> Result<LogDriver> {
    let log = LogDriver { driver: driver.unwrap_or_default(), options: options.unwrap_or_default() };
    log.check().context("log-driver and log-opts")?;
    Ok(log)
}

/// Reads daemon.json. The default file may be absent; one that was named may not.
fn read(path: &Path) -> Result<File> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && path == Path::new(DEFAULT_FILE) => {
            return Ok(File::default());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("read the configuration file {}", path.display()));
        }
    };
    parse(&text).with_context(|| format!("the configuration file {} cannot be used", path.display()))
}

/// Parses daemon.json; the error names line, column and key.
fn parse(text: &str) -> Result<File> {
    let mut json = serde_json::Deserializer::from_str(text);
    let file = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let key = error.path().to_string();
        // serde_json's own text ends with "at line L column C".
        if key == "." { anyhow!("{}", error.inner()) } else { anyhow!("{key:?}: {}", error.inner()) }
    })?;
    json.end()?;
    Ok(file)
}

/// The value of a setting that a flag or the file may give, but not both.
fn either<T: fmt::Debug>(key: &str, flag: Option<T>, file: Option<T>) -> Result<Option<T>> {
    match (flag, file) {
        (Some(flag), Some(file)) => bail!(
            "{key} is given as a flag ({flag:?}) and in the configuration file ({file:?}); remove one of them"
        ),
        (flag, file) => Ok(flag.or(file)),
    }
}
