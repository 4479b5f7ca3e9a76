//! How long containers wait for a processor, and for block devices. Asked for by a setting: these programs run with every
//! switch of a processor.

use core::ptr::read_volatile;

use aya_ebpf::{
    Global,
    btf_maps::{HashMap, LruHashMap},
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::btf_map,
    programs::BtfTracePointContext,
};
use beeline_abi::{BlockRequest, GroupLatencies};

use crate::{
    group::{CGROUP_NODE, Counters, NODE_ID, key_of, read},
    maps::Table as _,
};

/// Where the kernel keeps what no helper tells, see [`crate::group`].
#[unsafe(no_mangle)]
pub static TASK_NUMBER: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_STATE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_CGROUPS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static CGROUPS_UNIFIED: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static REQUEST_BIO: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static BIO_GROUP: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static GROUP_BLOCK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static BLOCK_CGROUP: Global<u32> = Global::new(0);

const RUNNING: u32 = 0;

/// In place of a time: the thread does not wait.
const RUNS: u64 = 0;

/// Since when containers' threads wait, by their number.
#[btf_map]
static RUNNABLE: HashMap<u32, u64, 32768> = HashMap::new();

/// The requests of containers that block devices have. One that is lost has no latency.
#[btf_map]
static REQUESTS: LruHashMap<u64, BlockRequest, 16384> = LruHashMap::new();

/// Reads a field by a pointer whose type the verifier knows: no call, as for those that it does not.
macro_rules! follow {
    ($pointer:expr, $offset:expr, $type:ty) => {
        // SAFETY: the kernel reads zero where there is no memory.
        unsafe { read_volatile(($pointer + u64::from($offset.load())) as *const $type) }
    };
}

/// A thread can run.
#[inline(always)]
pub fn woken(ctx: &BtfTracePointContext) -> Option<()> {
    let thread: u64 = ctx.arg(0);
    wait(follow!(thread, TASK_NUMBER, u32), || group_of(thread))
}

/// A processor goes from one thread to another.
#[inline(always)]
pub fn switched(ctx: &BtfTracePointContext) -> Option<()> {
    let (before, next): (u64, u64) = (ctx.arg(1), ctx.arg(2));
    // One that could go on waits from now on.
    if follow!(before, TASK_STATE, u32) == RUNNING {
        // SAFETY: the helper has no arguments; the thread before is still the current one.
        let _ = wait(follow!(before, TASK_NUMBER, u32), || unsafe { bpf_get_current_cgroup_id() });
    }
    let began = RUNNABLE.find_mut(&follow!(next, TASK_NUMBER, u32))?;
    if *began == RUNS {
        return None;
    }
    // SAFETY: the helper has no arguments.
    let took = unsafe { bpf_ktime_get_ns() }.saturating_sub(*began);
    *began = RUNS;
    let counters = Counters::<GroupLatencies>::of_group(group_of(next))?;
    // SAFETY: no memory is read; the pointer is to a value of a map.
    counters.observe(|latencies| unsafe { &raw mut (*latencies).run_queue }, took / 1000);
    Some(())
}

/// The running thread ends.
#[inline(always)]
pub fn ended() {
    let _ = RUNNABLE.remove(bpf_get_current_pid_tgid() as u32);
}

/// A container's thread waits from now on. What is known stays, until its end: to look it up is all that it costs then.
#[inline(always)]
fn wait(number: u32, group: impl FnOnce() -> u64) -> Option<()> {
    if let Some(began) = RUNNABLE.find_mut(&number) {
        // SAFETY: the helper has no arguments.
        *began = unsafe { bpf_ktime_get_ns() };
        return Some(());
    }
    Counters::<GroupLatencies>::of_group(group())?;
    // SAFETY: as above.
    RUNNABLE.insert(number, unsafe { bpf_ktime_get_ns() }, 0).ok()
}

/// The number of the group that a thread is in.
#[inline(always)]
fn group_of(task: u64) -> u64 {
    let groups = follow!(task, TASK_CGROUPS, u64);
    let group = follow!(groups, CGROUPS_UNIFIED, u64);
    let node = follow!(group, CGROUP_NODE, u64);
    follow!(node, NODE_ID, u64)
}

/// A block device gets a request.
#[inline(always)]
pub fn requested(ctx: &BtfTracePointContext) -> Option<()> {
    let request: u64 = ctx.arg(0);
    // Flushes have no data, and belong to nobody.
    let bio: u64 = read(request, REQUEST_BIO.load())?;
    let block: u64 = read(read(bio, BIO_GROUP.load())?, GROUP_BLOCK.load())?;
    let group = key_of(read(block, BLOCK_CGROUP.load())?)?;
    Counters::<GroupLatencies>::of_group(group)?;
    // SAFETY: the helper has no arguments.
    REQUESTS.insert(request, BlockRequest { group, began: unsafe { bpf_ktime_get_ns() } }, 0).ok()
}

/// A block device has done with a request, or with its first part.
#[inline(always)]
pub fn completed(ctx: &BtfTracePointContext) -> Option<()> {
    let request: u64 = ctx.arg(0);
    let BlockRequest { group, began } = *REQUESTS.find(&request)?;
    let _ = REQUESTS.remove(request);
    // SAFETY: the helper has no arguments.
    let took = unsafe { bpf_ktime_get_ns() }.saturating_sub(began);
    let counters = Counters::<GroupLatencies>::of_group(group)?;
    // SAFETY: no memory is read; the pointer is to a value of a map.
    counters.observe(|latencies| unsafe { &raw mut (*latencies).block_io }, took / 1000);
    Some(())
}
