//! When and where the kernel lets a process run: scheduler, input and output, processors, memory nodes.

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process,
    Scheduler,
};
use rustix::thread::CpuSet;

use crate::container::Error;
use crate::container::step::{Op, Step};

/// `PER_LINUX32`.
const LINUX32: libc::c_ulong = 8;

/// The kernel's `struct sched_attr`, in its first version.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) struct Scheduling {
    pub(in crate::container) size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Processors, by their numbers.
#[derive(Debug, Clone, Copy)]
pub(in crate::container) struct Affinity(pub(in crate::container) CpuSet);

pub(super) fn steps(process: &Process, steps: &mut Vec<Step>) -> Result<(), Error> {
    if let Some(scheduler) = process.scheduler() {
        let what = format!("set the scheduler to {}", scheduler.policy());
        steps.push(Step::new(what, Op::Scheduler(scheduling(scheduler)?)));
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = priority.priority();
        let level = libc::c_int::try_from(level).ok().filter(|level| (0..8).contains(level));
        let level =
            level.ok_or_else(|| Error::config("process.ioPriority.priority is not between 0 and 7"))?;
        steps.push(Step::new("set the I/O priority", Op::IoPriority(class << 13 | level)));
    }
    Ok(())
}

/// The execution domain of a container's processes.
pub(super) fn personality(linux: &Linux, steps: &mut Vec<Step>) -> Result<(), Error> {
    if let Some(personality) = linux.personality() {
        if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
            return Err(Error::unsupported("linux.personality.flags"));
        }
        let domain = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => LINUX32,
        };
        steps.push(Step::new("set the personality", Op::Personality(domain)));
    }
    Ok(())
}

/// The processors that a further process of a container may run on, from here on.
pub(super) fn affinity(list: Option<&str>, steps: &mut Vec<Step>) -> Result<(), Error> {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(()) };
    let processors = Affinity::parse(list, "process.execCPUAffinity")?;
    steps.push(Step::new(format!("run on processors {list}"), Op::Affinity(processors)));
    Ok(())
}

fn scheduling(scheduler: &Scheduler) -> Result<Scheduling, Error> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => libc::SCHED_OTHER,
        LinuxSchedulerPolicy::SchedFifo => libc::SCHED_FIFO,
        LinuxSchedulerPolicy::SchedRr => libc::SCHED_RR,
        LinuxSchedulerPolicy::SchedBatch => libc::SCHED_BATCH,
        LinuxSchedulerPolicy::SchedIdle => libc::SCHED_IDLE,
        LinuxSchedulerPolicy::SchedDeadline => libc::SCHED_DEADLINE,
        LinuxSchedulerPolicy::SchedIso => return Err(Error::unsupported("process.scheduler SCHED_ISO")),
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    Ok(Scheduling {
        size: u32::try_from(size_of::<Scheduling>()).unwrap_or(0),
        policy: policy.cast_unsigned(),
        flags: scheduler.flags().iter().flatten().map(flag).fold(0, |flags, flag| flags | flag),
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(scheduler.priority().unwrap_or(0))
            .map_err(|_| Error::config("process.scheduler.priority is negative"))?,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    })
}

impl Affinity {
    /// Reads a list of processors: `0-3,7`.
    pub(in crate::container) fn parse(list: &str, field: &str) -> Result<Self, Error> {
        let wrong = || Error::config(format!("{field} {list:?} is no list of processors"));
        let mut set = CpuSet::new();
        for part in list.split(',') {
            let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            let number = |text: &str| text.parse::<usize>().ok().filter(|cpu| *cpu < CpuSet::MAX_CPU);
            let (first, last) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
            if first > last {
                return Err(wrong());
            }
            (first..=last).for_each(|cpu| set.set(cpu));
        }
        Ok(Self(set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read_with_its_ranges() {
        let set = Affinity::parse("0-2,5", "x").unwrap().0;
        let cpus: Vec<usize> = (0..8).filter(|cpu| set.is_set(*cpu)).collect();
        assert_eq!(cpus, [0, 1, 2, 5]);
        for wrong in ["", "a", "3-1", "0-", "99999"] {
            assert!(Affinity::parse(wrong, "x").is_err(), "{wrong:?}");
        }
    }
}
