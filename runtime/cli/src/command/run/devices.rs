//! Limits and devices, from flags to the API's words.

use anyhow::{Context, Result};
use beeline_wire::container::host_config::{Resources, ThrottleDevice, WeightDevice};

use super::flags::Run;
use crate::units::parse_bytes;

/// What the flags say of devices, block IO and the processor's finer points.
///
/// # Errors
/// A flag's value has no meaning.
pub(super) fn resources(run: &Run) -> Result<Resources> {
    let bytes = |text: &str| parse_bytes(text).ok().and_then(|bytes| u64::try_from(bytes).ok());
    let number = |text: &str| text.parse().ok();
    let limits = |texts: &[String], read: &dyn Fn(&str) -> Option<u64>| {
        texts.iter().map(|text| limit(text, read)).collect::<Result<Vec<_>>>()
    };
    let weight = |text: &String| {
        let ThrottleDevice { path, rate } = limit(text, &number)?;
        Ok(WeightDevice { path, weight: u16::try_from(rate).unwrap_or(u16::MAX) })
    };
    Ok(Resources {
        memory_reservation: run.memory_reservation.unwrap_or(0),
        memory_swappiness: run.memory_swappiness,
        oom_kill_disable: run.oom_kill_disable.then_some(true),
        cpu_quota: run.cpu_quota.unwrap_or(0),
        cpu_period: run.cpu_period.unwrap_or(0),
        cpu_realtime_runtime: run.cpu_rt_runtime.unwrap_or(0),
        cpu_realtime_period: run.cpu_rt_period.unwrap_or(0),
        cpuset_cpus: run.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: run.cpuset_mems.clone().unwrap_or_default(),
        blkio_weight: run.blkio_weight.unwrap_or(0),
        blkio_weight_device: Some(run.blkio_weight_device.iter().map(weight).collect::<Result<_>>()?),
        blkio_device_read_bps: Some(limits(&run.device_read_bps, &bytes)?),
        blkio_device_write_bps: Some(limits(&run.device_write_bps, &bytes)?),
        blkio_device_read_iops: Some(limits(&run.device_read_iops, &number)?),
        blkio_device_write_iops: Some(limits(&run.device_write_iops, &number)?),
        device_cgroup_rules: Some(run.device_cgroup_rule.clone()),
        cgroup_parent: run.cgroup_parent.clone().unwrap_or_default(),
        ..Resources::default()
    })
}

/// Reads `/dev/sda:1mb`.
fn limit(text: &str, read: &dyn Fn(&str) -> Option<u64>) -> Result<ThrottleDevice> {
    let (path, rate) = text.rsplit_once(':').unwrap_or_default();
    let rate = read(rate).filter(|_| path.starts_with('/'));
    let rate =
        rate.with_context(|| format!("invalid limit {text:?}: use DEVICE:NUMBER, such as /dev/sda:1mb"))?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_its_device() {
        assert_eq!(limit("/dev/x:7", &|text| text.parse().ok()).unwrap().rate, 7);
        assert!(limit("7", &|text| text.parse().ok()).is_err());
    }
}
