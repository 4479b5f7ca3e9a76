//! Beeline as its users touch it: a real daemon in a network namespace of its own, driven through our command line and
//! the stock docker client. Every test ends with the check that nothing is left behind.
//!
//! The tests need root, the stock `docker` client and the packages that `cargo xtask setup --for test` installs.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is wrong, in its helpers too"
)]
#![allow(clippy::print_stderr, reason = "a test that cannot run says so where the test runner shows it")]

mod accelerate;
mod accuracy;
mod api;
mod bed;
mod bombs;
mod browser;
mod capture;
mod client;
mod compose;
mod continuity;
mod cycles;
mod dashboards;
mod dockerd;
mod endpoint;
mod exec;
mod faults;
mod files;
mod flows;
mod health;
mod images;
mod init;
mod inputs;
mod isolation;
mod journey;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod mounts;
mod names;
mod network;
mod networks;
mod outside;
mod page;
mod pause;
mod policy;
mod process;
mod reach;
mod remap;
mod resources;
mod restart;
mod security;
mod servers;
mod sockets;
mod stats;
mod top;
mod update;
mod uplinks;
mod volumes;
