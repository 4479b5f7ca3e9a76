//! `cargo xtask bpf`: the kernel side, built into ebpf/prebuilt; `--check` proves that what is there is what the
//! sources say, `--record` writes down how much work it is for the verifiers.

mod record;

use std::path::PathBuf;

use anyhow::{Context, Result};
use beeline_object::{Check, Toolchain};

use crate::progress::{Step, note};
use crate::setup::bpf_toolchain;
use crate::workspace::{root, target_directory};

/// Build the BPF programs into ebpf/prebuilt
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Build them elsewhere, and fail when ebpf/prebuilt differs
    #[arg(long)]
    check: bool,
    /// Record how many instructions the verifiers of this kernel and of those in QEMU process (ebpf/VERIFIED)
    #[arg(long, conflicts_with = "check")]
    record: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self { check: true, .. } => check(),
            Self { record: true, .. } => record::run(),
            Self { .. } => write(),
        }
    }
}

fn write() -> Result<()> {
    let toolchain = bpf_toolchain::ensure()?;
    let target = build_directory()?;
    let step = Step::start(format!("build ebpf/programs with {}", toolchain.describe()));
    match beeline_object::write_prebuilt(&root(), &target, &toolchain) {
        Ok(_manifest) => {
            step.done("ebpf/prebuilt is up to date: commit it with the sources");
            Ok(())
        }
        Err(error) => Err(step.failed(error.into())),
    }
}

/// Compares ebpf/prebuilt with its sources, and with a fresh build where the compiler is the same.
pub(crate) fn check() -> Result<()> {
    let toolchain: Toolchain = bpf_toolchain::ensure()?;
    let target = build_directory()?;
    let step = Step::start("rebuild ebpf/programs and compare with ebpf/prebuilt");
    match beeline_object::check_prebuilt(&root(), &target, Some(&toolchain)) {
        Ok(Check::Fresh) => step.done("identical"),
        Ok(Check::OtherToolchain { .. }) => {
            step.done("the digest of the sources is right");
            note(
                "the bytes were not compared: ebpf/prebuilt was built by another compiler than this machine's",
            );
        }
        Ok(Check::Stale { reason }) => {
            let error = anyhow::anyhow!(
                "ebpf/prebuilt is stale: {reason}. Run `cargo xtask bpf` and commit the result"
            );
            return Err(step.failed(error));
        }
        Err(error) => return Err(step.failed(error.into())),
    }
    Ok(())
}

/// A target directory of its own: the kernel side has another compiler and other flags.
fn build_directory() -> Result<PathBuf> {
    Ok(target_directory().context("find the build directory")?.join("bpf"))
}
