//! The datapath under real traffic: a client, a host and containers, each a network namespace of its own.
//!
//! ```text
//! client 192.0.2.2 ---- 192.0.2.1 up0 [ host ] bridge 172.30.0.1 ~~~ c1 172.30.0.2, c2 172.30.0.3, …
//! ```

#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod accelerate;
mod bridge;
mod bytes;
mod bytes6;
mod events;
mod fragments;
mod fuzz;
mod guard;
mod journey;
mod layer3;
mod lifetime;
mod model;
mod neighbours;
mod observe;
mod packet;
mod paths;
mod policy;
mod program;
mod relay;
mod report;
mod routes;
mod scale;
mod sctp;
mod topology;
mod traffic;
mod uplink_guard;
mod verified;
mod volumes;
