//! Named network namespaces.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::text;

/// A network namespace that ends with this value.
#[derive(Debug)]
pub struct NetNs {
    name: String,
}

impl NetNs {
    /// Makes the namespace `name` and raises its loopback device.
    ///
    /// # Errors
    /// When the name is taken or this process is not root.
    pub fn create(name: &str) -> Result<Self> {
        ip(["netns", "add", name]).with_context(|| format!("create network namespace {name}"))?;
        let namespace = Self { name: name.to_owned() };
        text(namespace.command("ip").args(["link", "set", "lo", "up"]))?;
        Ok(namespace)
    }

    /// The name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that names the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// `program`, to be run inside the namespace. The process id is the program's own: nsenter only execs it.
    ///
    /// `ip netns exec` would do, but it remounts /sys and so hides the control groups and bpffs.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Does `work` on a thread in the namespace: a socket that it makes stays there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = std::fs::File::open(self.path())?;
        let enter = move || -> Result<T> {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        std::thread::scope(|scope| scope.spawn(enter).join())
            .map_err(|_| anyhow::anyhow!("the work panicked"))?
    }

    /// The names of the links in the namespace.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn links(&self) -> Result<Vec<String>> {
        let listing = text(self.command("ip").args(["-brief", "link"]))?;
        let name = |line: &str| line.split([' ', '@']).next().unwrap_or_default().to_owned();
        Ok(listing.lines().map(name).collect())
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        // A leftover shows in the residue check; there is no one to tell here.
        let _ = ip(["netns", "delete", &self.name]);
    }
}

/// Runs `ip` in the current namespace.
pub(crate) fn ip<const N: usize>(args: [&str; N]) -> Result<String> {
    text(Command::new("ip").args(args))
}
