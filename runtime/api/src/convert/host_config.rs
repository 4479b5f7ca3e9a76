//! The host's part of a container's configuration, both ways.

use super::list;
use super::mount::{mount_from_wire, mount_to_wire};
use beeline_engine as engine;
use beeline_wire::container::host_config::{
    DeviceMapping, HostConfig, LogConfig, PortBinding, PortMap, Resources, RestartPolicy, ThrottleDevice,
    Ulimit, WeightDevice,
};

pub(crate) fn from_wire(host: HostConfig) -> engine::HostConfig {
    let resources = host.resources;
    engine::HostConfig {
        binds: host.binds.unwrap_or_default(),
        mounts: host.mounts.into_iter().map(mount_from_wire).collect(),
        volume_driver: host.volume_driver,
        volumes_from: host.volumes_from.unwrap_or_default(),
        tmpfs: host.tmpfs,
        port_bindings: ports_from_wire(host.port_bindings),
        publish_all_ports: host.publish_all_ports,
        network_mode: host.network_mode,
        links: host.links.unwrap_or_default(),
        auto_remove: host.auto_remove,
        restart_policy: engine::RestartPolicy {
            name: host.restart_policy.name,
            maximum_retry_count: host.restart_policy.maximum_retry_count,
        },
        log: engine::LogDriver { driver: host.log_config.kind, options: host.log_config.config },
        dns: host.dns.unwrap_or_default(),
        dns_options: host.dns_options.unwrap_or_default(),
        dns_search: host.dns_search.unwrap_or_default(),
        extra_hosts: host.extra_hosts.unwrap_or_default(),
        group_add: host.group_add.unwrap_or_default(),
        cap_add: host.cap_add.unwrap_or_default().0,
        cap_drop: host.cap_drop.unwrap_or_default().0,
        privileged: host.privileged,
        security_opt: host.security_opt.unwrap_or_default(),
        readonly_rootfs: host.readonly_rootfs,
        masked_paths: host.masked_paths,
        readonly_paths: host.readonly_paths,
        memory: resources.memory,
        memory_swap: resources.memory_swap,
        memory_reservation: resources.memory_reservation,
        nano_cpus: resources.nano_cpus,
        cpu_shares: resources.cpu_shares,
        cpu_quota: resources.cpu_quota,
        cpu_period: resources.cpu_period,
        cpuset_cpus: resources.cpuset_cpus,
        cpuset_mems: resources.cpuset_mems,
        pids_limit: resources.pids_limit,
        blkio_weight: resources.blkio_weight,
        blkio_weight_device: weights_from_wire(resources.blkio_weight_device),
        blkio_read_bps: limits_from_wire(resources.blkio_device_read_bps),
        blkio_write_bps: limits_from_wire(resources.blkio_device_write_bps),
        blkio_read_iops: limits_from_wire(resources.blkio_device_read_iops),
        blkio_write_iops: limits_from_wire(resources.blkio_device_write_iops),
        memory_swappiness: resources.memory_swappiness.filter(|percent| *percent != -1),
        oom_kill_disable: resources.oom_kill_disable.unwrap_or(false),
        cpu_realtime_period: resources.cpu_realtime_period,
        cpu_realtime_runtime: resources.cpu_realtime_runtime,
        device_cgroup_rules: resources.device_cgroup_rules.unwrap_or_default(),
        oom_score_adj: host.oom_score_adj,
        ulimits: resources.ulimits.unwrap_or_default().into_iter().map(ulimit_from_wire).collect(),
        devices: resources.devices.unwrap_or_default().into_iter().map(device_from_wire).collect(),
        shm_size: host.shm_size,
        sysctls: host.sysctls,
        pid_mode: host.pid_mode,
        ipc_mode: host.ipc_mode,
        uts_mode: host.uts_mode,
        cgroupns_mode: host.cgroupns_mode,
        userns_mode: host.userns_mode,
        cgroup_parent: resources.cgroup_parent,
        init: host.init,
        runtime: host.runtime,
        annotations: host.annotations,
        console_size: console_from_wire(host.console_size),
    }
}

