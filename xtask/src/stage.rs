//! A daemon in a topology of its own, for the tasks that need one; it ends with everything it made.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Error, Result, anyhow};
use beeline_testbed::command::text;
use beeline_testbed::{Daemon, Directories, Topology, residue, sweep};

use crate::progress::{note, step};

/// Client, host, and the host's daemon. Fields end in this order: the daemon before its namespaces.
#[derive(Debug)]
pub(crate) struct Stage {
    binary: PathBuf,
    daemon: Option<Daemon>,
    pub(crate) topology: Topology,
    pub(crate) directories: Directories,
}

impl Stage {
    /// Makes the namespaces, whose names start with `prefix`, and starts the daemon with these flags.
    pub(crate) fn build(binary: &Path, prefix: &str, flags: &[&str]) -> Result<Self> {
        let topology = Topology::create(prefix)?;
        let directories = Directories::create()?;
        let mut stage = Self { binary: binary.to_path_buf(), daemon: None, topology, directories };
        step("start a daemon of its own", |_step| stage.start(flags))?;
        Ok(stage)
    }

    fn start(&mut self, flags: &[&str]) -> Result<()> {
        let mut command =
            Daemon::command(&self.binary, &self.topology.host, &self.topology.instance, &self.directories);
        // Its own process group: Ctrl-C is for the task, which then ends the daemon in good order.
        let daemon = Daemon::spawn(command.args(flags).process_group(0), &self.directories);
        if daemon.is_err() {
            sweep(&self.topology, &self.directories);
        }
        self.daemon = Some(daemon?);
        Ok(())
    }

    /// Puts a daemon with other flags in the place of this one; the containers go on.
    pub(crate) fn restart(&mut self, flags: &[&str]) -> Result<()> {
        self.daemon.take().map_or(Ok(()), Daemon::stop)?;
        self.start(flags)
    }

    /// Beeline's client in the host's namespace, talking to this daemon.
    pub(crate) fn beeline(&self) -> Command {
        self.client(&self.binary)
    }

    /// A program in the host's namespace that finds this daemon as Docker's clients do.
    pub(crate) fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.topology.host.command(program);
        command.env("DOCKER_HOST", self.directories.docker_host());
        command
    }

    /// The daemon's process id; 0 when it has ended.
    pub(crate) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::pid)
    }

    /// Ends the containers and the daemon, and fails when anything is left of them.
    pub(crate) fn clear(mut self) -> Result<()> {
        step("clean up", |_step| {
            match self.end().into_iter().reduce(|all, next| all.context(format!("{next:#}"))) {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
    }

    /// Leaves everything running.
    pub(crate) fn keep(mut self) {
        // Their ends would end what is to be kept.
        std::mem::forget(self.daemon.take());
        std::mem::forget(self);
    }

    /// Ends everything, whatever fails on the way, and returns what did.
    fn end(&mut self) -> Vec<Error> {
        let mut failures = Vec::new();
        match text(self.beeline().args(["ps", "--all", "--quiet"])) {
            Ok(containers) => {
                for container in containers.lines() {
                    failures.extend(text(self.beeline().args(["rm", "--force", container])).err());
                }
            }
            Err(error) => failures.push(error),
        }
        failures.extend(self.daemon.take().and_then(|daemon| daemon.stop().err()));
        let left = residue(&self.topology, &self.directories);
        if !left.is_empty() {
            failures.push(anyhow!("left behind, and removed now by force:\n{}", left.join("\n")));
            sweep(&self.topology, &self.directories);
        }
        failures
    }
}

impl Drop for Stage {
    /// After a failure or Ctrl-C: the task still cleans up behind itself.
    fn drop(&mut self) {
        if self.daemon.is_some() {
            for failure in self.end() {
                note(&format!("while cleaning up: {failure:#}"));
            }
        }
    }
}
