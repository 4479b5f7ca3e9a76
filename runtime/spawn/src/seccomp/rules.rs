//! From a profile to what each architecture's program has to decide.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};

use super::Error;
use super::arch::{Architecture, X32_BIT};

/// `SECCOMP_RET_KILL_PROCESS`: for calls of an architecture that the profile does not have.
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
/// The most an action's data can be.
const MAX_DATA: u32 = 0xffff;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// `SECCOMP_RET_*`.
    Return(u32),
    /// The first rule that matches, else the default.
    Arguments { rules: Vec<Rule>, otherwise: u32 },
}

/// All comparisons hold: this happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) comparisons: Vec<Comparison>,
    pub(super) action: u32,
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) operator: LinuxSeccompOperator,
    pub(super) value: u64,
    /// What the argument masked with `value` has to be, for masked comparisons.
    pub(super) masked: u64,
}

/// What a program decides for one audit architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) audit: u32,
    /// From which number on which decision holds; starts at 0, ascending, neighbours differ.
    pub(super) ranges: Vec<(u32, Decision)>,
}

/// An entry of the profile.
struct Entry<'a> {
    action: u32,
    arguments: &'a [LinuxSeccompArg],
}

pub(super) fn sections(profile: &LinuxSeccomp) -> Result<Vec<Section>, Error> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut names: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
    for call in profile.syscalls().iter().flatten() {
        let action = action(call.action(), call.errno_ret())?;
        let arguments = call.args().as_deref().unwrap_or_default();
        for name in call.names() {
            if let Some(argument) = arguments.iter().find(|argument| argument.index() > 5) {
                return Err(Error::Argument { name: name.clone(), index: argument.index() });
            }
            names.entry(name).or_default().push(Entry { action, arguments });
        }
    }
    let mut architectures: Vec<Architecture> =
        profile.architectures().iter().flatten().filter_map(|arch| Architecture::from_oci(*arch)).collect();
    if !architectures.contains(&Architecture::NATIVE) {
        // Without its own architecture the container could not run at all.
        architectures.push(Architecture::NATIVE);
    }
    architectures.sort_unstable();
    architectures.dedup();
    let mut sections: Vec<Section> = Vec::new();
    for architecture in architectures {
        let ranges = ranges(architecture, &names, default);
        match sections.last_mut().filter(|last| last.audit == architecture.audit()) {
            // x32 is sorted after x86_64 and lies above it.
            Some(x86_64) => {
                x86_64.ranges.retain(|(start, _)| *start < X32_BIT);
                let above = ranges.into_iter().skip_while(|(start, _)| *start < X32_BIT);
                x86_64.ranges.extend(above);
            }
            None => sections.push(Section { audit: architecture.audit(), ranges }),
        }
    }
    for section in &mut sections {
        section.ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    }
    Ok(sections)
}

fn ranges(
    architecture: Architecture,
    names: &BTreeMap<&str, Vec<Entry<'_>>>,
    default: u32,
) -> Vec<(u32, Decision)> {
    let table = architecture.table().into_iter();
    let mut known: Vec<(u32, Decision)> = table
        .filter_map(|(name, number)| names.get(name).map(|entries| (number, decide(entries, default))))
        .collect();
    known.sort_by_key(|(number, _)| *number);
    let mut ranges = vec![(0, Decision::Return(default))];
    if architecture == Architecture::X32 {
        ranges.push((X32_BIT, Decision::Return(default)));
    }
    let unknown = is_refusal(default) && !known.is_empty();
    let above = Decision::Return(if unknown { ERRNO | libc::ENOSYS.cast_unsigned() } else { default });
    for (number, decision) in known {
        match ranges.last_mut() {
            Some(last) if last.0 == number => last.1 = decision,
            _ => ranges.push((number, decision)),
        }
        ranges.push((number + 1, Decision::Return(default)));
    }
    if let Some(last) = ranges.last_mut() {
        last.1 = above;
    }
    if architecture == Architecture::X86_64 {
        ranges.push((X32_BIT, Decision::Return(KILL_PROCESS)));
        ranges.push((u32::MAX, Decision::Return(default)));
    }
    ranges
}

/// Whether unknown calls are told apart from refused ones: not when the default lets calls through anyway.
fn is_refusal(default: u32) -> bool {
    const LOG: u32 = 0x7ffc_0000;
    const ALLOW: u32 = 0x7fff_0000;
    !matches!(default, ALLOW | LOG)
}

fn decide(entries: &[Entry<'_>], default: u32) -> Decision {
    // Rules that say what happens anyway would only hide others.
    let entries: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.action != default).collect();
    if let Some(entry) = entries.iter().find(|entry| entry.arguments.is_empty()) {
        return Decision::Return(entry.action);
    }
    let rules: Vec<Rule> = entries.into_iter().flat_map(rules).collect();
    if rules.is_empty() {
        Decision::Return(default)
    } else {
        Decision::Arguments { rules, otherwise: default }
    }
}

/// The rules of an entry: one, or one for each comparison when an argument is compared twice.
fn rules(entry: &Entry<'_>) -> Vec<Rule> {
    let comparisons: Vec<Comparison> = entry.arguments.iter().map(Comparison::from).collect();
    let twice = comparisons.iter().enumerate().any(|(number, comparison)| {
        comparisons.iter().skip(number + 1).any(|other| other.argument == comparison.argument)
    });
    let action = entry.action;
    if twice {
        comparisons.into_iter().map(|comparison| Rule { comparisons: vec![comparison], action }).collect()
    } else {
        vec![Rule { comparisons, action }]
    }
}

impl From<&LinuxSeccompArg> for Comparison {
    fn from(argument: &LinuxSeccompArg) -> Self {
        Self {
            // At most 5, as was checked.
            argument: u32::try_from(argument.index()).unwrap_or(0),
            operator: argument.op(),
            value: argument.value(),
            masked: argument.value_two().unwrap_or(0),
        }
    }
}

/// `SECCOMP_RET_*` with its data.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, Error> {
    match action {
        // Without data both mean EPERM.
        LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace => {
            Ok(action.as_u32(Some(errno.unwrap_or(libc::EPERM.cast_unsigned()).min(MAX_DATA))))
        }
        _ => Ok(action.as_u32(None)),
    }
}
