//! Processes of containers that begin another program, or end.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use beeline_abi::GroupCounters;

use crate::group::Counters;

/// The running process has executed a program.
#[inline(always)]
pub fn executed() -> Option<()> {
    // SAFETY: no memory is read; the pointer is to a value of a map.
    Counters::of_current()?.add(|counters: *mut GroupCounters| unsafe { &raw mut (*counters).execs }, 1);
    Some(())
}

/// The running thread ends; the first of a process stands for it.
#[inline(always)]
pub fn ended() -> Option<()> {
    let numbers = bpf_get_current_pid_tgid();
    if numbers >> 32 != numbers & 0xffff_ffff {
        return None;
    }
    // SAFETY: as above.
    Counters::of_current()?.add(|counters: *mut GroupCounters| unsafe { &raw mut (*counters).exits }, 1);
    Some(())
}