pub(crate) fn to_wire(host: &engine::HostConfig) -> HostConfig {
    HostConfig {
        binds: list(host.binds.clone()),
        log_config: LogConfig { kind: or(&host.log.driver, "json-file"), config: host.log.options.clone() },
        network_mode: or(&host.network_mode, "bridge"),
        port_bindings: ports_to_wire(host),
        restart_policy: RestartPolicy {
            name: or(&host.restart_policy.name, "no"),
            maximum_retry_count: host.restart_policy.maximum_retry_count,
        },
        auto_remove: host.auto_remove,
        console_size: host.console_size.map_or([0, 0], |(rows, columns)| [rows.into(), columns.into()]),
        annotations: host.annotations.clone(),
        cap_add: list(host.cap_add.clone()).map(Into::into),
        cap_drop: list(host.cap_drop.clone()).map(Into::into),
        cgroupns_mode: or(&host.cgroupns_mode, "private"),
        // Docker makes these lists itself when a client sends none.
        dns: Some(host.dns.clone()),
        dns_options: Some(host.dns_options.clone()),
        dns_search: Some(host.dns_search.clone()),
        extra_hosts: list(host.extra_hosts.clone()),
        group_add: list(host.group_add.clone()),
        links: list(host.links.clone()),
        ipc_mode: or(&host.ipc_mode, "private"),
        oom_score_adj: host.oom_score_adj,
        pid_mode: host.pid_mode.clone(),
        privileged: host.privileged,
        publish_all_ports: host.publish_all_ports,
        readonly_rootfs: host.readonly_rootfs,
        security_opt: list(host.security_opt.clone()),
        volume_driver: host.volume_driver.clone(),
        volumes_from: list(host.volumes_from.clone()),
        tmpfs: host.tmpfs.clone(),
        uts_mode: host.uts_mode.clone(),
        userns_mode: host.userns_mode.clone(),
        shm_size: if host.shm_size == 0 { 64 << 20 } else { host.shm_size },
        sysctls: host.sysctls.clone(),
        runtime: or(&host.runtime, "beeline"),
        resources: resources_to_wire(host),
        mounts: host.mounts.iter().map(mount_to_wire).collect(),
        masked_paths: host.masked_paths.clone(),
        readonly_paths: host.readonly_paths.clone(),
        init: host.init,
        ..HostConfig::default()
    }
}

fn resources_to_wire(host: &engine::HostConfig) -> Resources {
    Resources {
        cpu_shares: host.cpu_shares,
        memory: host.memory,
        nano_cpus: host.nano_cpus,
        cgroup_parent: host.cgroup_parent.clone(),
        blkio_weight: host.blkio_weight,
        // Docker sends this one as an empty list, the others as null.
        blkio_weight_device: Some(host.blkio_weight_device.iter().map(weight_to_wire).collect()),
        blkio_device_read_bps: limits_to_wire(&host.blkio_read_bps),
        blkio_device_write_bps: limits_to_wire(&host.blkio_write_bps),
        blkio_device_read_iops: limits_to_wire(&host.blkio_read_iops),
        blkio_device_write_iops: limits_to_wire(&host.blkio_write_iops),
        memory_swappiness: host.memory_swappiness,
        oom_kill_disable: host.oom_kill_disable.then_some(true),
        cpu_realtime_period: host.cpu_realtime_period,
        cpu_realtime_runtime: host.cpu_realtime_runtime,
        device_cgroup_rules: list(host.device_cgroup_rules.clone()),
        cpu_period: host.cpu_period,
        cpu_quota: host.cpu_quota,
        cpuset_cpus: host.cpuset_cpus.clone(),
        cpuset_mems: host.cpuset_mems.clone(),
        devices: Some(host.devices.iter().map(device_to_wire).collect()),
        memory_reservation: host.memory_reservation,
        memory_swap: host.memory_swap,
        pids_limit: host.pids_limit,
        ulimits: Some(host.ulimits.iter().map(ulimit_to_wire).collect()),
        ..Resources::default()
    }
}

/// Empty is what Docker shows the default for.
fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default } else { text }.to_owned()
}

fn ports_from_wire(ports: PortMap) -> std::collections::BTreeMap<String, Vec<engine::PortBinding>> {
    let binding =
        |given: PortBinding| engine::PortBinding { host_ip: given.host_ip, host_port: given.host_port };
    let several =
        |given: Option<Vec<PortBinding>>| given.unwrap_or_default().into_iter().map(binding).collect();
    ports.into_iter().map(|(port, bindings)| (port, several(bindings))).collect()
}

