//! Seccomp: OCI profiles compiled to the kernel's filter programs, and Docker's default profile.
//!
//! A program branches on the architecture, then finds the system call's number in a balanced tree of comparisons: about
//! eight instructions for any call. Calls whose arguments matter end in a chain of argument comparisons. What depends on
//! number and architecture alone the kernel evaluates once and caches (5.11), so the common case costs nothing.

mod arch;
mod codegen;
mod docker;
mod profile;
mod rules;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

pub use docker::{ProfileError, docker_profile};
pub use profile::default_profile;

#[cfg(test)]
mod tests;

/// Why a profile cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule compares an argument that system calls do not have.
    #[error("seccomp: a rule for {name} compares argument {index}; system calls have arguments 0 to 5")]
    Argument {
        /// The system call.
        name: String,
        /// The argument's index.
        index: usize,
    },
    /// The program is longer than the kernel takes.
    #[error("seccomp: the profile compiles to {0} instructions, more than the kernel's 4096")]
    TooLong(usize),
}

/// Whether a profile has somebody asked about a call.
pub(crate) fn asks(profile: &LinuxSeccomp) -> bool {
    let notify = LinuxSeccompAction::ScmpActNotify;
    profile.default_action() == notify
        || profile.syscalls().iter().flatten().any(|call| call.action() == notify)
}

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) value: u32,
}

impl fmt::Debug for Instruction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, jump_true, jump_false, value } = self;
        write!(formatter, "({code:#x}, {jump_true}, {jump_false}, {value:#x})")
    }
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

impl Program {
    pub(crate) fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*`.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }
}

/// The annotation with the path of the profile's compiled program ([`Program::to_bytes`]), which an engine has made once
/// for all containers with the same profile.
pub const PROGRAM: &str = "beeline.seccomp-program";

/// What a program's bytes begin with; the number is that of the layout.
const MAGIC: &[u8; 8] = b"seccomp1";

impl Program {
    /// The program as it is kept in a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.flags.to_ne_bytes());
        for Instruction { code, jump_true, jump_false, value } in &self.instructions {
            bytes.extend(code.to_ne_bytes());
            bytes.extend([*jump_true, *jump_false]);
            bytes.extend(value.to_ne_bytes());
        }
        bytes
    }

    /// The program in a file's bytes. None if they are not a whole one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, code) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (instructions, rest) = code.as_chunks();
        if !rest.is_empty() || instructions.is_empty() {
            return None;
        }
        let instruction = |&[a, b, jump_true, jump_false, c, d, e, f]: &[u8; 8]| Instruction {
            code: u16::from_ne_bytes([a, b]),
            jump_true,
            jump_false,
            value: u32::from_ne_bytes([c, d, e, f]),
        };
        Some(Self {
            instructions: instructions.iter().map(instruction).collect(),
            flags: u32::from_ne_bytes(*flags),
        })
    }
}

/// The most instructions the kernel takes.
const MAX_INSTRUCTIONS: usize = 4096;

/// Compiles a profile.
///
/// As in libseccomp and runc: a rule without arguments decides a call alone; rules with arguments are tried in order;
/// comparisons of one argument within one rule are alternatives; names that the kernel's tables do not have are left out;
/// and when the default action is a refusal, calls newer than all that the profile names fail with `ENOSYS`, which
/// programs take for an old kernel.
///
/// # Errors
/// The profile compares an argument that does not exist, or is too long.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program, Error> {
    let remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    match remembered.iter().find(|(known, _)| known == profile) {
        Some((_, program)) => Ok(program.clone()),
        None => compile_anew(profile),
    }
}

/// Profiles that were compiled: the one that most containers have, and what a shim was given.
static REMEMBERED: Mutex<Vec<(LinuxSeccomp, Program)>> = Mutex::new(Vec::new());

/// Makes [`compile`] answer with `program`, for this process and those it forks.
pub fn remember(profile: LinuxSeccomp, program: Program) {
    REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner).push((profile, program));
}

/// Forgets all profiles: a process that needs none any more has their memory for others.
pub fn forget() {
    *REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
}

/// Compiles Docker's default profile once and for all, for this process and those it forks: a spawner calls it before it
/// forks shims, which then copy the program instead of compiling it.
pub fn remember_default() {
    let profile = default_profile(&crate::container::defaults::capabilities());
    if let Ok(program) = compile_anew(&profile) {
        remember(profile, program);
    }
}

fn compile_anew(profile: &LinuxSeccomp) -> Result<Program, Error> {
    let sections = rules::sections(profile)?;
    let instructions = codegen::program(&sections);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(Error::TooLong(instructions.len()));
    }
    let flags = profile.flags().iter().flatten().map(flag).fold(0, |flags, flag| flags | flag);
    Ok(Program { instructions, flags })
}

/// The kernel's value. `TSYNC` means nothing to a process with one thread.
fn flag(flag: &LinuxSeccompFilterFlag) -> u32 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => 1 << 1,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 1 << 2,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 1 << 5,
    }
}
