//! What init gives up between building its root and executing its command.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use oci_spec::runtime::{Capabilities, LinuxCapabilities, LinuxSeccomp, PosixRlimitType, Process};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities};

use super::{c_string, stream};
use crate::container::landlock::{self, Ruleset};
use crate::container::step::{Label, Op, Step};
use crate::container::{Error, Stdio, Terms};
use crate::seccomp;

/// What the command is behind, whoever it is.
pub(super) struct Walls {
    pub(super) landlock: Option<Ruleset>,
    /// The operation that installs the seccomp filter.
    pub(super) filter: Option<Op>,
}

/// A user namespace's capabilities are others than the engine's own.
pub(super) fn steps(
    process: &Process,
    walls: Walls,
    in_user_namespace: bool,
    stdio: Stdio,
    terms: &Terms,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let terminal = process.terminal().unwrap_or(false);
    if terminal != matches!(stdio, Stdio::Terminal) {
        return Err(Error::config("process.terminal does not fit the standard streams given"));
    }
    let streams = match stdio {
        Stdio::Terminal => None,
        Stdio::Descriptors { stdin, stdout, stderr } => {
            Some([stream(stdin)?, stream(stdout)?, stream(stderr)?])
        }
    };
    let cwd = c_string(process.cwd().as_os_str().as_bytes(), "process.cwd")?;
    steps.push(Step::new(
        format!("change to the working directory {}", process.cwd().display()),
        Op::Workdir(cwd),
    ));
    steps.push(Step::new("set up the standard streams", Op::Stdio(streams)));
    if !in_user_namespace {
        let limits = rlimits(process);
        steps.extend(limits.map(|limit| Step::new(limit.what, Op::Rlimit(limit.resource, limit.value))));
    }
    let umask = process.user().umask().unwrap_or(0o022);
    steps.push(Step::new("set the umask", Op::Umask(umask)));
    steps.push(Step::new("close all other descriptors", Op::CloseOthers { preserved: terms.preserved }));
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    if no_new_privileges {
        steps.push(Step::new("set no_new_privs", Op::NoNewPrivileges));
    }
    let Walls { landlock, filter } = walls;
    // As a filter it needs no_new_privs or CAP_SYS_ADMIN, and a filter need not let its calls through.
    steps.extend(landlock.map(landlock::step));
    let listens = matches!(filter, Some(Op::ListeningSeccomp(_)));
    let filter = filter.map(|filter| Step::new("install the seccomp filter", filter));
    // Behind a filter init only needs calls that no command could do without: it changes its user and capabilities, reads,
    // writes and executes. Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before capabilities are dropped; with it, last.
    let (early, late) = if no_new_privileges { (None, filter) } else { (filter, None) };
    steps.extend(early);
    privileges(process, in_user_namespace, steps)?;
    if !terms.lives_on {
        steps.push(Step::new("die with the parent", Op::DieWithParent));
    }
    let fence = if terms.fence.is_some() { Op::LastingFence } else { Op::Fence };
    let fence = Step::new("wait for the start", fence);
    // A filter's supervisor gets its descriptor from the parent, which may be gone after the fence.
    let (before, after) = if listens { (late, None) } else { (None, late) };
    steps.extend(before);
    steps.push(fence);
    steps.extend(after);
    Ok(())
}

/// The operation that installs the profile's filter.
pub(super) fn filter(profile: Option<&LinuxSeccomp>) -> Result<Option<Op>, Error> {
    let Some(profile) = profile else { return Ok(None) };
    let listens = has_supervisor(profile);
    if !listens && seccomp::asks(profile) {
        return Err(Error::config("linux.seccomp has SCMP_ACT_NOTIFY and no listenerPath"));
    }
    let program = seccomp::compile(profile)?;
    Ok(Some(if listens { Op::ListeningSeccomp(program) } else { Op::Seccomp(program) }))
}

fn has_supervisor(profile: &LinuxSeccomp) -> bool {
    let path = profile.listener_path().as_ref();
    path.is_some_and(|path| !path.as_os_str().is_empty()) && seccomp::asks(profile)
}

/// Whether the kernel confines programs by AppArmor profiles.
pub(crate) fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|answer| answer.starts_with(b"Y"))
}

