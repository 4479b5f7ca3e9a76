//! From a record to what the kernel is asked for: pure, apart from looking at bind mounts' sources.

mod devices;
mod env;
mod exec;
mod linux;
mod mounts;
mod resources;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use beeline_spawn::container::user::GROUPS;
use beeline_spawn::container::{INIT, LANDLOCK, defaults};
use beeline_spawn::seccomp::PROGRAM;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    BoxBuilder, LinuxCapabilitiesBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Spec,
    UserBuilder,
};

use crate::container::capabilities;
use crate::container::config::ContainerConfig;
use crate::container::merge::argv;
use crate::container::mounts::UserMount;
use crate::container::namespaces::Shares;
use crate::container::seccomp::Filter;
use crate::container::security::Security;
use crate::container::view::ContainerPaths;
use crate::error::Error;
use crate::identity::ContainerId;

pub(crate) use exec::exec;
pub(crate) use resources::{device_rule, quota, resources};

/// What a container is planned from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) config: &'a ContainerConfig,
    pub(crate) paths: &'a ContainerPaths,
    /// The control group below every hierarchy's root.
    pub(crate) cgroup: &'a str,
    /// What users mount.
    pub(crate) mounts: &'a [UserMount],
    /// Where all volumes are.
    pub(crate) volumes: &'a Path,
    /// What it shares with other containers.
    pub(crate) shares: &'a Shares,
    /// Its seccomp filter; none if it is unconfined.
    pub(crate) filter: Option<&'a Filter>,
}

/// The container's host name: the user's, or the beginning of its id.
pub(crate) fn hostname<'a>(id: &'a ContainerId, config: &'a ContainerConfig) -> &'a str {
    if config.hostname.is_empty() { id.short() } else { &config.hostname }
}

/// The OCI configuration of a container.
///
/// # Errors
/// The record holds what cannot be expressed, although it was validated when it was made.
pub(crate) fn spec(input: Input<'_>) -> Result<Spec, Error> {
    build(input).map_err(|error| Error::internal(format!("plan container {}", input.id), &error))
}

fn build(input: Input<'_>) -> Result<Spec, OciSpecError> {
    let config = input.config;
    let mut spec = defaults::spec();
    if let Some(root) = spec.root_mut() {
        root.set_readonly(Some(config.host.readonly_rootfs));
    }
    if config.host.uts_mode != "host" {
        spec.set_hostname(Some(hostname(input.id, config).to_owned()));
        spec.set_domainname(Some(config.domainname.clone()).filter(|name| !name.is_empty()));
    }
    if let Some(process) = spec.process_mut() {
        plan_process(input, process)?;
    }
    let mounts = mounts::mounts(input, spec.mounts_mut().take().unwrap_or_default())?;
    spec.set_mounts(Some(mounts));
    if let Some(linux) = spec.linux_mut() {
        linux::plan(input, linux)?;
        linux.set_rootfs_propagation(mounts::propagation(input.mounts));
    }
    spec.set_annotations(Some(annotations(input)));
    Ok(spec)
}

/// The user's notes, and what the shim is told beyond OCI.
fn annotations(input: Input<'_>) -> HashMap<String, String> {
    let host = &input.config.host;
    let mut annotations: HashMap<String, String> = host.annotations.clone().into_iter().collect();
    // What begins so is between us and the shim.
    annotations.retain(|key, _| !key.starts_with("beeline."));
    if host.init == Some(true) {
        annotations.insert(INIT.to_owned(), "true".to_owned());
    }
    if !host.group_add.is_empty() {
        annotations.insert(GROUPS.to_owned(), host.group_add.join(","));
    }
    if let Some(rules) = Security::of(&host.security_opt).landlock() {
        annotations.insert(LANDLOCK.to_owned(), rules);
    }
    if let Some(program) = input.filter.and_then(|filter| filter.program.as_ref()) {
        annotations.insert(PROGRAM.to_owned(), program.display().to_string());
    }
    annotations
}

fn plan_process(input: Input<'_>, process: &mut Process) -> Result<(), OciSpecError> {
    let config = input.config;
    let host = &config.host;
    let set = capabilities::effective(host);
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()?;
    let mut user = UserBuilder::default().uid(0_u32).gid(0_u32);
    if !config.user.is_empty() {
        user = user.username(config.user.clone());
    }
    let security = Security::of(&host.security_opt);
    process
        .set_terminal(Some(config.tty))
        .set_user(user.build()?)
        .set_args(Some(argv(config)))
        .set_env(Some(env::environment(input)))
        .set_cwd(PathBuf::from(if config.working_dir.is_empty() { "/" } else { config.working_dir.as_str() }))
        .set_capabilities(Some(capabilities))
        .set_rlimits(Some(rlimits(input)?))
        .set_no_new_privileges(security.no_new_privileges)
        .set_apparmor_profile(security.apparmor_profile().map(str::to_owned));
    if let Some((height, width)) =
        host.console_size.filter(|(height, width)| config.tty && *height > 0 && *width > 0)
    {
        process.set_console_size(Some(BoxBuilder::default().height(height).width(width).build()?));
    }
    process.set_oom_score_adj(Some(i32::try_from(host.oom_score_adj).unwrap_or_default()));
    Ok(())
}

/// Descriptors a process may open unless the user says otherwise. Some programs walk through all of them, so
/// "unlimited" is no kindness.
const NOFILE: (u64, u64) = (1024, 524_288);

/// The kernel's resource for Docker's name of a limit.
pub(crate) fn rlimit(name: &str) -> Option<PosixRlimitType> {
    serde_json::from_value(format!("RLIMIT_{}", name.to_ascii_uppercase()).into()).ok()
}

fn rlimits(input: Input<'_>) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let mut limits = Vec::new();
    for ulimit in &input.config.host.ulimits {
        // An unknown one was refused when the container was created.
        let Some(typ) = rlimit(&ulimit.name) else { continue };
        // Docker's -1 is "unlimited", the kernel's greatest number.
        let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        let (soft, hard) = (number(ulimit.soft), number(ulimit.hard));
        limits.push(PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build()?);
    }
    if !limits.iter().any(|limit| limit.typ() == PosixRlimitType::RlimitNofile) {
        let most = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        // Raising the hard limit takes a capability the daemon may not have.
        let hard = most.map_or(NOFILE.1, |(_, hard)| hard.min(NOFILE.1));
        let soft = NOFILE.0.min(hard);
        limits.push(
            PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(soft).hard(hard).build()?,
        );
    }
    Ok(limits)
}

#[cfg(test)]
mod tests;
