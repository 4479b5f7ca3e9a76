//! The OCI runtime specification, case by case as runtime-tools' validation checks it, and attacks on the runtime: the
//! real binary runs bundles of busybox. They need root.

#![allow(clippy::unwrap_used, reason = "tests")]

mod attacks;
mod bed;
mod configuration;
mod engines;
mod groups;
mod hooks;
mod lifecycle;
mod mounts;
mod namespaces;
mod operations;
mod seccomp;
