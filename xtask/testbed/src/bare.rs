//! The least that a container takes: namespaces, an overlay, /proc, /dev and /sys, and the program, with no engine
//! around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// A directory with a root file system, ready to be the lower layer of overlays.
#[derive(Debug)]
pub struct BareContainer {
    directory: PathBuf,
}

impl BareContainer {
    /// Unpacks `tar` below `directory`, which is emptied first.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub fn unpack(directory: &Path, tar: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("empty {}", directory.display()))?;
        }
        for part in ["lower/proc", "lower/dev", "lower/sys", "upper", "work", "merged"] {
            let part = directory.join(part);
            fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
        }
        crate::command::text(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(directory.join("lower")))?;
        Ok(Self { directory: directory.to_path_buf() })
    }

    /// The root file system itself, for runtimes that are given one.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("lower")
    }

    /// Runs `program` in it and waits for its end. The namespaces are a thread's, so that nothing has to be executed
    /// to have them; they end with it.
    ///
    /// # Errors
    /// When a step fails, or the program does.
    pub fn run(&self, program: &str) -> Result<()> {
        let work = || {
            self.enter()?;
            let status = Command::new(program).status().with_context(|| format!("run {program}"))?;
            ensure!(status.success(), "{program} in a bare container ended with {status}");
            Ok(())
        };
        std::thread::scope(|scope| scope.spawn(work).join())
            .map_err(|_| anyhow::anyhow!("the thread panicked"))?
    }

    fn enter(&self) -> Result<()> {
        let flags = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP;
        unshare(flags).context("make namespaces")?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keep mounts private")?;
        let part = |name: &str| self.directory.join(name);
        let merged = part("merged");
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            part("lower").display(),
            part("upper").display(),
            part("work").display()
        );
        let mount = |kind, place: &str, options: Option<&str>| {
            let place = merged.join(place);
            mount(Some(kind), &place, Some(kind), MsFlags::empty(), options)
                .with_context(|| format!("mount {kind} on {}", place.display()))
        };
        mount("overlay", "", Some(&options))?;
        mount("proc", "proc", None)?;
        mount("tmpfs", "dev", None)?;
        mount("sysfs", "sys", None)?;
        std::env::set_current_dir(&merged).context("enter the root")?;
        nix::unistd::pivot_root(".", ".").context("change roots")?;
        umount2(".", MntFlags::MNT_DETACH).context("leave the host's root")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn a_program_runs_in_it_and_the_host_keeps_its_root() {
        if !crate::is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let tar = crate::busybox_tar(&scratch.path().join("cache")).unwrap();
        let bare = BareContainer::unpack(&scratch.path().join("bare"), &tar).unwrap();
        let here = std::env::current_dir().unwrap();
        bare.run("/bin/true").unwrap();
        bare.run("/bin/false").unwrap_err();
        assert_eq!(std::env::current_dir().unwrap(), here);
        assert!(Path::new("/proc/self/exe").exists());
    }
}
