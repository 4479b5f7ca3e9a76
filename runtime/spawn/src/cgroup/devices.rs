//! Device rules on cgroup2: a BPF program that the kernel asks at every access.
//!
//! The last rule that fits decides, and without one the access is refused: so the program looks at them from the last to
//! the first. A rule that allows fits if it has all that is asked for, one that refuses if it has any of it.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// One instruction, as the kernel lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    /// The destination in the lower half, the source in the upper one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `BPF_LDX | BPF_MEM | BPF_W`, and what is done with 32 bits of registers.
const LOAD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE: u8 = 0xb4;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_UNLESS_EQUAL_REGISTER: u8 = 0x5e;
const JUMP_IF_EQUAL: u8 = 0x16;
const EXIT: u8 = 0x95;

/// What registers hold: the answer, the kernel's question and then what is compared, and the question's parts.
const ANSWER: u8 = 0;
const SCRATCH: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const EVERYTHING: i32 = MKNOD | READ | WRITE;

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

/// The program for `rules`; none if they allow everything.
pub(super) fn program(rules: &[LinuxDeviceCgroup]) -> Option<Vec<Instruction>> {
    if rules.last().is_none_or(|rule| rule.allow() && fits_always(rule)) {
        return None;
    }
    let mut program = vec![
        instruction(LOAD, KIND, SCRATCH, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD, ACCESS, SCRATCH, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD, MAJOR, SCRATCH, 4, 0),
        instruction(LOAD, MINOR, SCRATCH, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(block(rule));
        // The kernel refuses a program with instructions that are never reached.
        if fits_always(rule) {
            return Some(program);
        }
    }
    program.extend([instruction(MOVE, ANSWER, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    Some(program)
}

fn fits_always(rule: &LinuxDeviceCgroup) -> bool {
    let numbers = [rule.major(), rule.minor()];
    kind(rule).is_none()
        && numbers.into_iter().all(|wanted| number(wanted).is_none())
        && access(rule) == EVERYTHING
}

/// The instructions of one rule; those that find it does not fit jump behind its end.
fn block(rule: &LinuxDeviceCgroup) -> Vec<Instruction> {
    let mut block = Vec::with_capacity(8);
    if let Some(kind) = kind(rule) {
        block.push(instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, kind));
    }
    let access = access(rule);
    if access != EVERYTHING {
        block.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
        block.push(instruction(AND, SCRATCH, 0, 0, access));
        block.push(if rule.allow() {
            instruction(JUMP_UNLESS_EQUAL_REGISTER, SCRATCH, ACCESS, 0, 0)
        } else {
            instruction(JUMP_IF_EQUAL, SCRATCH, 0, 0, 0)
        });
    }
    for (register, wanted) in [(MAJOR, rule.major()), (MINOR, rule.minor())] {
        if let Some(number) = number(wanted) {
            block.push(instruction(JUMP_UNLESS_EQUAL, register, 0, 0, number));
        }
    }
    block.push(instruction(MOVE, ANSWER, 0, 0, rule.allow().into()));
    block.push(instruction(EXIT, 0, 0, 0, 0));
    let length = block.len();
    for (at, instruction) in block.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP_UNLESS_EQUAL | JUMP_UNLESS_EQUAL_REGISTER | JUMP_IF_EQUAL) {
            // At most nine.
            instruction.offset = i16::try_from(length - at - 1).unwrap_or(i16::MAX);
        }
    }
    block
}

fn kind(rule: &LinuxDeviceCgroup) -> Option<i32> {
    match rule.typ() {
        Some(LinuxDeviceType::B) => Some(BLOCK),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHARACTER),
        _ => None,
    }
}

fn number(number: Option<i64>) -> Option<i32> {
    number.filter(|number| *number >= 0).and_then(|number| i32::try_from(number).ok())
}

fn access(rule: &LinuxDeviceCgroup) -> i32 {
    let text = rule.access().as_deref().unwrap_or("rwm");
    [('m', MKNOD), ('r', READ), ('w', WRITE)]
        .into_iter()
        .filter(|(letter, _)| text.contains(*letter))
        .map(|(_, bit)| bit)
        .sum()
}

