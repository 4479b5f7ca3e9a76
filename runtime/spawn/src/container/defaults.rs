//! Docker's defaults for a container, as an OCI configuration to start from.

use std::path::PathBuf;
use std::str::FromStr as _;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxResources, LinuxResourcesBuilder, Mount, MountBuilder, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};

use oci_spec::OciSpecError;

use crate::seccomp::default_profile;

/// The version of the OCI runtime specification that configurations are written in.
const OCI_VERSION: &str = "1.2.0";

/// PATH in a container whose image says nothing.
pub const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Destination, type, source and options.
const MOUNTS: [(&str, &str, &str, &[&str]); 7] = [
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
];

/// Character devices every container may use: null, zero, full, random, urandom, tty, console, ptmx and, with no
/// minor number, its pseudo terminals.
const DEVICES: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// Docker's default capabilities.
#[must_use]
pub fn capabilities() -> Capabilities {
    CAPABILITIES.iter().filter_map(|name| Capability::from_str(name).ok()).collect()
}

/// Docker's default device rules: any node may be made, the common ones may be used.
#[must_use]
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, kind, numbers: (Option<i64>, Option<i64>), access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
        if let Some(major) = numbers.0 {
            rule = rule.major(major);
        }
        if let Some(minor) = numbers.1 {
            rule = rule.minor(minor);
        }
        rule.build().ok()
    };
    let every = (None, None);
    let fixed = [
        rule(false, LinuxDeviceType::A, every, "rwm"),
        rule(true, LinuxDeviceType::C, every, "m"),
        rule(true, LinuxDeviceType::B, every, "m"),
    ];
    let devices = DEVICES.map(|(major, minor)| rule(true, LinuxDeviceType::C, (Some(major), minor), "rwm"));
    fixed.into_iter().chain(devices).flatten().collect()
}

/// A configuration with Docker's defaults: mounts, namespaces (cgroup and network among them), capabilities, device
/// rules, masked and read-only paths, and the seccomp profile that fits the capabilities. The command is to be set, and
/// whatever differs from the defaults; the profile has to be made anew when capabilities change.
#[must_use]
pub fn spec() -> Spec {
    // All builders' fields have values.
    #[allow(clippy::expect_used, reason = "the builders fail only for fields without a value")]
    build().expect("the default configuration is complete")
}

fn build() -> Result<Spec, OciSpecError> {
    let capabilities = capabilities();
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities.clone())
        // As Docker since 20.10.14: what is inheritable could come back through a program's file capabilities.
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build()?)
        .args(Vec::new())
        .env(vec![PATH.to_owned()])
        .cwd("/")
        .capabilities(sets)
        .rlimits(Vec::new())
        .no_new_privileges(false)
        .oom_score_adj(0)
        .build()?;
    let linux = LinuxBuilder::default()
        .resources(resources()?)
        .namespaces(namespaces()?)
        .devices(Vec::new())
        .seccomp(default_profile(&capabilities))
        .masked_paths(MASKED_PATHS.map(str::to_owned).to_vec())
        .readonly_paths(READONLY_PATHS.map(str::to_owned).to_vec())
        .build()?;
    let mut spec = SpecBuilder::default()
        .version(OCI_VERSION)
        .root(RootBuilder::default().path("rootfs").readonly(false).build()?)
        .process(process)
        .mounts(MOUNTS.iter().map(mount).collect::<Result<Vec<_>, _>>()?)
        .linux(linux)
        .build()?;
    spec.set_hostname(None);
    Ok(spec)
}

fn mount(
    (destination, kind, source, options): &(
        &'static str,
        &'static str,
        &'static str,
        &'static [&'static str],
    ),
) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .destination(*destination)
        .typ(*kind)
        .source(PathBuf::from(source))
        .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        .build()
}

fn namespaces() -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType as Type;
    [Type::Mount, Type::Pid, Type::Ipc, Type::Uts, Type::Cgroup, Type::Network]
        .into_iter()
        .map(|kind| LinuxNamespaceBuilder::default().typ(kind).build())
        .collect()
}

fn resources() -> Result<LinuxResources, OciSpecError> {
    LinuxResourcesBuilder::default().devices(device_rules()).build()
}
