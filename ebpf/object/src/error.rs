//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf};

/// A failure to find, build or check the BPF object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the sources or of the prebuilt object.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The prebuilt object or its manifest.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest lacks a line.
    #[error("{path} has no line `{key}`: run `cargo xtask bpf`")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The missing key.
        key: &'static str,
    },
    /// The record of the verifiers' work does not read.
    #[error("ebpf/VERIFIED has a line that is no row of its table: `{line}`. Run `cargo xtask bpf --record`")]
    Verified {
        /// The line.
        line: String,
    },
    /// No toolchain that builds for BPF.
    #[error("no toolchain for BPF: {missing}. Run `cargo xtask setup`, which installs one")]
    NoToolchain {
        /// What was looked for.
        missing: String,
    },
    /// A program did not start.
    #[error("run {program}: run `cargo xtask setup`, which installs it")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The programs do not build.
    #[error("the BPF programs do not build ({status}):\n{output}")]
    Build {
        /// Cargo's exit status.
        status: String,
        /// What cargo said.
        output: String,
    },
    /// The prebuilt object is of other sources and cannot be rebuilt.
    #[error(
        "ebpf/prebuilt/beeline.bpf.o is not of the present sources ({reason}) and cannot be rebuilt. \
         Run `cargo xtask setup` to install the BPF toolchain, or restore ebpf/"
    )]
    Stale {
        /// What differs.
        reason: String,
        /// Why it was not rebuilt.
        source: Box<Error>,
    },
}
