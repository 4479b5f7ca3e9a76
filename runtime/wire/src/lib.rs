//! The Docker Engine API's types as Beeline speaks them: API 1.50, shaped per version down to 1.24.
//!
//! The types mirror the JSON of a real daemon, explicit nulls included: a field that Docker always
//! sends is always sent, one it leaves out when empty is left out. Requests are read as Go reads them:
//! an absent or null field is the zero value. One file holds one resource. Nothing here knows the
//! engine; conversions live in the API crate. Times are RFC 3339 strings with nanoseconds unless a
//! field says otherwise, sizes are bytes.
#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "a field means what Docker's API reference says; a unit or a difference is said here"
)]

pub mod auth;
pub mod container;
pub mod detach_keys;
pub mod error;
pub mod event;
pub mod exec;
pub mod filters;
pub mod flow;
pub mod go;
pub mod image;
pub mod message;
pub mod network;
pub mod overview;
pub mod pcapng;
pub mod ports;
pub mod stats;
pub mod stdcopy;
pub mod system;
pub mod version;
pub mod volume;
