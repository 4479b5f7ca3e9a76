//! Limits that the host's kernel does not have: said in Docker's words, and left out.

use beeline_spawn::cgroup::Features;

use crate::container::config::HostConfig;
use crate::error::Error;

/// Takes from `host` what the kernel does not have, and answers with what was taken.
///
/// # Errors
/// What would be another container without it.
pub(crate) fn discard(host: &mut HostConfig, features: &Features) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    memory(host, features, &mut warnings);
    processor(host, features, &mut warnings)?;
    if host.pids_limit.is_some_and(|limit| limit > 0) && !features.pids {
        warnings.push(missing("PIDs limit capabilities", "PIDs limit discarded"));
        host.pids_limit = None;
    }
    io(host, features, &mut warnings);
    Ok(warnings)
}

fn missing(what: &str, discarded: &str) -> String {
    format!("Your kernel does not support {what} or the cgroup is not mounted. {discarded}.")
}

fn memory(host: &mut HostConfig, features: &Features, warnings: &mut Vec<String>) {
    if host.memory > 0 && !features.memory {
        warnings.push(missing("memory limit capabilities", "Limitation discarded"));
        (host.memory, host.memory_swap) = (0, 0);
    }
    if host.memory > 0 && host.memory_swap != -1 && !features.swap {
        warnings.push(missing("swap limit capabilities", "Memory limited without swap"));
        host.memory_swap = -1;
    }
    if host.memory_reservation > 0 && !features.reservation {
        warnings.push(missing("memory soft limit capabilities", "Limitation discarded"));
        host.memory_reservation = 0;
    }
    if host.memory_swappiness.is_some_and(|percent| percent >= 0) && !features.swappiness {
        warnings.push(missing("memory swappiness capabilities", "Memory swappiness discarded"));
        host.memory_swappiness = None;
    }
    if host.oom_kill_disable && !features.oom_disable {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
        host.oom_kill_disable = false;
    }
    if host.oom_kill_disable && host.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running \
             out of resources."
                .into(),
        );
    }
}

fn processor(host: &mut HostConfig, features: &Features, warnings: &mut Vec<String>) -> Result<(), Error> {
    if host.nano_cpus > 0 && !features.cpu_quota {
        return Err(Error::Invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
                .into(),
        ));
    }
    if (host.cpu_realtime_period != 0 || host.cpu_realtime_runtime != 0) && !features.cpu_realtime {
        return Err(Error::Invalid("Your kernel does not support CPU real-time scheduler".into()));
    }
    if host.cpu_shares > 0 && !features.cpu_shares {
        warnings.push(missing("CPU shares", "Shares discarded"));
        host.cpu_shares = 0;
    }
    if (host.cpu_quota != 0 || host.cpu_period != 0) && !features.cpu_quota {
        warnings.push(missing("CPU cfs period/quota", "Period and quota discarded"));
        (host.cpu_quota, host.cpu_period) = (0, 0);
    }
    let pinned = !host.cpuset_cpus.is_empty() || !host.cpuset_mems.is_empty();
    if pinned && !features.cpuset {
        warnings.push(missing("cpuset", "Cpuset discarded"));
        host.cpuset_cpus.clear();
        host.cpuset_mems.clear();
    }
    Ok(())
}

fn io(host: &mut HostConfig, features: &Features, warnings: &mut Vec<String>) {
    if host.blkio_weight > 0 && !features.io_weight {
        warnings.push(missing("Block I/O weight", "Weight discarded"));
        host.blkio_weight = 0;
    }
    if !host.blkio_weight_device.is_empty() && !features.io_weight_device {
        warnings.push(missing("Block I/O weight_device", "Weight-device discarded"));
        host.blkio_weight_device.clear();
    }
    for (limits, what, discarded) in [
        (&mut host.blkio_read_bps, "BPS Block I/O read limit", "Block I/O BPS read limit discarded"),
        (&mut host.blkio_write_bps, "BPS Block I/O write limit", "Block I/O BPS write limit discarded"),
        (&mut host.blkio_read_iops, "IOPS Block read limit", "Block I/O IOPS read limit discarded"),
        (&mut host.blkio_write_iops, "IOPS Block write limit", "Block I/O IOPS write limit discarded"),
    ] {
        if !limits.is_empty() && !features.io_limits {
            warnings.push(missing(what, discarded));
            limits.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::DeviceLimit;

    const ALL: Features = Features {
        memory: true,
        swap: true,
        reservation: true,
        swappiness: true,
        oom_disable: true,
        cpu_shares: true,
        cpu_quota: true,
        cpu_realtime: true,
        cpuset: true,
        pids: true,
        io_weight: true,
        io_weight_device: true,
        io_limits: true,
    };

    fn wishes() -> HostConfig {
        HostConfig {
            memory: 64 << 20,
            memory_swappiness: Some(10),
            oom_kill_disable: true,
            cpu_shares: 512,
            pids_limit: Some(9),
            blkio_weight: 300,
            blkio_read_bps: vec![DeviceLimit { path: "/dev/x".into(), rate: 1 }],
            ..HostConfig::default()
        }
    }

    #[test]
    fn what_the_kernel_has_stays() {
        let mut host = wishes();
        assert!(discard(&mut host, &ALL).unwrap().is_empty());
        assert_eq!(host, wishes());
    }

    #[test]
    fn what_it_has_not_is_told_and_left_out() {
        let few =
            Features { swappiness: false, oom_disable: false, io_weight: false, io_limits: false, ..ALL };
        let mut host = wishes();
        let warnings = discard(&mut host, &few).unwrap().join("\n");
        for text in
            ["memory swappiness", "OomKillDisable discarded", "Block I/O weight or", "I/O BPS read limit"]
        {
            assert!(warnings.contains(text), "{text} in {warnings}");
        }
        let left =
            HostConfig { memory: 64 << 20, cpu_shares: 512, pids_limit: Some(9), ..HostConfig::default() };
        assert_eq!(host, left);
        let mut quota = HostConfig { nano_cpus: 1, ..HostConfig::default() };
        assert!(discard(&mut quota, &Features { cpu_quota: false, ..ALL }).is_err());
    }
}
