//! Changing the limits of a container that exists. As at creation, zero and empty mean "not given".

use crate::container::config::HostConfig;
use crate::error::Error;

/// What `current` becomes with what is given in `wanted`.
///
/// # Errors
/// Something is given that cannot be changed, or conflicts with what the container has. The texts are Docker's.
pub(crate) fn merge(current: &HostConfig, wanted: &HostConfig) -> Result<HostConfig, Error> {
    conflicts(current, wanted)?;
    let mut host = current.clone();
    for (ours, theirs) in [
        (&mut host.cpu_shares, wanted.cpu_shares),
        (&mut host.nano_cpus, wanted.nano_cpus),
        (&mut host.cpu_period, wanted.cpu_period),
        (&mut host.cpu_quota, wanted.cpu_quota),
        (&mut host.memory, wanted.memory),
        (&mut host.memory_swap, wanted.memory_swap),
        (&mut host.memory_reservation, wanted.memory_reservation),
        (&mut host.cpu_realtime_period, wanted.cpu_realtime_period),
        (&mut host.cpu_realtime_runtime, wanted.cpu_realtime_runtime),
    ] {
        if theirs != 0 {
            *ours = theirs;
        }
    }
    for (ours, theirs) in
        [(&mut host.cpuset_cpus, &wanted.cpuset_cpus), (&mut host.cpuset_mems, &wanted.cpuset_mems)]
    {
        if !theirs.is_empty() {
            ours.clone_from(theirs);
        }
    }
    if wanted.blkio_weight != 0 {
        host.blkio_weight = wanted.blkio_weight;
    }
    host.pids_limit = wanted.pids_limit.or(host.pids_limit);
    if !wanted.restart_policy.name.is_empty() {
        host.restart_policy = wanted.restart_policy.clone();
    }
    Ok(host)
}

fn conflicts(current: &HostConfig, wanted: &HostConfig) -> Result<(), Error> {
    let nano = "Conflicting options: Nano CPUs cannot be updated as";
    let conflicts = [
        (wanted.nano_cpus > 0 && current.cpu_period > 0, format!("{nano} CPU Period has already been set")),
        (wanted.nano_cpus > 0 && current.cpu_quota > 0, format!("{nano} CPU Quota has already been set")),
        (
            wanted.cpu_period > 0 && current.nano_cpus > 0,
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set".into(),
        ),
        (
            wanted.cpu_quota > 0 && current.nano_cpus > 0,
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set".into(),
        ),
        (
            current.memory_swap > 0 && wanted.memory > current.memory_swap && wanted.memory_swap == 0,
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
                .into(),
        ),
        (
            current.auto_remove && !wanted.restart_policy.is_none(),
            "Restart policy cannot be updated because AutoRemove is enabled for the container".into(),
        ),
    ];
    match conflicts.into_iter().find(|(found, _)| *found) {
        Some((_, text)) => Err(Error::Conflict(text)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let current = HostConfig {
            memory: 64 << 20,
            memory_swap: 128 << 20,
            cpuset_cpus: "0".into(),
            pids_limit: Some(20),
            ..HostConfig::default()
        };
        let wanted = HostConfig { memory: 32 << 20, cpu_shares: 512, ..HostConfig::default() };
        let merged = merge(&current, &wanted).unwrap();
        let expected = HostConfig { memory: 32 << 20, cpu_shares: 512, ..current };
        assert_eq!(merged, expected);
        let unlimited = HostConfig { pids_limit: Some(-1), ..HostConfig::default() };
        assert_eq!(merge(&merged, &unlimited).unwrap().pids_limit, Some(-1));
    }

    #[rstest]
    #[case(|c: &mut HostConfig, w: &mut HostConfig| (c.cpu_quota, w.nano_cpus) = (5, 5), "Nano CPUs cannot be updated as CPU Quota")]
    #[case(|c: &mut HostConfig, w: &mut HostConfig| (c.nano_cpus, w.cpu_period) = (5, 5), "CPU Period cannot be updated as NanoCPUs")]
    #[case(|c: &mut HostConfig, w: &mut HostConfig| (c.memory_swap, w.memory) = (5, 6), "update the memoryswap at the same time")]
    #[case(|c: &mut HostConfig, w: &mut HostConfig| (c.auto_remove, w.restart_policy.name) = (true, "always".into()), "AutoRemove is enabled")]
    fn conflicts_are_dockers(#[case] change: fn(&mut HostConfig, &mut HostConfig), #[case] text: &str) {
        let (mut current, mut wanted) = (HostConfig::default(), HostConfig::default());
        change(&mut current, &mut wanted);
        let error = merge(&current, &wanted).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
