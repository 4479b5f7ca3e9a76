//! Whether what a user asks for makes sense. The texts are Docker's where it has one.

use std::net::IpAddr;

use crate::container::config::{ContainerConfig, HostConfig, Ulimit};
use crate::container::security::Security;
use crate::container::{health, mounts, namespaces, plan, ports, seccomp, signal, sysctl};
use crate::error::Error;

/// The least memory a container can be started with, in bytes.
const MINIMUM_MEMORY: i64 = 6 * 1024 * 1024;

/// Checks `config` on a machine with `cpus` CPUs and answers with what is accepted but will not be done.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::NotImplemented`] for the first thing that is wrong.
pub(crate) fn validate(
    config: &ContainerConfig,
    cpus: usize,
    publish_ip: IpAddr,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    process(config)?;
    memory(config)?;
    processor(config, cpus)?;
    network(config)?;
    config.healthcheck.as_ref().map_or(Ok(()), health::validate)?;
    modes(config)?;
    devices(&config.host)?;
    security(config, &mut warnings)?;
    mounts::parse(config)?;
    ports::exposed(config)?;
    let requests = ports::requests(config, publish_ip)?;
    if !requests.is_empty() && matches!(config.host.network_mode.as_str(), "host" | "none") {
        warnings.push(format!(
            "Published ports are discarded when using {} network mode",
            config.host.network_mode
        ));
    }
    Ok(warnings)
}

fn process(config: &ContainerConfig) -> Result<(), Error> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    for entry in &config.env {
        if entry.is_empty() || entry.starts_with('=') || entry.contains('\0') {
            return invalid(format!("invalid environment variable: {entry}"));
        }
    }
    let argv = config.entrypoint.iter().chain(&config.cmd).flatten();
    if argv.clone().any(|argument| argument.contains('\0')) {
        return invalid("the command contains a NUL byte".into());
    }
    if !config.stop_signal.is_empty() {
        signal::parse(&config.stop_signal)?;
    }
    if config.hostname.len() > 63 || config.hostname.bytes().any(|byte| !hostname_byte(byte)) {
        return invalid(format!("invalid hostname format: {}", config.hostname));
    }
    Ok(())
}

fn hostname_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn memory(config: &ContainerConfig) -> Result<(), Error> {
    let host = &config.host;
    if host.memory != 0 && host.memory < MINIMUM_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB".into());
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage".into(),
        );
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage".into());
    }
    if host.memory_reservation != 0 && host.memory_reservation < MINIMUM_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB".into());
    }
    if host.memory > 0 && host.memory_reservation > host.memory {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage".into(),
        );
    }
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0".into());
    }
    Ok(())
}

fn processor(config: &ContainerConfig, cpus: usize) -> Result<(), Error> {
    let host = &config.host;
    let most = i64::try_from(cpus).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    if host.nano_cpus < 0 || host.nano_cpus > most {
        return invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    if host.nano_cpus > 0 && (host.cpu_quota > 0 || host.cpu_period > 0) {
        let other = if host.cpu_period > 0 { "CPU Period" } else { "CPU Quota" };
        return invalid(format!("Conflicting options: Nano CPUs and {other} cannot both be set"));
    }
    if host.cpu_shares < 0 {
        return invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares
        ));
    }
    if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".into(),
        );
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    host.ulimits.iter().try_for_each(Ulimit::check)
}

fn network(config: &ContainerConfig) -> Result<(), Error> {
    let host = &config.host;
    for entry in &host.extra_hosts {
        let address = entry.split_once(':').map(|(_, address)| address);
        let known =
            |text: &str| text == "host-gateway" || text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !address.is_some_and(known) {
            return invalid(format!("bad format for add-host: \"{entry}\""));
        }
    }
    for server in &host.dns {
        if server.parse::<IpAddr>().is_err() {
            return invalid(format!("invalid dns address: {server}"));
        }
    }
    Ok(())
}

