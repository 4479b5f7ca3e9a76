//! From decisions to instructions of the kernel's classic BPF.
//!
//! Only forward jumps exist, and a conditional one reaches 255 instructions; an unconditional one reaches any.

use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::Instruction;
use super::rules::{Comparison, Decision, KILL_PROCESS, Rule, Section};

/// `BPF_LD | BPF_W | BPF_ABS`: load a word of the call's data.
pub(super) const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub(super) const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
pub(super) const IF_GREATER: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub(super) const IF_AT_LEAST: u16 = 0x35;
/// `BPF_RET | BPF_K`.
pub(super) const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
/// The first argument's; each has eight bytes, the low half first on a little-endian machine.
pub(super) const ARGUMENTS: u32 = 16;

fn plain(code: u16, value: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, value }
}

/// An unconditional jump over `count` instructions.
fn jump(count: usize) -> Instruction {
    plain(JUMP, u32::try_from(count).unwrap_or(u32::MAX))
}

pub(super) fn program(sections: &[Section]) -> Vec<Instruction> {
    let mut program = vec![plain(LOAD, ARCHITECTURE)];
    for section in sections {
        let body = tree(&section.ranges);
        program.push(Instruction { code: IF_EQUAL, jump_true: 1, jump_false: 0, value: section.audit });
        program.push(jump(body.len() + 1));
        program.push(plain(LOAD, NUMBER));
        program.extend(body);
    }
    program.push(plain(RETURN, KILL_PROCESS));
    program
}

/// A balanced tree of comparisons over ranges.
fn tree(ranges: &[(u32, Decision)]) -> Vec<Instruction> {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    match (left, right) {
        ([], []) => Vec::new(),
        ([], [(_, decision), ..]) => leaf(decision),
        (_, [(start, _), ..]) => {
            let (left, right) = (tree(left), tree(right));
            let mut code = match u8::try_from(left.len()) {
                Ok(over) => {
                    vec![Instruction { code: IF_AT_LEAST, jump_true: over, jump_false: 0, value: *start }]
                }
                Err(_) => vec![
                    Instruction { code: IF_AT_LEAST, jump_true: 0, jump_false: 1, value: *start },
                    jump(left.len()),
                ],
            };
            code.extend(left);
            code.extend(right);
            code
        }
        (_, []) => Vec::new(),
    }
}

fn leaf(decision: &Decision) -> Vec<Instruction> {
    match decision {
        Decision::Return(action) => vec![plain(RETURN, *action)],
        Decision::Arguments { rules, otherwise } => {
            let mut code: Vec<Instruction> = rules.iter().flat_map(rule).collect();
            code.push(plain(RETURN, *otherwise));
            code
        }
    }
}

/// Where a jump of a comparison leads.
#[derive(Clone, Copy)]
enum Goal {
    /// The next instruction.
    Next,
    /// Behind the comparison: it holds.
    Holds,
    /// Behind the rule: it does not match.
    Fails,
}

type Draft = (Instruction, Goal, Goal);

fn rule(rule: &Rule) -> Vec<Instruction> {
    let drafts: Vec<Vec<Draft>> = rule.comparisons.iter().map(|comparison| compare(*comparison)).collect();
    // At most six comparisons of seven instructions: every distance fits.
    let end: usize = drafts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(end);
    let mut behind = 0;
    for draft in drafts {
        behind += draft.len();
        for (instruction, if_true, if_false) in draft {
            let here = code.len() + 1;
            let distance = |goal| {
                let target = match goal {
                    Goal::Next => here,
                    Goal::Holds => behind,
                    Goal::Fails => end,
                };
                u8::try_from(target - here).unwrap_or(u8::MAX)
            };
            let (jump_true, jump_false) = (distance(if_true), distance(if_false));
            code.push(Instruction { jump_true, jump_false, ..instruction });
        }
    }
    code.push(plain(RETURN, rule.action));
    code
}

/// A comparison of 64 bits in halves: the high one decides unless it is equal.
fn compare(comparison: Comparison) -> Vec<Draft> {
    let low_at = ARGUMENTS + 8 * comparison.argument;
    let high_at = low_at + 4;
    let load = |at| (plain(LOAD, at), Goal::Next, Goal::Next);
    let test = |code, value, if_true, if_false| (plain(code, value), if_true, if_false);
    let (high, low) = halves(comparison.value);
    let (holds, fails) = (Goal::Holds, Goal::Fails);
    let ordered = |code, if_true: Goal, if_false: Goal| {
        vec![
            load(high_at),
            test(IF_GREATER, high, if_true, Goal::Next),
            test(IF_EQUAL, high, Goal::Next, if_false),
            load(low_at),
            test(code, low, if_true, if_false),
        ]
    };
    match comparison.operator {
        Operator::ScmpCmpEq => vec![
            load(high_at),
            test(IF_EQUAL, high, Goal::Next, fails),
            load(low_at),
            test(IF_EQUAL, low, holds, fails),
        ],
        Operator::ScmpCmpNe => vec![
            load(high_at),
            test(IF_EQUAL, high, Goal::Next, holds),
            load(low_at),
            test(IF_EQUAL, low, fails, holds),
        ],
        Operator::ScmpCmpGt => ordered(IF_GREATER, holds, fails),
        Operator::ScmpCmpGe => ordered(IF_AT_LEAST, holds, fails),
        Operator::ScmpCmpLt => ordered(IF_AT_LEAST, fails, holds),
        Operator::ScmpCmpLe => ordered(IF_GREATER, fails, holds),
        Operator::ScmpCmpMaskedEq => {
            let (high_value, low_value) = halves(comparison.masked);
            vec![
                load(high_at),
                (plain(AND, high), Goal::Next, Goal::Next),
                test(IF_EQUAL, high_value, Goal::Next, fails),
                load(low_at),
                (plain(AND, low), Goal::Next, Goal::Next),
                test(IF_EQUAL, low_value, holds, fails),
            ]
        }
    }
}

/// The high and the low half.
fn halves(value: u64) -> (u32, u32) {
    #[allow(clippy::cast_possible_truncation, reason = "the halves of a 64-bit value")]
    let halves = ((value >> 32) as u32, value as u32);
    halves
}
