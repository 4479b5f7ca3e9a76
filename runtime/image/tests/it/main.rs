//! The store through its public interface, on archives as tools make them and as attackers do.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is wrong, and says what it skips"
)]

mod archives;
mod embedded;
mod extraction;
mod hostile;
mod loading;
mod saving;
mod store;
mod truncation;