/// Refuses a path that does not stay below the hierarchies' roots.
///
/// # Errors
/// It is none of plain names.
pub fn check_cgroup_parent(parent: &str) -> Result<(), Error> {
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(char::is_control);
    if parent.is_empty() || parent.trim_start_matches('/').split('/').all(plain) {
        return Ok(());
    }
    invalid(format!("invalid cgroup parent {parent:?}: use a path of plain names, such as /teams/web"))
}

fn devices(host: &HostConfig) -> Result<(), Error> {
    if host.blkio_weight != 0 && !(10..=1000).contains(&host.blkio_weight) {
        return invalid("Range of blkio weight is from 10 to 1000".into());
    }
    if let Some(wrong) = host.device_cgroup_rules.iter().find(|rule| plan::device_rule(rule).is_none()) {
        return invalid(format!("invalid device cgroup rule format: '{wrong}'"));
    }
    let percent = host.memory_swappiness.unwrap_or(-1);
    if !(-1..=100).contains(&percent) {
        return invalid(format!("Invalid value: {percent}, valid memory swappiness range is 0-100"));
    }
    if host.cpu_realtime_runtime > host.cpu_realtime_period && host.cpu_realtime_period != 0 {
        return invalid("cpu real-time runtime cannot be higher than cpu real-time period".into());
    }
    Ok(())
}

impl Ulimit {
    /// Refuses a limit that there is not, or whose numbers contradict each other.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        let Self { name, soft, hard } = self;
        if plan::rlimit(name).is_none() {
            return invalid(format!("invalid ulimit type: {name}"));
        }
        if *hard != -1 && (soft > hard || *soft == -1) {
            return invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            ));
        }
        Ok(())
    }
}

/// Refuses by name what the namespaces and policies of this version cannot do.
fn modes(config: &ContainerConfig) -> Result<(), Error> {
    let host = &config.host;
    namespaces::check(config)?;
    host.restart_policy.check()?;
    host.log.check()?;
    if host.auto_remove && !host.restart_policy.is_none() {
        return invalid("can't create 'AutoRemove' container with restart policy".into());
    }
    check_cgroup_parent(&host.cgroup_parent)?;
    Ok(())
}

fn security(config: &ContainerConfig, warnings: &mut Vec<String>) -> Result<(), Error> {
    let host = &config.host;
    let security = Security::parse(&host.security_opt)?;
    warnings.extend(security.check_modules()?);
    security.check_landlock()?;
    if let Some(group) = host.group_add.iter().find(|group| group.is_empty() || group.contains([',', '\0'])) {
        return invalid(format!("invalid group: {group:?}"));
    }
    let names = host.cap_add.iter().chain(&host.cap_drop);
    if let Some(unknown) = names.into_iter().find(|name| super::capabilities::parse(name).is_none()) {
        return invalid(format!("unknown capability: \"{unknown}\""));
    }
    let permissions = |text: &str| text.len() <= 3 && text.bytes().all(|byte| b"rwm".contains(&byte));
    if let Some(device) = host.devices.iter().find(|device| !permissions(&device.cgroup_permissions)) {
        return invalid(format!(
            "invalid device mode {:?} for {}: it is of r, w and m",
            device.cgroup_permissions, device.path_on_host
        ));
    }
    if !matches!(host.runtime.as_str(), "" | "beeline") {
        return invalid(format!("unknown or invalid runtime name: {}", host.runtime));
    }
    sysctl::check(host)?;
    seccomp::check(host)
}

