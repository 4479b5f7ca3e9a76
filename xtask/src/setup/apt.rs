//! Debian packages: only those that are missing, with one look at the archive, and without starting a service.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use super::needs::Need;
use crate::progress::{note, step};
use crate::run::Run;
use crate::workspace::{find_program, is_root};

/// What Debian asks before a package starts its service; exit status 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

static UPDATED: AtomicBool = AtomicBool::new(false);

/// Installs the packages that bring `needs`.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = needs.iter().map(Need::name).collect();
    if find_program("apt-get").is_none() {
        let packages: Vec<&str> = needs.iter().filter_map(|need| need.packages.first().copied()).collect();
        bail!(
            "missing: {}. This machine has no apt-get: install them with its own package manager (Debian calls \
             the packages {}) and run the task again",
            names.join(", "),
            packages.join(" ")
        );
    }
    note(&format!("missing: {}", names.join(", ")));
    require_root(needs.iter().filter_map(|need| need.packages.first().copied()))?;
    update()?;
    let mut packages = Vec::new();
    for need in needs {
        let package = need.packages.iter().find(|package| is_available(package)).with_context(|| {
            format!(
                "no package for {}: none of {} is in the archives of this machine",
                need.name(),
                need.packages.join(", ")
            )
        })?;
        if !packages.contains(package) {
            packages.push(package);
        }
    }
    install_packages(&packages)
}

/// Installs `packages` by name.
pub(crate) fn install_packages(packages: &[&str]) -> Result<()> {
    require_root(packages.iter().copied())?;
    update()?;
    let _no_services = NoServices::hold()?;
    step(&format!("apt-get install {}", packages.join(" ")), |step| {
        Run::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .quiet(step)
    })
}

/// True when apt knows a version of `package` to install.
pub(crate) fn is_available(package: &str) -> bool {
    let policy = Run::new("apt-cache").args(["policy", package]).env("LC_ALL", "C").output();
    policy.is_ok_and(|policy| has_candidate(&policy))
}

/// Fetches the package lists, once a run.
pub(crate) fn update() -> Result<()> {
    if UPDATED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    step("apt-get update", |step| {
        Run::new("apt-get").args(["update", "--quiet", "-o", "DPkg::Lock::Timeout=300"]).quiet(step)
    })
}

fn require_root<'a>(packages: impl Iterator<Item = &'a str>) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    let packages: Vec<&str> = packages.collect();
    bail!(
        "packages are missing and only root can install them. Run: sudo apt-get install {}",
        packages.join(" ")
    )
}

fn has_candidate(policy: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"))
        .any(|version| !matches!(version.trim(), "" | "(none)"))
}

/// While this lives, installing a package starts no service: the tests run the programs themselves.
///
/// A policy that the machine has already is left as it is.
#[derive(Debug)]
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn hold() -> Result<Self> {
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY) {
            Ok(mut file) => {
                file.write_all(b"#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
                note(&format!("services stay stopped: {POLICY} is there while packages are installed"));
                Ok(Self { ours: true })
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            // No directory for it means no init scripts that would ask.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("create {POLICY}")),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(Path::new(POLICY))
        {
            note(&format!(
                "cannot remove {POLICY}: {error}; remove it, or no package will start its service"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_read_from_the_policy() {
        assert!(has_candidate("wrk:\n  Installed: (none)\n  Candidate: 4.1.0-3\n"));
        assert!(!has_candidate("docker-cli:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!has_candidate(""));
    }
}
