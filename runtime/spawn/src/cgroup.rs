//! Control groups: one interface over cgroup v2, v1 and hybrid hosts.
//!
//! [`Hierarchy`] is what the host has, [`Cgroup`] one path in all of it. On a hybrid host a container has a group in
//! every v1 controller's hierarchy, and one beside them in the cgroup2 hierarchy, which carries BPF programs.
//!
//! A process is never moved: on cgroup2 it is born in its group (`CLONE_INTO_CGROUP`), and in a v1 hierarchy it puts
//! itself into it through [`Cgroup::open_v1_tasks`]. The kernel moves a single thread that asks for itself without
//! `cgroup_threadgroup_rwsem`, for which a move from outside waits an RCU grace period for each hierarchy.

mod devices;
mod error;
mod features;
mod freezer;
mod group;
mod hierarchy;
mod io;
mod limits;
mod setting;
mod still;

pub use error::Error;
pub use features::Features;
pub use group::{Cgroup, CgroupPaths};
pub use hierarchy::{Hierarchy, Mode};
pub use limits::weight_from_shares;
pub use still::Still;

#[cfg(test)]
mod tests;