fn invalid<T>(text: String) -> Result<T, Error> {
    Err(Error::Invalid(text))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rstest::rstest;

    use super::*;
    use crate::container::config::DeviceRequest;
    use crate::error::Kind;

    fn check(change: impl FnOnce(&mut ContainerConfig)) -> Result<Vec<String>, Error> {
        let mut config = ContainerConfig::default();
        change(&mut config);
        validate(&config, 2, Ipv4Addr::UNSPECIFIED.into())
    }

    fn limit(name: &str, soft: i64, hard: i64) -> Ulimit {
        Ulimit { name: name.into(), soft, hard }
    }

    fn device(access: &str) -> DeviceRequest {
        let path = String::from("/dev/null");
        DeviceRequest {
            path_on_host: path.clone(),
            path_in_container: path,
            cgroup_permissions: access.into(),
        }
    }

    #[test]
    fn nothing_asked_is_nothing_wrong() {
        assert_eq!(check(|_| {}).unwrap(), [""; 0]);
    }

    #[rstest]
    #[case(0, 0, "")]
    #[case(6 << 20, 0, "")]
    #[case(6 << 20, -1, "")]
    #[case(6 << 20, 5 << 20, "Minimum memoryswap limit")]
    #[case((6 << 20) - 1, 0, "Minimum memory limit allowed is 6MB")]
    #[case(-1, 0, "Minimum memory limit allowed is 6MB")]
    #[case(0, 1 << 30, "You should always set the Memory limit")]
    fn memory_limits(#[case] memory: i64, #[case] swap: i64, #[case] text: &str) {
        let checked = check(|config| {
            config.host.memory = memory;
            config.host.memory_swap = swap;
        });
        match checked {
            Ok(_) => assert_eq!(text, ""),
            Err(error) => {
                assert!(!text.is_empty() && error.to_string().contains(text), "{error}");
                assert_eq!(error.kind(), Kind::InvalidParameter);
            }
        }
    }

    #[rstest]
    #[case(|c: &mut ContainerConfig| c.host.nano_cpus = 2_500_000_000, "range of CPUs is from 0.01 to 2.00")]
    #[case(|c: &mut ContainerConfig| c.working_dir = "tmp".into(), "the working directory 'tmp' is invalid")]
    #[case(|c: &mut ContainerConfig| c.env = vec!["=x".into()], "invalid environment variable: =x")]
    #[case(|c: &mut ContainerConfig| c.host.dns = vec!["dns".into()], "invalid dns address: dns")]
    #[case(|c: &mut ContainerConfig| c.host.extra_hosts = vec!["x".into()], "bad format for add-host")]
    #[case(|c: &mut ContainerConfig| c.host.cap_add = vec!["FLY".into()], "unknown capability: \"FLY\"")]
    #[case(|c: &mut ContainerConfig| c.host.security_opt = vec!["x=y".into()], "invalid --security-opt")]
    #[case(|c: &mut ContainerConfig| c.host.security_opt = vec!["landlock=read=usr".into()], "the path is not absolute")]
    #[case(|c: &mut ContainerConfig| c.host.restart_policy.name = "maybe".into(), "unknown policy 'maybe'")]
    #[case(|c: &mut ContainerConfig| c.host.group_add = vec!["a,b".into()], "invalid group: \"a,b\"")]
    #[case(|c: &mut ContainerConfig| c.host.runtime = "runsc".into(), "unknown or invalid runtime name: runsc")]
    #[case(|c: &mut ContainerConfig| c.host.devices = vec![device("rx")], "invalid device mode \"rx\" for /dev/null")]
    #[case(|c: &mut ContainerConfig| c.host.security_opt = vec!["seccomp={".into()], "Decoding seccomp profile failed")]
    #[case(|c: &mut ContainerConfig| c.host.ulimits = vec![limit("nofil", 1, 1)], "invalid ulimit type: nofil")]
    #[case(|c: &mut ContainerConfig| c.host.ulimits = vec![limit("nofile", 2, 1)], "ulimit soft limit must be less")]
    #[case(|c: &mut ContainerConfig| c.stop_signal = "SIGFOO".into(), "invalid signal: SIGFOO")]
    #[case(|c: &mut ContainerConfig| c.host.cgroup_parent = "/a/../b".into(), "invalid cgroup parent")]
    #[case(|c: &mut ContainerConfig| c.host.blkio_weight = 9, "Range of blkio weight is from 10 to 1000")]
    #[case(|c: &mut ContainerConfig| c.host.device_cgroup_rules = vec!["c 1 r".into()], "invalid device cgroup rule format")]
    #[case(|c: &mut ContainerConfig| c.hostname = "a b".into(), "invalid hostname format: a b")]
    fn bad_input_is_named(#[case] change: fn(&mut ContainerConfig), #[case] text: &str) {
        let error = check(change).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
