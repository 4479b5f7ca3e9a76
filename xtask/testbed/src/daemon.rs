//! A Beeline daemon in a topology's host namespace, with directories of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::command::{eventually, wait};
use crate::{NetNs, Topology};

/// The directories of one daemon; they outlive it, so that a second daemon can take over.
#[derive(Debug)]
pub struct Directories {
    top: TempDir,
}

impl Directories {
    /// Makes the directories below the system's temporary directory.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn create() -> Result<Self> {
        let top = tempfile::Builder::new()
            .prefix("beeline-")
            .tempdir()
            .context("make a directory for the daemon")?;
        fs::write(top.path().join("daemon.json"), "{}\n")?;
        Ok(Self { top })
    }

    /// The directory that holds the others.
    pub fn path(&self) -> &Path {
        self.top.path()
    }

    /// The daemon's `--root`.
    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// The daemon's `--run`.
    pub fn run(&self) -> PathBuf {
        self.path().join("run")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.run().join("beeline.sock")
    }

    /// The daemon's configuration file, `{}` unless the caller writes another.
    pub fn config(&self) -> PathBuf {
        self.path().join("daemon.json")
    }

    /// What the daemons printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.path().join("daemon.log")
    }

    /// `DOCKER_HOST` of the socket.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

/// A running daemon. Dropping it kills it; [`Daemon::stop`] ends it in good order.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts `binary daemon` in the topology's host namespace and waits until its socket answers.
    ///
    /// # Errors
    /// When it does not answer within 30 seconds; the error holds what it printed.
    pub fn start(binary: &Path, topology: &Topology, dirs: &Directories, args: &[&str]) -> Result<Self> {
        let mut command = Self::command(binary, &topology.host, &topology.instance, dirs);
        Self::spawn(command.args(args), dirs)
    }

    /// The command line of a daemon, not yet started.
    pub fn command(binary: &Path, host: &NetNs, instance: &str, dirs: &Directories) -> Command {
        let mut command = host.command(binary);
        command.arg("daemon").arg("--root").arg(dirs.root()).arg("--run").arg(dirs.run());
        command.arg("--host").arg(dirs.docker_host()).arg("--config").arg(dirs.config());
        command.args(["--instance", instance]);
        command
    }

    /// Starts `command` and waits until the socket of `dirs` answers.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn spawn(command: &mut Command, dirs: &Directories) -> Result<Self> {
        let log = File::options().create(true).append(true).open(dirs.log_path())?;
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let mut daemon = Self { child };
        let answered = eventually("the daemon's socket answers", Duration::from_secs(30), || {
            if daemon.child.try_wait().ok().flatten().is_some() {
                return Some(false);
            }
            ping(&dirs.socket()).then_some(true)
        });
        match answered {
            Ok(true) => Ok(daemon),
            Ok(false) => bail!("the daemon ended at its start:\n{}", dirs.log()),
            Err(error) => Err(error.context(dirs.log())),
        }
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: what a crash looks like to the containers.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it does not end within 30 seconds or ends with a failure.
    pub fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let status = wait(&mut self.child, Duration::from_secs(30))?;
        if !status.success() {
            bail!("the daemon ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already ended after stop() or kill(); then both calls do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a daemon answers `GET /_ping` on `socket`.
fn ping(socket: &Path) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: beeline\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
