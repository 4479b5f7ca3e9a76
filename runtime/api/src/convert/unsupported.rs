//! What Docker's API can ask for and Beeline does not do: refused when the container would not be what was
//! asked for, a warning when it only performs differently.

use beeline_wire::container::host_config::{HostConfig, Resources};

use crate::http::error::ApiError;

/// A request field and whether it is used.
type Check = (&'static str, fn(&HostConfig) -> bool);

fn given<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

const REFUSED: [Check; 3] = [
    ("StorageOpt", |host| !host.storage_opt.is_empty()),
    ("DeviceRequests", |host| given(&host.resources.device_requests)),
    ("Isolation", |host| !matches!(host.isolation.as_str(), "" | "default")),
];

const IGNORED: [Check; 1] = [("Cgroup", |host| !host.cgroup.is_empty())];

/// Refuses what cannot be done; answers with a warning for each thing that is left out.
pub(crate) fn check(host: &HostConfig) -> Result<Vec<String>, ApiError> {
    if let Some((field, _)) = REFUSED.iter().find(|(_, used)| used(host)) {
        return Err(ApiError::not_implemented(format!("HostConfig.{field} is not supported")));
    }
    let warn = |field: &str| format!("HostConfig.{field} is not supported and was discarded.");
    Ok(IGNORED.iter().filter(|(_, used)| used(host)).map(|(field, _)| warn(field)).collect())
}

/// What an update cannot change, and whether it is asked for.
type UpdateCheck = (&'static str, fn(&Resources) -> bool);

const FIXED: [UpdateCheck; 11] = [
    ("CgroupParent", |resources| !resources.cgroup_parent.is_empty()),
    ("BlkioWeightDevice", |resources| given(&resources.blkio_weight_device)),
    ("BlkioDeviceReadBps", |resources| given(&resources.blkio_device_read_bps)),
    ("BlkioDeviceWriteBps", |resources| given(&resources.blkio_device_write_bps)),
    ("BlkioDeviceReadIOps", |resources| given(&resources.blkio_device_read_iops)),
    ("BlkioDeviceWriteIOps", |resources| given(&resources.blkio_device_write_iops)),
    ("Devices", |resources| given(&resources.devices)),
    ("DeviceCgroupRules", |resources| given(&resources.device_cgroup_rules)),
    ("Ulimits", |resources| given(&resources.ulimits)),
    ("MemorySwappiness", |resources| resources.memory_swappiness.is_some_and(|value| value != -1)),
    ("OomKillDisable", |resources| resources.oom_kill_disable == Some(true)),
];

/// Refuses to change what is settled when a container is created.
pub(crate) fn check_update(resources: &Resources) -> Result<(), ApiError> {
    match FIXED.iter().find(|(_, used)| used(resources)) {
        Some((field, _)) => Err(ApiError::bad_request(format!(
            "{field} cannot be updated: create the container anew with it"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_container_is_refused_by_name() {
        let host = HostConfig { isolation: "hyperv".to_owned(), ..HostConfig::default() };
        assert_eq!(check(&host).unwrap_err().message, "HostConfig.Isolation is not supported");
    }

    #[test]
    fn what_only_performs_differently_is_a_warning() {
        let mut host = HostConfig::default();
        assert!(check(&host).unwrap().is_empty());
        host.cgroup = "container:x".to_owned();
        assert_eq!(check(&host).unwrap(), ["HostConfig.Cgroup is not supported and was discarded."]);
    }
}
