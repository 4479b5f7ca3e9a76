//! Architectures: their audit numbers and system call tables.

use oci_spec::runtime::Arch;

/// Set in the number of every x32 call.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose calls a program tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Architecture {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
}

impl Architecture {
    /// What this program is compiled for.
    pub(super) const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// None for architectures whose kernels do not run this program.
    pub(super) fn from_oci(arch: Arch) -> Option<Self> {
        match arch {
            Arch::ScmpArchNative => Some(Self::NATIVE),
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX32 => Some(Self::X32),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            Arch::ScmpArchArm => Some(Self::Arm),
            _ => None,
        }
    }

    /// Docker's names: Go's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X32 => "x32",
            Self::X86 => "x86",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// `AUDIT_ARCH_*`. x32 shares x86_64's.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xC000_003E,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xC000_00B7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Every call's name and number.
    pub(super) fn table(self) -> Vec<(&'static str, u32)> {
        macro_rules! table {
            ($arch:ident) => {
                syscalls::$arch::Sysno::iter().map(|call| (call.name(), call.id().cast_unsigned())).collect()
            };
        }
        match self {
            Self::X86_64 => table!(x86_64),
            Self::X32 => x32(),
            Self::X86 => table!(x86),
            Self::Aarch64 => table!(aarch64),
            Self::Arm => {
                let mut table: Vec<(&str, u32)> = table!(arm);
                table.extend(ARM_PRIVATE);
                table
            }
        }
    }
}

/// ARM's own calls, which are not in the kernel's table.
const ARM_PRIVATE: [(&str, u32); 5] = [
    ("breakpoint", 0xf0001),
    ("cacheflush", 0xf0002),
    ("usr26", 0xf0003),
    ("usr32", 0xf0004),
    ("set_tls", 0xf0005),
];

/// Calls that x32 has under numbers of its own, as their pointers and longs are shorter: from 512 up.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// x32's table: x86_64's numbers, but for those calls.
fn x32() -> Vec<(&'static str, u32)> {
    let own = X32_OWN.iter().zip(512..).map(|(name, number)| (*name, X32_BIT | number));
    let shared = Architecture::X86_64.table().into_iter();
    let shared = shared.filter(|(name, number)| *number < 512 && !X32_OWN.contains(name));
    own.chain(shared.map(|(name, number)| (name, X32_BIT | number))).collect()
}
