//! Containers of busybox, built by [`beeline_spawn::container`] and looked at from inside and outside. They need root.

#![allow(clippy::unwrap_used, reason = "tests")]

mod confinement;
mod failure;
mod isolation;
mod limits;
mod sandbox;
