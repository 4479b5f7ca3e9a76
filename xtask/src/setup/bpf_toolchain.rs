//! A Rust that compiles for the BPF target: found where the machine has one, else put together.
//!
//! The BPF target has no precompiled `core`, so it takes a compiler with its own sources beside it, and bpf-linker,
//! which links LLVM bitcode. Two ways lead there: rustup's nightly with rust-src, or Debian's `rustc-web`, which
//! brings sources and matches a packaged LLVM.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use beeline_object::Toolchain;

use super::{apt, cargo_tools};
use crate::progress::{note, step};
use crate::run::Run;
use crate::workspace::{find_program, is_root};

/// The name under which Debian's compiler is known to rustup.
const LINKED: &str = "bpf";
const NIGHTLY: &str = "nightly";

/// bpf-linker, and the LLVM it is built against: the newest that every supported way provides.
const LINKER_VERSION: &str = "0.13.0";
const LLVM: &str = "22";

/// Debian's compiler, its sources and the LLVM that bpf-linker links to.
const PACKAGES: &[&str] = &["rustc-web", "rust-web-src", "llvm-22", "llvm-22-dev", "libpolly-22-dev"];

/// Compilers that build bpf-linker and zstd's C part.
const LINKER_BUILD_PACKAGES: &[&str] = &["gcc", "g++", "libc6-dev", "zlib1g-dev", "libzstd-dev"];

/// The toolchain, put together where it is missing.
pub(crate) fn ensure() -> Result<Toolchain> {
    if let Ok(toolchain) = Toolchain::find() {
        return Ok(toolchain);
    }
    if !has_compiler() {
        install_compiler()?;
    }
    if find_program("bpf-linker").is_none() {
        install_linker()?;
    }
    let toolchain = Toolchain::find().context("look for the BPF toolchain after installing it")?;
    note(&format!("BPF toolchain: {}", toolchain.describe()));
    Ok(toolchain)
}

/// True when rustup knows a compiler for the BPF target, whether or not the linker is there.
fn has_compiler() -> bool {
    let Ok(listed) = Run::new("rustup").args(["toolchain", "list"]).output() else { return false };
    let known: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    [LINKED, NIGHTLY]
        .into_iter()
        .filter(|name| known.iter().any(|listed| is_toolchain(listed, name)))
        .any(has_core_sources)
}

/// True when rustup's `listed` toolchain answers to `name`: `nightly-x86_64-unknown-linux-gnu` is `nightly`, a dated
/// nightly is not.
fn is_toolchain(listed: &str, name: &str) -> bool {
    match listed.strip_prefix(name) {
        Some("") => true,
        Some(rest) => {
            rest.strip_prefix('-').is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphabetic()))
        }
        None => false,
    }
}

fn has_core_sources(name: &str) -> bool {
    let sysroot = Run::new("rustup").args(["run", name, "rustc", "--print", "sysroot"]).output();
    sysroot.is_ok_and(|sysroot| {
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
    })
}

fn install_compiler() -> Result<()> {
    if find_program("rustup").is_none() {
        bail!(
            "the BPF programs are built with a toolchain that rustup manages, and there is no rustup. The object \
             in ebpf/prebuilt needs none of this: `cargo build --release` embeds it while its digest matches"
        );
    }
    if find_program("apt-get").is_some() {
        if is_root() {
            apt::update()?;
        }
        if PACKAGES.iter().all(|package| apt::is_available(package)) {
            return link_debian_compiler();
        }
    }
    add_nightly()
}

/// Makes a toolchain out of Debian's compiler and rustup's cargo.
fn link_debian_compiler() -> Result<()> {
    if !Path::new("/usr/lib/rustlib/src/rust/library/core").exists() || !Path::new("/usr/bin/rustc").exists()
    {
        apt::install_packages(PACKAGES)?;
    }
    let cargo = Run::new("rustup").args(["which", "cargo"]).output()?;
    let directory = data_directory()?.join("bpf-toolchain");
    fs::create_dir_all(directory.join("bin")).with_context(|| format!("create {}", directory.display()))?;
    link(Path::new("/usr/bin/rustc"), &directory.join("bin/rustc"))?;
    link(Path::new(cargo.trim()), &directory.join("bin/cargo"))?;
    link(Path::new("/usr/lib"), &directory.join("lib"))?;
    Run::new("rustup").args(["toolchain", "link", LINKED]).arg(&directory).output()?;
    if !has_core_sources(LINKED) {
        bail!(
            "the toolchain in {} has no sources of core: is rust-web-src of rustc-web's version?",
            directory.display()
        );
    }
    Ok(())
}

/// Asks rustup for nightly with the sources of the standard library.
fn add_nightly() -> Result<()> {
    step("rustup toolchain install nightly with rust-src", |step| {
        Run::new("rustup")
            .args(["toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", "rust-src"])
            .quiet(step)
    })
}

fn install_linker() -> Result<()> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{LLVM}"));
    if !prefix.join("bin/llvm-config").exists() {
        if find_program("apt-get").is_none() {
            bail!(
                "bpf-linker needs LLVM {LLVM} with its headers. Install them with this machine's package manager, \
                 then: LLVM_PREFIX=DIRECTORY cargo install bpf-linker --version {LINKER_VERSION} \
                 --no-default-features --features llvm-{LLVM} --locked"
            );
        }
        apt::install_packages(&PACKAGES[2..])?;
    }
    let missing: Vec<&str> =
        if find_program("c++").is_some() { Vec::new() } else { LINKER_BUILD_PACKAGES.to_vec() };
    if !missing.is_empty() {
        apt::install_packages(&missing)?;
    }
    let features = format!("llvm-{LLVM}");
    cargo_tools::install(
        "bpf-linker",
        LINKER_VERSION,
        &["--no-default-features", "--features", &features],
        &[("LLVM_PREFIX", &prefix.to_string_lossy())],
    )
}

/// Replaces whatever is at `path` by a symbolic link.
fn link(target: &Path, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
    }
    symlink(target, path).with_context(|| format!("link {} to {}", path.display(), target.display()))
}

/// The user's data directory for Beeline's tasks.
fn data_directory() -> Result<PathBuf> {
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|data| !data.is_empty()) {
        return Ok(PathBuf::from(data).join("beeline"));
    }
    let home = std::env::home_dir().context("HOME is not set: set it, or XDG_DATA_HOME")?;
    Ok(home.join(".local/share/beeline"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchains_are_known_by_their_channel() {
        assert!(is_toolchain("nightly-x86_64-unknown-linux-gnu", "nightly"));
        assert!(is_toolchain("bpf", "bpf"));
        assert!(!is_toolchain("nightly-2026-05-20-x86_64-unknown-linux-gnu", "nightly"));
        assert!(!is_toolchain("stable-x86_64-unknown-linux-gnu", "nightly"));
    }
}
