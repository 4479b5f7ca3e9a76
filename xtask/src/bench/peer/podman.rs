//! podman as Debian ships it, with runc, on a host of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use beeline_testbed::command::text;
use beeline_testbed::{Directories, Topology, sweep};

use super::Engine;
use crate::workspace::find_program;

struct Podman {
    version: String,
    topology: Topology,
    directories: Directories,
}

/// Prepares podman's directories and configuration; it has no daemon.
pub(super) fn start() -> Result<Box<dyn Engine>> {
    find_program("podman").context("not installed")?;
    find_program("runc").context("runc is not installed")?;
    let topology = Topology::create("beeline-bench-podman")?;
    let directories = Directories::create()?;
    let (root, run) = (directories.root(), directories.run());
    let networks = root.join("networks");
    for directory in [&root, &run, &networks] {
        std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    // Limits that a root without CAP_SYS_RESOURCE may set as well; podman's own are higher than the hard ones here.
    // runc, because crun refuses hybrid control groups.
    let configuration = format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
         [network]\nnetwork_config_dir = \"{}\"\n\
         [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\ntmp_dir = \"{}\"\n",
        networks.display(),
        run.join("tmp").display(),
    );
    std::fs::write(directories.path().join("containers.conf"), configuration)?;
    let mut podman = Podman { version: String::new(), topology, directories };
    podman.version = text(podman.client().args(["version", "--format", "{{.Client.Version}}"]))?;
    Ok(Box::new(podman))
}

impl Engine for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn title(&self) -> String {
        format!("podman {}, runc", self.version)
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn client(&self) -> Command {
        let mut command = self.topology.host.command("podman");
        command.arg("--root").arg(self.directories.root()).arg("--runroot").arg(self.directories.run());
        command.env("CONTAINERS_CONF", self.directories.path().join("containers.conf"));
        command
    }

    /// The control groups that the sweep looks after.
    fn run_options(&self) -> Vec<String> {
        vec!["--cgroup-parent".to_owned(), format!("/beeline/{}", self.topology.instance)]
    }

    fn remove_options(&self) -> &'static [&'static str] {
        &["--force", "--time", "0"]
    }

    fn socket(&self) -> Option<PathBuf> {
        None
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        super::remove_all(self);
        sweep(&self.topology, &self.directories);
    }
}
