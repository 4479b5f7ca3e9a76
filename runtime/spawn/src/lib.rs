//! OCI spec in, process out: namespaces, mounts, cgroups, seccomp and the shim.

pub mod cgroup;
pub mod clock;
pub mod container;
mod executable;
pub mod fault;
pub mod log;
pub mod memory;
pub mod oci;
pub mod protocol;
pub mod seccomp;
mod shim;
mod spawner;
pub mod view;

pub use executable::reenter_protected;
pub use shim::{
    FileLog, LogConfig, LogFormat, Network, RemoteLog, ShimRequest, SyslogAddress, SyslogFormat, SyslogLog,
    connect_shim,
};
pub use spawner::{SPAWNER_ARG, Spawner, SpawnerError, spawner_main};
