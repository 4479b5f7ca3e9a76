//! Whose a socket or a process is: the control groups of containers, and those that containers make below theirs.
//!
//! The daemon enters a container's group before the container runs, and takes it out when it has ended. Sockets belong to
//! the group of the process that made them; those that a listening socket accepts, to its group.

use core::arch::asm;

use aya_ebpf::{
    Global,
    btf_maps::{HashMap, LruHashMap, PerCpuHashMap},
    helpers::{bpf_get_current_cgroup_id, bpf_probe_read_kernel},
    macros::btf_map,
    programs::BtfTracePointContext,
};
use beeline_abi::{GroupCounters, GroupLatencies, Histogram, MAX_GROUPS, group_key};

use crate::maps::Table as _;

/// Where the kernel keeps what no helper tells, in bytes from the beginning of a structure: the daemon reads it from the
/// kernel's own description.
#[unsafe(no_mangle)]
pub static SOCK_CGROUP: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static CGROUP_NODE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static CGROUP_PARENT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static CGROUP_ROOT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static ROOT_NUMBER: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static NODE_ID: Global<u32> = Global::new(0);

/// The number of the one hierarchy whose groups sockets belong to: version 2's.
const UNIFIED: i32 = 0;

/// Do not take memory for entries that are not there (linux/bpf.h).
const NO_PREALLOC: usize = 1;

/// What containers did, by the number of their group.
#[btf_map]
static GROUPS: PerCpuHashMap<u64, GroupCounters, { MAX_GROUPS as usize }, NO_PREALLOC> = PerCpuHashMap::new();

/// How long containers waited, where that is asked for.
#[btf_map]
static LATENCIES: PerCpuHashMap<u64, GroupLatencies, { MAX_GROUPS as usize }, NO_PREALLOC> =
    PerCpuHashMap::new();

/// From a container's group in a hierarchy of version 1 to its group in version 2's: block devices know the former.
#[btf_map]
static ALIASES: HashMap<u64, u64, { MAX_GROUPS as usize }> = HashMap::new();

/// From a group that a container made below its own to the container's. Numbers are never used again, so the oldest may go.
#[btf_map]
static NESTED: LruHashMap<u64, u64, { MAX_GROUPS as usize }> = LruHashMap::new();

/// Counters that programs in every context add to: one may interrupt another on the same processor.
#[derive(Clone, Copy)]
pub struct Counters<T>(*mut T);

impl Counters<GroupCounters> {
    /// Of the container that a socket belongs to.
    #[inline(always)]
    pub fn of_socket(socket: u64) -> Option<Self> {
        Self::of(number_of(read(socket, SOCK_CGROUP.load())?)?)
    }

    /// Of the container that the running process belongs to.
    #[inline(always)]
    pub fn of_current() -> Option<Self> {
        // SAFETY: the helper has no arguments.
        Self::of(unsafe { bpf_get_current_cgroup_id() })
    }

    #[inline(always)]
    fn of(group: u64) -> Option<Self> {
        GROUPS.get_ptr_mut(group).or_else(|| GROUPS.get_ptr_mut(*NESTED.find(&group)?)).map(Self)
    }
}

impl Counters<GroupLatencies> {
    /// Of the container that a group belongs to, by its key.
    #[inline(always)]
    pub fn of_group(group: u64) -> Option<Self> {
        let nested = || LATENCIES.get_ptr_mut(*NESTED.find(&group).or_else(|| ALIASES.find(&group))?);
        LATENCIES.get_ptr_mut(group).or_else(nested).map(Self)
    }
}

impl<T> Counters<T> {
    /// Adds to the counter that `field` is.
    #[inline(always)]
    pub fn add(self, field: impl FnOnce(*mut T) -> *mut u64, number: u64) {
        add(field(self.0), number);
    }

    /// Counts how long a thing took in the histogram that `field` is.
    #[inline(always)]
    pub fn observe(self, field: impl FnOnce(*mut T) -> *mut Histogram, micros: u64) {
        let histogram = field(self.0);
        let index = Histogram::index(micros);
        // SAFETY: within the map's value; an index is within the counts.
        let (count, sum) = unsafe { (&raw mut (*histogram).counts[index], &raw mut (*histogram).sum) };
        add(count, 1);
        add(sum, micros);
    }
}

/// Adds in one step, whatever interrupts. The compiler has no atomic operation for this target but in assembly.
#[inline(always)]
fn add(counter: *mut u64, number: u64) {
    // SAFETY: the pointer is to a value of a map, which the verifier checks.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) number) }
}

/// The number of a control group.
#[inline(always)]
fn number_of(cgroup: u64) -> Option<u64> {
    read(read(cgroup, CGROUP_NODE.load())?, NODE_ID.load())
}

/// The key of a control group of any hierarchy: its number, for version 2's.
#[inline(always)]
pub fn key_of(cgroup: u64) -> Option<u64> {
    let hierarchy: i32 = read(read(cgroup, CGROUP_ROOT.load())?, ROOT_NUMBER.load())?;
    Some(group_key(hierarchy as u32, number_of(cgroup)?))
}

/// Reads a field of one of the kernel's structures.
#[inline(always)]
pub fn read<T>(structure: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper makes sure itself that there is memory; any bytes are a value of these types.
    unsafe { bpf_probe_read_kernel((structure + u64::from(offset)) as *const T) }.ok()
}

/// A control group was made: below a container's it is the container's.
#[inline(always)]
pub fn made(ctx: &BtfTracePointContext) -> Option<()> {
    let group: u64 = ctx.arg(0);
    if read::<i32>(read(group, CGROUP_ROOT.load())?, ROOT_NUMBER.load())? != UNIFIED {
        return None;
    }
    // What all of a group's subsystems have in common is at its beginning, so a parent's pointer is to the parent.
    let parent = number_of(read(group, CGROUP_PARENT.load())?)?;
    let owner = match NESTED.find(&parent) {
        Some(owner) => *owner,
        None if GROUPS.get_ptr(parent).is_some() => parent,
        None => return None,
    };
    NESTED.insert(number_of(group)?, owner, 0).ok()
}
