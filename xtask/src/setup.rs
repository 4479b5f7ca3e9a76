//! `cargo xtask setup`: installs what a task needs and the machine lacks. Quick when nothing is missing.

pub(crate) mod apt;
pub(crate) mod bpf_toolchain;
pub(crate) mod cargo_tools;
mod needs;

use anyhow::Result;
use clap::ValueEnum;

use crate::progress::note;

/// What to prepare the machine for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Purpose {
    /// A C compiler and libc, for the libraries written in C.
    Build,
    /// A Rust that compiles for the BPF target, and bpf-linker.
    Bpf,
    /// Everything the tests run: nextest, cargo-deny and real programs from Debian.
    Test,
    /// QEMU, and what unpacks kernels for it.
    Vm,
    /// Tools that look at the network, for the demo.
    Demo,
    /// Peers and load generators, for the measurements.
    Bench,
}

/// Install what the tasks need
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only for this; everything when not given
    #[arg(long = "for", value_name = "TASK")]
    purpose: Option<Purpose>,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<()> {
        match self.purpose {
            Some(purpose) => ensure(purpose)?,
            None => {
                for purpose in Purpose::value_variants() {
                    ensure(*purpose)?;
                }
            }
        }
        note("nothing is missing");
        Ok(())
    }
}

/// Makes sure that all of `purpose`'s needs are on the machine.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    apt::install(&needs::missing(purpose))?;
    match purpose {
        Purpose::Bpf => bpf_toolchain::ensure().map(|_toolchain| ()),
        Purpose::Test => cargo_tools::ensure(&[cargo_tools::NEXTEST, cargo_tools::DENY]),
        Purpose::Build | Purpose::Vm | Purpose::Demo | Purpose::Bench => Ok(()),
    }
}

/// Puts other container engines and runtimes on the machine, as far as that can be done: what is missing is not measured.
pub(crate) fn ensure_peers() {
    if let Err(error) = apt::install(&needs::missing_peers()) {
        note(&format!("without all of the peers: {error:#}"));
    }
}
