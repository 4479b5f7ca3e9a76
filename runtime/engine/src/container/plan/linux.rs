//! Namespaces, limits, devices and what is hidden.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use beeline_spawn::container::defaults;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Linux, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxResources,
};

use super::devices::{self, Device};
use super::{Input, device_rule, resources};
use crate::container::config::HostConfig;
use crate::container::mode::NetworkMode;
use crate::container::namespaces::Owner;

/// Turns Docker's defaults into what this container is to have.
pub(super) fn plan(input: Input<'_>, linux: &mut Linux) -> Result<(), OciSpecError> {
    let host = &input.config.host;
    let devices = devices::of(host)?;
    linux.set_cgroups_path(Some(input.cgroup.into()));
    linux.set_namespaces(Some(namespaces(input)?));
    if let Some(user) = &input.shares.user {
        linux.set_uid_mappings(Some(user.identities.users.clone()));
        linux.set_gid_mappings(Some(user.identities.groups.clone()));
    }
    linux.set_resources(Some(limits(host, &devices)?));
    linux.set_devices(Some(devices.into_iter().map(|device| device.node).collect()));
    if let Some(paths) = &host.masked_paths {
        linux.set_masked_paths(Some(paths.clone()));
    }
    if let Some(paths) = &host.readonly_paths {
        linux.set_readonly_paths(Some(paths.clone()));
    }
    linux.set_seccomp(input.filter.map(|filter| filter.profile.clone()));
    if host.privileged {
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    let mut sysctl = network_defaults(input);
    sysctl.extend(host.sysctls.clone());
    linux.set_sysctl(Some(sysctl).filter(|sysctl| !sysctl.is_empty()));
    Ok(())
}

/// What Docker sets in a network namespace of the container's own: whoever may do nothing else there may ping, and listen
/// on any port. A kernel without such a parameter does without.
fn network_defaults(input: Input<'_>) -> HashMap<String, String> {
    // A user namespace takes groups only that it has.
    let groups = input.shares.user.as_ref().and_then(|user| user.identities.groups.first());
    let last = groups.map_or(i32::MAX.unsigned_abs(), |first| first.size().saturating_sub(1));
    let parameters =
        [("ping_group_range", format!("0 {last}")), ("ip_unprivileged_port_start", "0".to_owned())];
    if matches!(input.config.host.mode(), NetworkMode::Host | NetworkMode::Container(_)) {
        return HashMap::new();
    }
    let known = |(name, _): &(&str, String)| Path::new("/proc/sys/net/ipv4").join(name).exists();
    parameters.into_iter().filter(known).map(|(name, value)| (format!("net.ipv4.{name}"), value)).collect()
}

fn namespaces(input: Input<'_>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let host = &input.config.host;
    let joined = |owner: Owner<'_>, path: &Option<PathBuf>| match owner {
        Owner::Own => Some(None),
        Owner::Host => None,
        Owner::Container(_) => Some(path.clone()),
    };
    let own = |shared: bool| (!shared).then_some(None);
    // None is the host's, a path another container's.
    let user = input.shares.user.as_ref().map(|user| Some(user.namespace.clone()));
    let all: [(LinuxNamespaceType, Option<Option<PathBuf>>); 7] = [
        (LinuxNamespaceType::User, user),
        (LinuxNamespaceType::Mount, Some(None)),
        (LinuxNamespaceType::Pid, joined(host.pid(), &input.shares.pid)),
        (LinuxNamespaceType::Ipc, joined(host.ipc(), &input.shares.ipc)),
        (LinuxNamespaceType::Uts, own(host.uts_mode == "host")),
        (LinuxNamespaceType::Cgroup, own(host.cgroupns_mode == "host")),
        (LinuxNamespaceType::Network, own(host.network_mode == "host")),
    ];
    let build = |(typ, path): (LinuxNamespaceType, Option<PathBuf>)| {
        let namespace = LinuxNamespaceBuilder::default().typ(typ);
        if let Some(path) = path { namespace.path(path).build() } else { namespace.build() }
    };
    all.into_iter().filter_map(|(typ, path)| Some((typ, path?))).map(build).collect()
}

fn limits(host: &HostConfig, devices: &[Device]) -> Result<LinuxResources, OciSpecError> {
    let mut rules = defaults::device_rules();
    if host.privileged {
        rules = vec![
            LinuxDeviceCgroupBuilder::default().allow(true).typ(LinuxDeviceType::A).access("rwm").build()?,
        ];
    }
    let named = devices.iter().filter(|_| !host.privileged);
    for Device { node, access } in named {
        let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(node.typ()).access(access);
        rules.push(rule.major(node.major()).minor(node.minor()).build()?);
    }
    rules.extend(host.device_cgroup_rules.iter().filter_map(|rule| device_rule(rule)));
    let mut resources = resources(host)?;
    resources.set_devices(Some(rules));
    Ok(resources)
}
