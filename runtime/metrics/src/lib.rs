//! Samplers and the Prometheus exporter.
//!
//! Data flows one way: the caller describes what runs as a [`Snapshot`], [`Sample::read`] reads each container's
//! control groups, and [`Exporter::render`] writes the text exposition format. A series lives exactly as long as
//! its container is in the snapshot: between two scrapes only the sizes of layers are remembered.
//!
//! Names and labels are cAdvisor's wherever cAdvisor has one, so that dashboards written for it work unchanged.

#![forbid(unsafe_code)]

mod block_io;
mod cgroup_file;
mod container;
mod datapath;
mod disk;
mod exporter;
pub mod family;
mod host;
mod label;
mod observed;
mod openmetrics;
mod page;
mod pressure;
mod process;
mod recorder;
mod sample;
mod snapshot;

pub use block_io::BlockIo;
pub use exporter::{Error, Exporter, Format};
pub use host::HostCpu;
pub use label::{LabelChoice, sanitize};
pub use observed::{Histogram, Observed};
pub use pressure::{Pressure, Stall};
pub use recorder::Recorder;
pub use sample::{Cpu, Memory, Sample};
pub use snapshot::{
    CgroupDirs, Datapath, HealthState, Host, InterfaceCounters, Limits, Network, ProgramRuns, Publish,
    Resolver, Rule, Snapshot, StateCounts, Target, Volume,
};
