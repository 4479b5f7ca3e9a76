//! Limits, as the OCI configuration has them.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

use crate::container::config::HostConfig;

/// The period in microseconds in which a number of CPUs is measured.
const PERIOD: u64 = 100_000;

/// The resource limits the user asked for; what is not limited is left out.
pub(crate) fn resources(host: &HostConfig) -> Result<LinuxResources, OciSpecError> {
    let mut resources = LinuxResourcesBuilder::default();
    if host.memory > 0 || host.memory_reservation > 0 {
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
    resources = resources.cpu(cpu.build()?);
    if let Some(limit) = host.pids_limit {
        resources = resources.pids(LinuxPidsBuilder::default().limit(limit).build()?);
    }
    resources.build()
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
