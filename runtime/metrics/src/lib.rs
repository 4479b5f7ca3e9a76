//! Samplers and the Prometheus exporter.
//!
//! Data flows one way: the caller describes what runs as a [`Snapshot`], [`Sample::read`] reads each container's
//! control groups, and [`Exporter::render`] writes the text exposition format. A series lives exactly as long as
//! its container is in the snapshot: nothing is remembered between two scrapes.
//!
//! Names and labels are cAdvisor's wherever cAdvisor has one, so that dashboards written for it work unchanged.

#![forbid(unsafe_code)]

mod block_io;
mod cgroup_file;
mod exporter;
pub mod family;
mod host;
mod pressure;
mod sample;
mod snapshot;

pub use block_io::BlockIo;
pub use exporter::{CONTENT_TYPE, Error, Exporter};
pub use host::HostCpu;
pub use pressure::{Pressure, Stall};
pub use sample::{Cpu, Memory, Sample};
pub use snapshot::{CgroupDirs, Datapath, InterfaceCounters, Limits, Snapshot, StateCounts, Target};