/// Whether the kernel confines programs by SELinux labels.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Labels of security modules, which hold from the command's execution on.
pub(super) fn labels(process: &Process, steps: &mut Vec<Step>) -> Result<(), Error> {
    if let Some(profile) = process.apparmor_profile().as_ref().filter(|profile| !profile.is_empty()) {
        let text = c_string(format!("exec {profile}"), "process.apparmorProfile")?;
        let files = [c"/proc/self/attr/apparmor/exec", c"/proc/self/attr/exec"];
        let what = format!("take the AppArmor profile {profile}");
        steps.push(Step::new(what, Op::Label(Label { files, text })));
    }
    if let Some(label) = process.selinux_label().as_ref().filter(|label| !label.is_empty()) {
        let text = c_string(label.as_str(), "process.selinuxLabel")?;
        let files = [c"/proc/self/attr/exec", c"/proc/thread-self/attr/exec"];
        steps.push(Step::new(format!("take the SELinux label {label}"), Op::Label(Label { files, text })));
    }
    Ok(())
}

/// A resource limit, and how an error names it.
#[derive(Debug)]
pub(in crate::container) struct Limit {
    pub(in crate::container) resource: Resource,
    pub(in crate::container) value: Rlimit,
    pub(in crate::container) what: String,
}

/// What the parent has to set.
pub(super) fn limits(process: &Process, in_user_namespace: bool) -> Vec<Limit> {
    if in_user_namespace { rlimits(process).collect() } else { Vec::new() }
}

fn rlimits(process: &Process) -> impl Iterator<Item = Limit> {
    process.rlimits().iter().flatten().map(|limit| {
        let value = |value: u64| (value != u64::MAX).then_some(value);
        Limit {
            resource: resource(limit.typ()),
            value: Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) },
            what: format!("set {} to {}:{}", limit.typ(), limit.soft(), limit.hard()),
        }
    })
}

fn resource(kind: PosixRlimitType) -> Resource {
    use PosixRlimitType as Type;
    match kind {
        Type::RlimitCpu => Resource::Cpu,
        Type::RlimitFsize => Resource::Fsize,
        Type::RlimitData => Resource::Data,
        Type::RlimitStack => Resource::Stack,
        Type::RlimitCore => Resource::Core,
        Type::RlimitRss => Resource::Rss,
        Type::RlimitNproc => Resource::Nproc,
        Type::RlimitNofile => Resource::Nofile,
        Type::RlimitMemlock => Resource::Memlock,
        Type::RlimitAs => Resource::As,
        Type::RlimitLocks => Resource::Locks,
        Type::RlimitSigpending => Resource::Sigpending,
        Type::RlimitMsgqueue => Resource::Msgqueue,
        Type::RlimitNice => Resource::Nice,
        Type::RlimitRtprio => Resource::Rtprio,
        Type::RlimitRttime => Resource::Rttime,
    }
}

/// The user and the capabilities. Capabilities that the engine itself lacks are left out: it cannot give them, unless a
/// new user namespace does.
fn privileges(process: &Process, in_user_namespace: bool, steps: &mut Vec<Step>) -> Result<(), Error> {
    let own = capabilities(None)
        .map_err(|source| Error::Host {
            operation: "read capabilities of",
            path: "/proc/self".into(),
            source: source.into(),
        })?
        .permitted;
    let own = if in_user_namespace { CapabilitySet::all() } else { own };
    let wanted = process.capabilities().as_ref();
    let set = |of: fn(&LinuxCapabilities) -> &Option<Capabilities>| {
        wanted.and_then(|wanted| of(wanted).as_ref()).map_or(CapabilitySet::empty(), capability_set) & own
    };
    let permitted = set(LinuxCapabilities::permitted);
    let inheritable = set(LinuxCapabilities::inheritable);
    let sets =
        CapabilitySets { effective: set(LinuxCapabilities::effective) & permitted, permitted, inheritable };
    let ambient = set(LinuxCapabilities::ambient) & permitted & inheritable;
    steps.push(Step::new(
        "drop capabilities from the bounding set",
        Op::Bounding(set(LinuxCapabilities::bounding)),
    ));
    steps.push(Step::new("become the container's user", Op::User));
    steps.push(Step::new("drop capabilities", Op::Capabilities { sets, ambient }));
    Ok(())
}

fn capability_set(capabilities: &Capabilities) -> CapabilitySet {
    use std::str::FromStr as _;
    let bits = capabilities.iter().filter_map(|capability| {
        let name = format!("CAP_{capability}");
        caps::Capability::from_str(&name).ok().map(|capability| capability.bitmask())
    });
    CapabilitySet::from_bits_retain(bits.fold(0, |set, bit| set | bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Capability;

    #[test]
    fn every_capability_has_its_bit() {
        let bits = |capability| capability_set(&[capability].into_iter().collect()).bits();
        assert_eq!(bits(Capability::Chown), 1);
        assert_eq!(bits(Capability::SysAdmin), 1 << 21);
        assert_eq!(bits(Capability::AuditWrite), 1 << 29);
        assert_eq!(bits(Capability::CheckpointRestore), 1 << 40);
    }
}