fn ports_to_wire(host: &engine::HostConfig) -> PortMap {
    let binding = |given: &engine::PortBinding| PortBinding {
        host_ip: given.host_ip.clone(),
        host_port: given.host_port.clone(),
    };
    let several = |given: &Vec<engine::PortBinding>| Some(given.iter().map(binding).collect());
    host.port_bindings.iter().map(|(port, bindings)| (port.clone(), several(bindings))).collect()
}

fn weights_from_wire(weights: Option<Vec<WeightDevice>>) -> Vec<engine::DeviceLimit> {
    let limit = |device: WeightDevice| engine::DeviceLimit { path: device.path, rate: device.weight.into() };
    weights.unwrap_or_default().into_iter().map(limit).collect()
}

fn weight_to_wire(limit: &engine::DeviceLimit) -> WeightDevice {
    WeightDevice { path: limit.path.clone(), weight: u16::try_from(limit.rate).unwrap_or(u16::MAX) }
}

fn limits_from_wire(limits: Option<Vec<ThrottleDevice>>) -> Vec<engine::DeviceLimit> {
    let limit = |device: ThrottleDevice| engine::DeviceLimit { path: device.path, rate: device.rate };
    limits.unwrap_or_default().into_iter().map(limit).collect()
}

fn limits_to_wire(limits: &[engine::DeviceLimit]) -> Option<Vec<ThrottleDevice>> {
    let device = |limit: &engine::DeviceLimit| ThrottleDevice { path: limit.path.clone(), rate: limit.rate };
    list(limits.iter().map(device).collect())
}

fn ulimit_from_wire(limit: Ulimit) -> engine::Ulimit {
    engine::Ulimit { name: limit.name, soft: limit.soft, hard: limit.hard }
}

fn ulimit_to_wire(limit: &engine::Ulimit) -> Ulimit {
    Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard }
}

fn device_from_wire(device: DeviceMapping) -> engine::DeviceRequest {
    engine::DeviceRequest {
        path_on_host: device.path_on_host,
        path_in_container: device.path_in_container,
        cgroup_permissions: device.cgroup_permissions,
    }
}

fn device_to_wire(device: &engine::DeviceRequest) -> DeviceMapping {
    DeviceMapping {
        path_on_host: device.path_on_host.clone(),
        path_in_container: device.path_in_container.clone(),
        cgroup_permissions: device.cgroup_permissions.clone(),
    }
}

/// A size of zero is none.
fn console_from_wire([rows, columns]: [u32; 2]) -> Option<(u16, u16)> {
    let size = (u16::try_from(rows).ok()?, u16::try_from(columns).ok()?);
    Some(size).filter(|size| *size != (0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_is_shown() {
        let asked: HostConfig = serde_json::from_str(
            r#"{"Binds":["/a:/b:ro"],"NetworkMode":"none","Memory":67108864,"NanoCpus":500000000,"PidsLimit":9,
               "PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"80-90"}],"81/udp":[]},
               "CapAdd":["NET_ADMIN"],"ExtraHosts":["db:10.0.0.1"],"ReadonlyRootfs":true,
               "Ulimits":[{"Name":"nofile","Soft":10,"Hard":20}],"LogConfig":{"Type":"none","Config":{"a":"b"}},
               "RestartPolicy":{"Name":"always"},"MaskedPaths":[],"ConsoleSize":[24,80],
               "Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":4096}}]}"#,
        )
        .unwrap();
        let shown = to_wire(&from_wire(asked.clone()));
        assert_eq!(from_wire(shown.clone()).port_bindings, from_wire(asked.clone()).port_bindings);
        assert_eq!(shown.binds, asked.binds);
        assert_eq!(shown.mounts, asked.mounts);
        assert_eq!(shown.resources.memory, asked.resources.memory);
        assert_eq!(shown.resources.ulimits, asked.resources.ulimits);
        assert_eq!(shown.console_size, [24, 80]);
        assert_eq!(shown.masked_paths, Some(Vec::new()));
        assert_eq!(shown.readonly_paths, None);
        assert_eq!(shown.restart_policy, asked.restart_policy);
        assert_eq!(shown.log_config, asked.log_config);
    }
}
