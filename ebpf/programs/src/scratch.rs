//! Room for what a new flow is made of: too much for the 512 bytes of stack.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use beeline_abi::{DropReason, Flow, Tuple};

use crate::maps;

/// Outcomes of a search for a port: every one tried was taken, one is claimed, or the table of flows is full.
pub const NOT_FOUND: u32 = 0;
pub const CLAIMED: u32 = 1;
pub const FULL: u32 = 2;

/// A flow in the making.
#[repr(C)]
pub struct Scratch {
    /// The tracking entry and the stub that leads to it.
    pub flow: Flow,
    pub stub: Flow,
    /// Their keys.
    pub inside: Tuple,
    pub wire: Tuple,
    /// Where a search for a port starts, and how it ended.
    pub start: u32,
    pub outcome: u32,
    /// The network it is counted for.
    pub network: u32,
    /// The counter of the rule that refused it.
    pub denied_by: u32,
}

#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// This processor's room.
#[inline(always)]
pub fn get() -> Result<&'static mut Scratch, DropReason> {
    maps::own(&SCRATCH, 0).ok_or(DropReason::Helper)
}
