//! OCI resources as control files' contents.

use oci_spec::runtime::{LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxResources};

use super::{Error, io};

/// One control file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The controller the file belongs to.
    pub(super) controller: &'static str,
    /// What a user calls it.
    pub(super) what: &'static str,
    pub(super) file: String,
    pub(super) value: String,
    /// Kernels exist without the file, and doing without it is better than refusing.
    pub(super) optional: bool,
}

pub(super) fn setting(
    controller: &'static str,
    what: &'static str,
    file: &str,
    value: &dyn ToString,
) -> Setting {
    Setting { controller, what, file: file.to_owned(), value: value.to_string(), optional: false }
}

/// Refuses what is not implemented, so that no limit is silently missing.
pub(super) fn check(resources: &LinuxResources) -> Result<(), Error> {
    let unsupported = [
        (resources.network().is_some(), "network"),
        (resources.unified().iter().flatten().any(|(file, _)| file.contains('/')), "unified with a path"),
        (resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty()), "rdma"),
    ];
    match unsupported.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(Error::Unsupported { what }),
        None => Ok(()),
    }
}

/// The v1 control files for `resources`, in an order the kernel accepts for a new group.
pub(super) fn v1(resources: &LinuxResources) -> Vec<Setting> {
    let mut settings = Vec::new();
    for rule in resources.devices().iter().flatten() {
        let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
        settings.push(setting("devices", "devices", file, &device_rule(rule)));
    }
    if let Some(memory) = resources.memory() {
        memory_v1(memory, &mut settings);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_v1(cpu, &mut settings);
    }
    pids(resources, &mut settings);
    io::v1(resources, &mut settings);
    settings
}

fn memory_v1(memory: &LinuxMemory, settings: &mut Vec<Setting>) {
    let mut push = |what, file, value: Option<String>| {
        settings.extend(value.map(|value| setting("memory", what, file, &value)));
    };
    push("memory", "memory.limit_in_bytes", memory.limit().map(|limit| limit.to_string()));
    push(
        "memory reservation",
        "memory.soft_limit_in_bytes",
        memory.reservation().map(|limit| limit.to_string()),
    );
    push("swappiness", "memory.swappiness", memory.swappiness().map(|percent| percent.to_string()));
    let disable = memory.disable_oom_killer().unwrap_or(false);
    push("OOM killer", "memory.oom_control", disable.then(|| "1".to_owned()));
    if let Some(total) = memory.swap() {
        // Absent when the kernel was started without swap accounting.
        let swap = setting("memory", "swap", "memory.memsw.limit_in_bytes", &total);
        settings.push(Setting { optional: true, ..swap });
    }
}

fn cpu_v1(cpu: &LinuxCpu, settings: &mut Vec<Setting>) {
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        settings.push(setting("cpu", "CPU shares", "cpu.shares", &shares));
    }
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        settings.push(setting("cpu", "CPU period", "cpu.cfs_period_us", &period));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        settings.push(setting("cpu", "CPU quota", "cpu.cfs_quota_us", &quota));
    }
    if let Some(burst) = cpu.burst() {
        settings.push(setting("cpu", "CPU burst", "cpu.cfs_burst_us", &burst));
    }
    // The period first: a new group has no time yet, and the time must fit the period.
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        settings.push(setting("cpu", "real-time period", "cpu.rt_period_us", &period));
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        settings.push(setting("cpu", "real-time runtime", "cpu.rt_runtime_us", &runtime));
    }
    cpuset(cpu, settings);
}

/// The v2 control files for `resources`. Device rules are not among them: on v2 they are a BPF program.
pub(super) fn v2(resources: &LinuxResources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_v2(memory, &mut settings);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_v2(cpu, &mut settings);
    }
    pids(resources, &mut settings);
    io::v2(resources, &mut settings);
    for (file, value) in resources.unified().iter().flatten() {
        settings.push(setting("unified", "unified", file, &value));
    }
    settings
}

fn memory_v2(memory: &LinuxMemory, settings: &mut Vec<Setting>) {
    if let Some(limit) = memory.limit() {
        settings.push(setting("memory", "memory", "memory.max", &max(limit)));
    }
    if let Some(reservation) = memory.reservation() {
        settings.push(setting("memory", "memory reservation", "memory.low", &max(reservation)));
    }
    if let Some(swap) = swap_v2(memory) {
        let swap = setting("memory", "swap", "memory.swap.max", &swap);
        settings.push(Setting { optional: true, ..swap });
    }
}

/// OCI counts memory and swap together, v2 swap alone.
fn swap_v2(memory: &LinuxMemory) -> Option<String> {
    match (memory.swap()?, memory.limit()) {
        (total, _) if total < 0 => Some("max".to_owned()),
        (total, Some(limit)) if limit >= 0 => Some((total - limit).max(0).to_string()),
        _ => None,
    }
}

fn cpu_v2(cpu: &LinuxCpu, settings: &mut Vec<Setting>) {
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        settings.push(setting("cpu", "CPU shares", "cpu.weight", &weight_from_shares(shares)));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let value = format!("{} {}", max(quota.unwrap_or(-1)), period.unwrap_or(100_000));
        settings.push(setting("cpu", "CPU quota", "cpu.max", &value));
    }
    if let Some(burst) = cpu.burst() {
        settings.push(setting("cpu", "CPU burst", "cpu.max.burst", &burst));
    }
    cpuset(cpu, settings);
}

/// `cpuset.cpus` and `cpuset.mems` are the same on both.
fn cpuset(cpu: &LinuxCpu, settings: &mut Vec<Setting>) {
    if let Some(cpus) = cpu.cpus().as_ref().filter(|cpus| !cpus.is_empty()) {
        settings.push(setting("cpuset", "CPUs", "cpuset.cpus", &cpus));
    }
    if let Some(mems) = cpu.mems().as_ref().filter(|mems| !mems.is_empty()) {
        settings.push(setting("cpuset", "memory nodes", "cpuset.mems", &mems));
    }
}

/// `pids.max` is the same on both. A limit of 0 or less means none, as in Docker.
fn pids(resources: &LinuxResources, settings: &mut Vec<Setting>) {
    if let Some(pids) = resources.pids() {
        let limit = if pids.limit() > 0 { pids.limit() } else { -1 };
        settings.push(setting("pids", "processes", "pids.max", &max(limit)));
    }
}

fn max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

fn device_rule(rule: &LinuxDeviceCgroup) -> String {
    use oci_spec::runtime::LinuxDeviceType as Type;
    let kind = match rule.typ() {
        Some(Type::B) => "b",
        Some(Type::C | Type::U) => "c",
        _ => "a",
    };
    let number = |number: Option<i64>| match number {
        Some(number) if number >= 0 => number.to_string(),
        _ => "*".to_owned(),
    };
    let access = rule.access().as_deref().unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor()))
}

/// The v2 weight (1 to 10000) that OCI runtimes give for v1 CPU shares (2 to 262144).
///
/// A curve through the three points that matter: the least, the default (1024 shares are weight 100) and the most. runc
/// (since 1.3.2) and crun (since 1.23) use it too.
#[must_use]
pub fn weight_from_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            // At most 2^18, so exact as a float.
            #[allow(clippy::cast_precision_loss, reason = "at most 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}
