//! dockerd as Debian ships it, in a network and a mount namespace of its own.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use beeline_testbed::command::{eventually, text};
use beeline_testbed::{Directories, Topology, sweep};

use super::Engine;
use crate::workspace::find_program;

/// How long dockerd may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

struct Dockerd {
    child: Child,
    version: String,
    topology: Topology,
    directories: Directories,
}

/// Starts dockerd and waits until it answers.
pub(super) fn start() -> Result<Box<dyn Engine>> {
    let program = find_program("dockerd").context("not installed")?;
    let topology = Topology::create("beeline-bench-dockerd")?;
    let directories = Directories::create()?;
    std::fs::create_dir_all(directories.run())?;
    // What it mounts vanishes with its last process.
    let mut command = topology.host.command("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(program);
    command.arg("--data-root").arg(directories.root()).arg("--exec-root").arg(directories.run().join("exec"));
    command
        .arg("--pidfile")
        .arg(directories.run().join("pid"))
        .arg("--config-file")
        .arg(directories.config());
    command.arg("--host").arg(directories.docker_host());
    // The control groups that the sweep looks after.
    command.arg("--cgroup-parent").arg(format!("/beeline/{}", topology.instance));
    let log = directories.path().join("dockerd.log");
    let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let child = command.spawn().context("start dockerd")?;
    let mut dockerd = Dockerd { child, version: String::new(), topology, directories };
    let answered = eventually("dockerd answers", PATIENCE, || {
        let ended = dockerd.child.try_wait().ok().flatten().is_some();
        let asked = text(dockerd.client().args(["version", "--format", "{{.Server.Version}}"]));
        if ended { Some(None) } else { asked.ok().map(Some) }
    })?;
    let Some(version) = answered else {
        bail!("it ended at its start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    };
    dockerd.version = version;
    Ok(Box::new(dockerd))
}

impl Engine for Dockerd {
    fn name(&self) -> &'static str {
        "dockerd"
    }

    fn title(&self) -> String {
        format!("dockerd {}", self.version)
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn client(&self) -> Command {
        let mut command = self.topology.host.command("docker");
        command.env("DOCKER_HOST", self.directories.docker_host());
        command
    }

    fn socket(&self) -> Option<PathBuf> {
        Some(self.directories.socket())
    }
}

impl Drop for Dockerd {
    /// Its containers first: it does not take them along.
    fn drop(&mut self) {
        super::remove_all(self);
        let ended = Command::new("kill").arg(self.child.id().to_string()).status();
        let waited = ended
            .context("end dockerd")
            .and_then(|_status| beeline_testbed::command::wait(&mut self.child, Duration::from_secs(30)));
        if let Err(error) = waited {
            crate::progress::note(&format!("while dockerd ended: {error:#}"));
        }
        sweep(&self.topology, &self.directories);
    }
}
