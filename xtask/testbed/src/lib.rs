//! A host, a client and a daemon, all in network namespaces and directories of their own.
//!
//! Tests, `cargo xtask demo` and `cargo xtask bench` share this topology, so that a person sees in the demo what the
//! tests prove:
//!
//! ```text
//!   client namespace              host namespace (the daemon lives here)
//!   192.0.2.2  net0 <---uplink---> up0  192.0.2.1        containers behind bl-INSTANCE
//! ```
//!
//! Nothing here touches the machine's own interfaces or control groups, and [`residue`] names whatever is left.

#![forbid(unsafe_code)]

mod bare;
pub mod command;
mod daemon;
mod images;
pub mod load;
mod namespace;
mod residue;
mod sweep;
mod topology;

pub use bare::BareContainer;
pub use daemon::{Daemon, Directories};
pub use images::{busybox_tar, debian_tar};
pub use namespace::NetNs;
pub use residue::{processes, residue};
pub use sweep::sweep;
pub use topology::{CLIENT_ADDRESS, HOST_ADDRESS, Topology, UPLINK};

/// Whether this process may create namespaces and load programs.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
