//! The network of an instance, from outside: in network namespaces of its own, with the real datapath and real traffic.
//!
//! ```text
//!   client namespace                 host namespace (the runtime lives here)
//!   192.0.2.2  net0 <---uplink---> up0  192.0.2.1     containers behind bl-INSTANCE, 172.31.7.0/24
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that needs root says when it is skipped")]

#[path = "facade/bed.rs"]
mod bed;
#[path = "facade/lifecycle.rs"]
mod lifecycle;
#[path = "facade/names.rs"]
mod names;
#[path = "facade/policy.rs"]
mod policy;
#[path = "facade/ports.rs"]
mod ports;
#[path = "facade/restart.rs"]
mod restart;
#[path = "facade/server.rs"]
mod server;
#[path = "facade/traffic.rs"]
mod traffic;
