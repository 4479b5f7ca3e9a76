//! Limits, as the OCI configuration has them.

use nix::sys::stat::{SFlag, major, minor, stat};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder,
    LinuxDeviceType, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder,
};

use crate::container::config::{DeviceLimit, HostConfig};

/// The period in microseconds in which a number of CPUs is measured.
const PERIOD: u64 = 100_000;

/// The resource limits the user asked for; what is not limited is left out.
pub(crate) fn resources(host: &HostConfig) -> Result<LinuxResources, OciSpecError> {
    let mut resources = LinuxResourcesBuilder::default();
    let swappiness = host.memory_swappiness.and_then(|percent| u64::try_from(percent).ok());
    if host.memory > 0 || host.memory_reservation > 0 || swappiness.is_some() || host.oom_kill_disable {
        let mut memory = LinuxMemoryBuilder::default();
        if host.memory > 0 {
            memory = memory.limit(host.memory);
            // As much swap as memory, unless the user says otherwise.
            let total = if host.memory_swap == 0 { host.memory.saturating_mul(2) } else { host.memory_swap };
            memory = memory.swap(total);
        }
        if host.memory_reservation > 0 {
            memory = memory.reservation(host.memory_reservation);
        }
        if let Some(percent) = swappiness {
            memory = memory.swappiness(percent);
        }
        memory = memory.disable_oom_killer(host.oom_kill_disable);
        resources = resources.memory(memory.build()?);
    }
    let mut cpu = LinuxCpuBuilder::default();
    if let Ok(shares @ 1..) = u64::try_from(host.cpu_shares) {
        cpu = cpu.shares(shares);
    }
    if let Some((quota, period)) = quota(host) {
        cpu = cpu.quota(quota).period(period);
    }
    if !host.cpuset_cpus.is_empty() {
        cpu = cpu.cpus(host.cpuset_cpus.clone());
    }
    if !host.cpuset_mems.is_empty() {
        cpu = cpu.mems(host.cpuset_mems.clone());
    }
    if let Ok(period @ 1..) = u64::try_from(host.cpu_realtime_period) {
        cpu = cpu.realtime_period(period);
    }
    if host.cpu_realtime_runtime > 0 {
        cpu = cpu.realtime_runtime(host.cpu_realtime_runtime);
    }
    resources = resources.cpu(cpu.build()?).block_io(block_io(host)?);
    if let Some(limit) = host.pids_limit {
        resources = resources.pids(LinuxPidsBuilder::default().limit(limit).build()?);
    }
    resources.build()
}

fn block_io(host: &HostConfig) -> Result<LinuxBlockIo, OciSpecError> {
    let limits = |limits: &[DeviceLimit]| -> Result<Vec<LinuxThrottleDevice>, OciSpecError> {
        let limit = |limit: &DeviceLimit| {
            let (major, minor) = block_device(&limit.path)?;
            LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(limit.rate).build()
        };
        limits.iter().map(limit).collect()
    };
    let weights = host.blkio_weight_device.iter().map(|limit| {
        let (major, minor) = block_device(&limit.path)?;
        let weight = u16::try_from(limit.rate).unwrap_or(u16::MAX);
        LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(weight).build()
    });
    let mut io = LinuxBlockIoBuilder::default()
        .weight_device(weights.collect::<Result<Vec<_>, _>>()?)
        .throttle_read_bps_device(limits(&host.blkio_read_bps)?)
        .throttle_write_bps_device(limits(&host.blkio_write_bps)?)
        .throttle_read_iops_device(limits(&host.blkio_read_iops)?)
        .throttle_write_iops_device(limits(&host.blkio_write_iops)?);
    if host.blkio_weight > 0 {
        io = io.weight(host.blkio_weight);
    }
    io.build()
}

/// The number of a block device of the host.
fn block_device(path: &str) -> Result<(i64, i64), OciSpecError> {
    let wrong = |reason: &str| OciSpecError::Other(format!("limit block IO of {path}: {reason}"));
    let found = stat(path).map_err(|error| wrong(error.desc()))?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFBLK {
        return Err(wrong("not a block device"));
    }
    let number = |number: u64| i64::try_from(number).unwrap_or_default();
    Ok((number(major(found.st_rdev)), number(minor(found.st_rdev))))
}

/// Reads a rule for devices as Docker writes it: `c 42:* rmw`.
pub(crate) fn device_rule(text: &str) -> Option<LinuxDeviceCgroup> {
    let mut words = text.split(' ');
    let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return None,
    };
    let number =
        |text: &str| if text == "*" { Some(-1) } else { text.parse().ok().filter(|number| *number >= 0) };
    let (major, minor) = numbers.split_once(':')?;
    let valid = (1..=3).contains(&access.len()) && access.chars().all(|letter| "rwm".contains(letter));
    if !valid || words.next().is_some() {
        return None;
    }
    let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access(access);
    rule.major(number(major)?).minor(number(minor)?).build().ok()
}

/// CPU time per period, both in microseconds, if it is limited.
pub(crate) fn quota(host: &HostConfig) -> Option<(i64, u64)> {
    let period = u64::try_from(host.cpu_period).ok().filter(|period| *period > 0).unwrap_or(PERIOD);
    if host.nano_cpus > 0 {
        // The kernel takes no less than a millisecond.
        let quota = (i128::from(host.nano_cpus) * i128::from(PERIOD) / 1_000_000_000).max(1000);
        return Some((i64::try_from(quota).unwrap_or(i64::MAX), PERIOD));
    }
    // A negative quota is none, which takes an earlier one back.
    (host.cpu_quota != 0 || host.cpu_period > 0)
        .then_some((if host.cpu_quota > 0 { host.cpu_quota } else { -1 }, period))
}
