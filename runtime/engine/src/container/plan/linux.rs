//! Namespaces, limits, devices and what is hidden.

use std::collections::HashMap;

use beeline_spawn::container::defaults;
use beeline_spawn::seccomp::default_profile;
use nix::sys::stat::{SFlag, major, minor, stat};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources,
};

use super::{Input, device_rule, resources};
use crate::container::capabilities;
use crate::container::config::{DeviceRequest, HostConfig};

/// Turns Docker's defaults into what this container is to have.
pub(super) fn plan(input: Input<'_>, linux: &mut Linux) -> Result<(), OciSpecError> {
    let host = &input.config.host;
    let devices = devices(host)?;
    linux.set_cgroups_path(Some(input.cgroup.into()));
    linux.set_namespaces(Some(namespaces(host)?));
    linux.set_resources(Some(limits(host, &devices)?));
    linux.set_devices(Some(devices));
    if let Some(paths) = &host.masked_paths {
        linux.set_masked_paths(Some(paths.clone()));
    }
    if let Some(paths) = &host.readonly_paths {
        linux.set_readonly_paths(Some(paths.clone()));
    }
    let unconfined = |option: &String| matches!(option.as_str(), "seccomp=unconfined" | "seccomp:unconfined");
    if host.privileged || host.security_opt.iter().any(unconfined) {
        linux.set_seccomp(None);
    } else {
        linux.set_seccomp(Some(default_profile(&capabilities::effective(host))));
    }
    if host.privileged {
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    let sysctl: HashMap<String, String> = host.sysctls.clone().into_iter().collect();
    linux.set_sysctl(Some(sysctl).filter(|sysctl| !sysctl.is_empty()));
    Ok(())
}

fn namespaces(host: &HostConfig) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let shared = [
        (LinuxNamespaceType::Mount, false),
        (LinuxNamespaceType::Pid, host.pid_mode == "host"),
        (LinuxNamespaceType::Ipc, host.ipc_mode == "host"),
        (LinuxNamespaceType::Uts, host.uts_mode == "host"),
        (LinuxNamespaceType::Cgroup, host.cgroupns_mode == "host"),
        (LinuxNamespaceType::Network, host.network_mode == "host"),
    ];
    let own = shared.into_iter().filter(|(_, shared)| !shared);
    own.map(|(typ, _)| LinuxNamespaceBuilder::default().typ(typ).build()).collect()
}

fn limits(host: &HostConfig, devices: &[LinuxDevice]) -> Result<LinuxResources, OciSpecError> {
    let mut rules = defaults::device_rules();
    if host.privileged {
        rules = vec![
            LinuxDeviceCgroupBuilder::default().allow(true).typ(LinuxDeviceType::A).access("rwm").build()?,
        ];
    }
    for (device, request) in devices.iter().zip(&host.devices) {
        let access = if request.cgroup_permissions.is_empty() { "rwm" } else { &request.cgroup_permissions };
        let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(device.typ()).access(access);
        rules.push(rule.major(device.major()).minor(device.minor()).build()?);
    }
    rules.extend(host.device_cgroup_rules.iter().filter_map(|rule| device_rule(rule)));
    let mut resources = resources(host)?;
    resources.set_devices(Some(rules));
    Ok(resources)
}

/// The host devices the user asks for, as they are on the host now.
fn devices(host: &HostConfig) -> Result<Vec<LinuxDevice>, OciSpecError> {
    host.devices.iter().map(device).collect()
}

fn device(request: &DeviceRequest) -> Result<LinuxDevice, OciSpecError> {
    let gather = |reason: &str| {
        OciSpecError::Other(format!(
            "error gathering device information while adding custom device \"{}\": {reason}",
            request.path_on_host
        ))
    };
    let found = stat(request.path_on_host.as_str()).map_err(|error| gather(error.desc()))?;
    let typ = match SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFCHR => LinuxDeviceType::C,
        SFlag::S_IFBLK => LinuxDeviceType::B,
        _ => return Err(gather("not a device node")),
    };
    let inside =
        if request.path_in_container.is_empty() { &request.path_on_host } else { &request.path_in_container };
    let number = |number: u64| i64::try_from(number).unwrap_or_default();
    LinuxDeviceBuilder::default()
        .path(inside.as_str())
        .typ(typ)
        .major(number(major(found.st_rdev)))
        .minor(number(minor(found.st_rdev)))
        .file_mode(found.st_mode & 0o7777)
        .uid(found.st_uid)
        .gid(found.st_gid)
        .build()
}
