//! Programs are interpreted as the kernel would, and compared with what the profile says.

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator as Operator, LinuxSyscall, LinuxSyscallBuilder,
};
use proptest::prelude::*;

use super::arch::{Architecture, X32_BIT};
use super::codegen::{AND, ARGUMENTS, IF_AT_LEAST, IF_EQUAL, IF_GREATER, JUMP, LOAD, RETURN};
use super::{Program, compile, default_profile};

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X86_64: u32 = 0xC000_003E;
const I386: u32 = 0x4000_0003;

/// A system call as a filter sees it.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    fn new(number: u32) -> Self {
        Self { number, architecture: X86_64, arguments: [0; 6] }
    }

    fn with(self, arguments: &[u64]) -> Self {
        let mut call = self;
        call.arguments[..arguments.len()].copy_from_slice(arguments);
        call
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            _ => {
                let argument = self.arguments[(offset - ARGUMENTS) as usize / 8];
                (if offset.is_multiple_of(8) { argument } else { argument >> 32 }) as u32
            }
        }
    }
}

/// What the program returns, and after how many instructions.
fn interpret(program: &Program, call: &Call) -> (u32, usize) {
    let (mut at, mut register, mut count) = (0, 0, 0);
    loop {
        let instruction = program.instructions()[at];
        at += 1;
        count += 1;
        let branch = |taken| usize::from(if taken { instruction.jump_true } else { instruction.jump_false });
        match instruction.code {
            LOAD => register = call.word(instruction.value),
            AND => register &= instruction.value,
            JUMP => at += instruction.value as usize,
            IF_EQUAL => at += branch(register == instruction.value),
            IF_GREATER => at += branch(register > instruction.value),
            IF_AT_LEAST => at += branch(register >= instruction.value),
            RETURN => return (instruction.value, count),
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn result(program: &Program, call: Call) -> u32 {
    interpret(program, &call).0
}

fn number(name: &str) -> u32 {
    Architecture::X86_64.table().into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn profile(default: Action, rules: Vec<LinuxSyscall>) -> LinuxSeccomp {
    LinuxSeccompBuilder::default()
        .default_action(default)
        .architectures(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86])
        .syscalls(rules)
        .build()
        .unwrap()
}

fn rule(name: &str, action: Action, arguments: &[(usize, Operator, u64, u64)]) -> LinuxSyscall {
    let rule = LinuxSyscallBuilder::default().names(vec![name.to_owned()]).action(action);
    let argument = |(index, operator, value, second): &(usize, Operator, u64, u64)| {
        let argument = LinuxSeccompArgBuilder::default().index(*index).op(*operator).value(*value);
        argument.value_two(*second).build().unwrap()
    };
    rule.args(arguments.iter().map(argument).collect::<Vec<_>>()).build().unwrap()
}

fn default_program() -> Program {
    compile(&default_profile(&Capabilities::new())).unwrap()
}

#[test]
fn the_default_profile_allows_everyday_calls_and_refuses_others() {
    let program = default_program();
    for name in ["read", "openat", "mmap", "execve", "futex", "epoll_wait", "close_range", "rseq"] {
        assert_eq!(result(&program, Call::new(number(name))), ALLOW, "{name}");
    }
    for name in ["mount", "unshare", "keyctl", "bpf", "kexec_load", "io_uring_setup", "userfaultfd", "reboot"]
    {
        assert_eq!(result(&program, Call::new(number(name))), EPERM, "{name}");
    }
    assert_eq!(result(&program, Call::new(number("clone3"))), ENOSYS);
}

#[test]
fn the_default_profile_looks_at_arguments() {
    let program = default_program();
    let of = |name, arguments: &[u64]| result(&program, Call::new(number(name)).with(arguments));
    const NEWUSER: u64 = 0x1000_0000;
    assert_eq!(of("clone", &[17]), ALLOW);
    assert_eq!(of("clone", &[17 | NEWUSER]), EPERM);
    for (family, expected) in
        [(1, ALLOW), (2, ALLOW), (10, ALLOW), (38, EPERM), (39, ALLOW), (40, EPERM), (44, ALLOW)]
    {
        assert_eq!(of("socket", &[family, 1, 0]), expected, "address family {family}");
    }
    for (persona, expected) in
        [(0, ALLOW), (8, ALLOW), (0x20008, ALLOW), (0xffff_ffff, ALLOW), (0x40_0000, EPERM)]
    {
        assert_eq!(of("personality", &[persona]), expected, "personality {persona:#x}");
    }
}

#[test]
fn other_architectures_have_their_own_numbers() {
    let program = default_program();
    let call = |number, architecture| Call { architecture, ..Call::new(number) };
    // Number 21 is access on x86_64 and mount on x86.
    assert_eq!(result(&program, call(21, X86_64)), ALLOW);
    assert_eq!(result(&program, call(21, I386)), EPERM);
    assert_eq!(result(&program, call(3, 0xC000_00B7)), KILL_PROCESS);
    // x32: read, and execve under its own number; x86_64's execve is none of its.
    assert_eq!(result(&program, Call::new(X32_BIT)), ALLOW);
    assert_eq!(result(&program, Call::new(X32_BIT | 520)), ALLOW);
    assert_eq!(result(&program, Call::new(X32_BIT | 59)), EPERM);
}

#[test]
fn x32_is_killed_when_the_profile_does_not_have_it() {
    let profile = profile(Action::ScmpActErrno, vec![rule("read", Action::ScmpActAllow, &[])]);
    let program = compile(&profile).unwrap();
    assert_eq!(result(&program, Call::new(0)), ALLOW);
    assert_eq!(result(&program, Call::new(X32_BIT)), KILL_PROCESS);
    // What a tracer skips has number -1.
    assert_eq!(result(&program, Call::new(u32::MAX)), EPERM);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let rules = || vec![rule("openat2", Action::ScmpActAllow, &[])];
    let refuse = compile(&profile(Action::ScmpActErrno, rules())).unwrap();
    assert_eq!(result(&refuse, Call::new(number("openat2") - 1)), EPERM);
    assert_eq!(result(&refuse, Call::new(number("openat2") + 1)), ENOSYS);
    let allow = compile(&profile(Action::ScmpActAllow, rules())).unwrap();
    assert_eq!(result(&allow, Call::new(number("openat2") + 1)), ALLOW);
}

#[test]
fn a_remembered_program_is_the_compiled_one() {
    let profile = default_profile(&crate::container::defaults::capabilities());
    let anew = compile(&profile).unwrap();
    super::remember_default();
    assert_eq!(compile(&profile).unwrap(), anew);
    assert_ne!(compile(&default_profile(&Capabilities::new())).unwrap(), anew);
}

#[test]
fn a_program_survives_being_kept() {
    let program = default_program();
    let bytes = program.to_bytes();
    assert_eq!(Program::from_bytes(&bytes).as_ref(), Some(&program));
    for broken in [&bytes[1..], &bytes[..bytes.len() - 1], &bytes[..12], b""] {
        assert_eq!(Program::from_bytes(broken), None);
    }
}

#[test]
fn every_action_has_its_value() {
    let actions = [
        (Action::ScmpActKill, 0),
        (Action::ScmpActKillProcess, KILL_PROCESS),
        (Action::ScmpActTrap, 0x0003_0000),
        (Action::ScmpActTrace, 0x7ff0_0001),
        (Action::ScmpActLog, 0x7ffc_0000),
        (Action::ScmpActNotify, 0x7fc0_0000),
    ];
    for (action, value) in actions {
        let program = compile(&profile(Action::ScmpActAllow, vec![rule("read", action, &[])])).unwrap();
        assert_eq!(result(&program, Call::new(0)), value);
    }
    let seventh = rule("read", Action::ScmpActErrno, &[(6, Operator::ScmpCmpEq, 0, 0)]);
    assert!(compile(&profile(Action::ScmpActAllow, vec![seventh])).is_err());
}

#[test]
fn comparisons_of_one_argument_are_alternatives() {
    let both = [(0, Operator::ScmpCmpEq, 1, 0), (0, Operator::ScmpCmpEq, 2, 0)];
    let program =
        compile(&profile(Action::ScmpActErrno, vec![rule("read", Action::ScmpActAllow, &both)])).unwrap();
    let read = |value| result(&program, Call::new(0).with(&[value]));
    assert_eq!([1, 2, 3].map(read), [ALLOW, ALLOW, EPERM]);
}

#[test]
fn a_call_costs_few_instructions() {
    let program = default_program();
    for name in ["read", "write", "openat", "futex", "epoll_wait", "sendto"] {
        let (_, count) = interpret(&program, &Call::new(number(name)));
        assert!(count <= 14, "{name}: {count} instructions");
    }
}

fn holds(operator: Operator, argument: u64, value: u64, second: u64) -> bool {
    match operator {
        Operator::ScmpCmpNe => argument != value,
        Operator::ScmpCmpLt => argument < value,
        Operator::ScmpCmpLe => argument <= value,
        Operator::ScmpCmpEq => argument == value,
        Operator::ScmpCmpGe => argument >= value,
        Operator::ScmpCmpGt => argument > value,
        Operator::ScmpCmpMaskedEq => argument & value == second,
    }
}

fn operator() -> impl Strategy<Value = Operator> {
    prop_oneof![
        Just(Operator::ScmpCmpNe),
        Just(Operator::ScmpCmpLt),
        Just(Operator::ScmpCmpLe),
        Just(Operator::ScmpCmpEq),
        Just(Operator::ScmpCmpGe),
        Just(Operator::ScmpCmpGt),
        Just(Operator::ScmpCmpMaskedEq),
    ]
}

/// Values whose halves are equal, next to each other or far apart.
fn value() -> impl Strategy<Value = u64> {
    let half = || {
        prop_oneof![Just(0_u64), Just(1), Just(2), Just(0x7fff_ffff), Just(0xffff_fffe), Just(0xffff_ffff)]
    };
    prop_oneof![3 => (half(), half()).prop_map(|(high, low)| high << 32 | low), 1 => any::<u64>()]
}

proptest! {
    #[test]
    fn argument_comparisons_mean_what_they_say(
        operators in [operator(), operator()],
        values in [value(), value()],
        seconds in [value(), value()],
        arguments in [value(), value()],
    ) {
        let comparisons = [(1, operators[0], values[0], seconds[0]), (4, operators[1], values[1], seconds[1])];
        let rules = vec![rule("write", Action::ScmpActAllow, &comparisons)];
        let program = compile(&profile(Action::ScmpActErrno, rules)).unwrap();
        let call = Call::new(1).with(&[9, arguments[0], 9, 9, arguments[1], 9]);
        let expected = (0..2).all(|at| holds(operators[at], arguments[at], values[at], seconds[at]));
        prop_assert_eq!(result(&program, call), if expected { ALLOW } else { EPERM });
    }

    #[test]
    fn any_set_of_calls_is_told_apart(chosen in proptest::collection::vec(0_usize..383, 0..200), asked in 0_u32..500) {
        let table = Architecture::X86_64.table();
        let names: Vec<&str> = chosen.iter().map(|index| table[*index % table.len()].0).collect();
        let rules = names.iter().map(|name| rule(name, Action::ScmpActAllow, &[])).collect();
        let program = compile(&profile(Action::ScmpActErrno, rules)).unwrap();
        let highest = names.iter().map(|name| number(name)).max();
        let expected = match table.iter().find(|(_, number)| *number == asked) {
            Some((name, _)) if names.contains(name) => ALLOW,
            _ if highest.is_some_and(|highest| asked > highest) => ENOSYS,
            _ => EPERM,
        };
        prop_assert_eq!(result(&program, Call::new(asked)), expected);
    }
}
