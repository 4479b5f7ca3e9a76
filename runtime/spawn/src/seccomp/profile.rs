//! Docker's default profile, from `default.json`: which calls a container may make, given its capabilities, the kernel
//! and the architecture.

use std::str::FromStr as _;
use std::sync::LazyLock;

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::Deserialize;

use super::arch::Architecture;

/// A group of calls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// For the reader.
    #[serde(rename = "for")]
    _purpose: String,
    /// Names, separated by blanks.
    calls: Vec<String>,
    /// Refused with this error number; otherwise allowed.
    refuse_with: Option<u32>,
    /// Alternatives, one of which an argument has to meet.
    #[serde(default)]
    when: Vec<When>,
    /// Only if the container has this capability.
    with_capability: Option<String>,
    /// Only if the container does not have it.
    without_capability: Option<String>,
    /// Only from this kernel on.
    since_kernel: Option<(u32, u32)>,
    /// Only if one of these, by Go's names, is among the container's.
    #[serde(default)]
    architectures: Vec<String>,
}

/// A comparison of an argument.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    argument: usize,
    #[serde(flatten)]
    test: Test,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Test {
    Is(u64),
    Below(u64),
    Above(u64),
    HasNoneOf(u64),
}

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    // Part of the program; a test reads it.
    #[allow(clippy::expect_used, reason = "a constant of the program that a test reads")]
    serde_json::from_str(include_str!("default.json")).expect("the default seccomp profile is well-formed")
});

/// Docker's default profile for a container with the given bounding capabilities, on the running kernel.
#[must_use]
pub fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    expand(&GROUPS, capabilities, running_kernel(), Architecture::NATIVE)
}

fn expand(
    groups: &[Group],
    capabilities: &Capabilities,
    kernel: (u32, u32),
    native: Architecture,
) -> LinuxSeccomp {
    let (architectures, names) = match native {
        Architecture::Aarch64 | Architecture::Arm => (
            vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
            [Architecture::Aarch64, Architecture::Arm].as_slice(),
        ),
        Architecture::X86_64 | Architecture::X32 | Architecture::X86 => (
            vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
            [Architecture::X86_64, Architecture::X86, Architecture::X32].as_slice(),
        ),
    };
    let has = |name: &String| {
        let name = name.strip_prefix("CAP_").unwrap_or(name);
        Capability::from_str(name).is_ok_and(|capability| capabilities.contains(&capability))
    };
    let applies = |group: &&Group| {
        group.with_capability.as_ref().is_none_or(has)
            && !group.without_capability.as_ref().is_some_and(has)
            && group.since_kernel.is_none_or(|since| kernel >= since)
            && (group.architectures.is_empty()
                || names.iter().any(|arch| group.architectures.iter().any(|name| name == arch.name())))
    };
    let syscalls: Vec<LinuxSyscall> = groups.iter().filter(applies).flat_map(Group::rules).collect();
    #[allow(clippy::expect_used, reason = "the builder's fields all have values")]
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::EPERM.cast_unsigned())
        .architectures(architectures)
        .syscalls(syscalls)
        .build()
        .expect("a seccomp profile needs no more")
}

impl Group {
    /// One rule, or one for each alternative.
    fn rules(&self) -> Vec<LinuxSyscall> {
        let names: Vec<String> =
            self.calls.iter().flat_map(|calls| calls.split_whitespace()).map(str::to_owned).collect();
        let rule = |arguments: Option<LinuxSeccompArg>| {
            let mut rule = LinuxSyscallBuilder::default().names(names.clone());
            rule = match self.refuse_with {
                Some(errno) => rule.action(LinuxSeccompAction::ScmpActErrno).errno_ret(errno),
                None => rule.action(LinuxSeccompAction::ScmpActAllow),
            };
            if let Some(argument) = arguments {
                rule = rule.args(vec![argument]);
            }
            rule.build().ok()
        };
        if self.when.is_empty() {
            return rule(None).into_iter().collect();
        }
        self.when.iter().filter_map(|when| rule(when.argument())).collect()
    }
}

impl When {
    fn argument(&self) -> Option<LinuxSeccompArg> {
        let (operator, value, masked) = match self.test {
            Test::Is(value) => (LinuxSeccompOperator::ScmpCmpEq, value, None),
            Test::Below(value) => (LinuxSeccompOperator::ScmpCmpLt, value, None),
            Test::Above(value) => (LinuxSeccompOperator::ScmpCmpGt, value, None),
            Test::HasNoneOf(bits) => (LinuxSeccompOperator::ScmpCmpMaskedEq, bits, Some(0_u64)),
        };
        let mut argument = LinuxSeccompArgBuilder::default().index(self.argument).op(operator).value(value);
        if let Some(masked) = masked {
            argument = argument.value_two(masked);
        }
        argument.build().ok()
    }
}

/// The running kernel's version and patch level; 0.0 if it cannot be told, which permits the least.
pub(super) fn running_kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(profile: &LinuxSeccomp, name: &str) -> bool {
        profile.syscalls().iter().flatten().any(|rule| {
            rule.action() == LinuxSeccompAction::ScmpActAllow
                && rule.args().is_none()
                && rule.names().iter().any(|known| known == name)
        })
    }

    #[test]
    fn capabilities_open_what_they_are_for() {
        let none = expand(&GROUPS, &Capabilities::new(), (6, 1), Architecture::X86_64);
        let admin = [Capability::SysAdmin].into_iter().collect();
        let admin = expand(&GROUPS, &admin, (6, 1), Architecture::X86_64);
        for name in ["mount", "setns", "clone3", "bpf", "unshare"] {
            assert!(!allowed(&none, name), "{name} without CAP_SYS_ADMIN");
            assert!(allowed(&admin, name), "{name} with CAP_SYS_ADMIN");
        }
        for name in ["read", "execve", "futex", "epoll_pwait2", "arch_prctl"] {
            assert!(allowed(&none, name), "{name}");
        }
        for name in ["io_uring_setup", "keyctl", "kexec_load", "userfaultfd", "init_module"] {
            assert!(!allowed(&admin, name), "{name}");
        }
    }

    #[test]
    fn ptrace_is_safe_from_linux_4_8_on() {
        let none = Capabilities::new();
        assert!(!allowed(&expand(&GROUPS, &none, (4, 7), Architecture::X86_64), "ptrace"));
        assert!(allowed(&expand(&GROUPS, &none, (4, 8), Architecture::X86_64), "ptrace"));
    }

    #[test]
    fn clone3_is_unknown_so_that_libc_falls_back_to_clone() {
        let profile = expand(&GROUPS, &Capabilities::new(), (6, 1), Architecture::X86_64);
        let rule = profile.syscalls().iter().flatten().find(|rule| rule.names() == &["clone3"]).unwrap();
        assert_eq!(rule.errno_ret(), Some(38));
    }
}