/// bpf(2): commands, the kind of program, where it is attached, and that groups above keep theirs.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// `union bpf_attr` for `BPF_PROG_LOAD`, up to what is used.
#[derive(Default)]
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads the program and attaches it to a group, with which it goes.
pub(super) fn attach(group: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        attach_type: CGROUP_DEVICE,
        ..Load::default()
    };
    let loaded = bpf(PROG_LOAD, &load)?;
    // SAFETY: the kernel has made the descriptor for this call, and nobody else owns it.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let number = |fd: RawFd| u32::try_from(fd).map_err(io::Error::other);
    let attach = Attach {
        target: number(group.as_raw_fd())?,
        program: number(loaded.as_raw_fd())?,
        attach_type: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROG_ATTACH, &attach).map(drop)
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the attributes are live, laid out as the command wants them, of the size given, and point to live memory of
    // the lengths they say; the kernel only reads.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(result).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::container::defaults::device_rules;

    fn rule(allow: bool, kind: LinuxDeviceType, major: i64, minor: i64, access: &str) -> LinuxDeviceCgroup {
        let rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).major(major).minor(minor);
        rule.access(access).build().unwrap()
    }

    /// What the program answers: an interpreter of the few instructions there are.
    fn allows(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let mut registers = [0_i32; 6];
        let context = [access << 16 | kind, major, minor];
        let mut at = 0;
        loop {
            let Instruction { code, registers: both, offset, immediate } = program[at];
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            let mut jump = false;
            match code {
                LOAD => registers[to] = context[usize::try_from(offset).unwrap() / 4],
                AND => registers[to] &= immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE => registers[to] = immediate,
                JUMP_UNLESS_EQUAL => jump = registers[to] != immediate,
                JUMP_UNLESS_EQUAL_REGISTER => jump = registers[to] != registers[from],
                JUMP_IF_EQUAL => jump = registers[to] == immediate,
                EXIT => return registers[0] == 1,
                _ => panic!("unknown instruction {code:#x}"),
            }
            at += 1 + if jump { usize::try_from(offset).unwrap() } else { 0 };
        }
    }

    /// Whether every instruction can be reached, which the kernel wants of a program.
    fn is_reached_as_a_whole(program: &[Instruction]) -> bool {
        let mut reached = vec![false; program.len()];
        let mut ways = vec![0];
        while let Some(at) = ways.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            let Instruction { code, offset, .. } = program[at];
            if matches!(code, JUMP_UNLESS_EQUAL | JUMP_UNLESS_EQUAL_REGISTER | JUMP_IF_EQUAL) {
                ways.push(at + 1 + usize::try_from(offset).unwrap());
            }
            if code != EXIT {
                ways.push(at + 1);
            }
        }
        reached.into_iter().all(|reached| reached)
    }

    #[test]
    fn dockers_rules_let_devices_be_made_and_the_common_ones_be_used() {
        let program = program(&device_rules()).unwrap();
        assert!(is_reached_as_a_whole(&program));
        assert!(allows(&program, CHARACTER, READ | WRITE, 1, 3), "null");
        assert!(allows(&program, CHARACTER, READ, 136, 7), "a terminal");
        assert!(allows(&program, BLOCK, MKNOD, 8, 0), "a disk's node");
        assert!(!allows(&program, BLOCK, READ, 8, 0), "a disk");
        assert!(!allows(&program, BLOCK, READ | MKNOD, 8, 0), "both at once");
        assert!(!allows(&program, CHARACTER, WRITE, 1, 1), "memory");
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let all = rule(true, LinuxDeviceType::A, -1, -1, "rwm");
        assert_eq!(program(std::slice::from_ref(&all)), None);
        let mut rules = device_rules();
        rules.push(rule(true, LinuxDeviceType::B, 8, -1, "r"));
        let added = program(&rules).unwrap();
        assert!(allows(&added, BLOCK, READ, 8, 1) && !allows(&added, BLOCK, READ | WRITE, 8, 1));
        let denied = program(&[all, rule(false, LinuxDeviceType::C, 10, 200, "w")]).unwrap();
        assert!(!allows(&denied, CHARACTER, READ | WRITE, 10, 200));
        assert!(allows(&denied, CHARACTER, READ, 10, 200) && allows(&denied, CHARACTER, WRITE, 10, 201));
    }

    proptest! {
        #[test]
        fn the_program_does_what_the_rules_say(
            rules in prop::collection::vec((any::<bool>(), 0..3, -1_i64..3, -1_i64..3, 1..8), 1..8),
            question in (1..3, 1..8, 0..3, 0..3),
        ) {
            let (kind, access, major, minor) = question;
            let text = |bits: i32| {
                let letters = [("m", MKNOD), ("r", READ), ("w", WRITE)];
                letters.into_iter().filter(|(_, bit)| bits & bit != 0).map(|(letter, _)| letter).collect::<String>()
            };
            let kinds = [LinuxDeviceType::A, LinuxDeviceType::B, LinuxDeviceType::C];
            let expected = rules.iter().rev().find(|(allow, of, first, second, bits)| {
                let fits = if *allow { access & !bits == 0 } else { access & bits != 0 };
                let same = |wanted: i64, is: i32| wanted < 0 || wanted == i64::from(is);
                fits && (*of == 0 || *of == kind) && same(*first, major) && same(*second, minor)
            });
            let built: Vec<_> = rules
                .iter()
                .map(|(allow, of, first, second, bits)| {
                    rule(*allow, kinds[usize::try_from(*of).unwrap()], *first, *second, &text(*bits))
                })
                .collect();
            let program = program(&built);
            prop_assert!(program.as_ref().is_none_or(|program| is_reached_as_a_whole(program)));
            let answer = program.is_none_or(|program| allows(&program, kind, access, major, minor));
            prop_assert_eq!(answer, expected.is_some_and(|rule| rule.0));
        }
    }
}
