//! A directory, a control group and a configuration to run one container after another in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use beeline_spawn::cgroup::{Cgroup, Hierarchy};
use beeline_spawn::container::{self, Created, Error, NetNs, Rootfs, Stdio, defaults};
use oci_spec::runtime::{LinuxResources, Mount, MountBuilder, Spec};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tempfile::TempDir;

/// Whether the test can run; says so if it cannot.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
        {
            eprintln!("skipped: needs root");
        }
    }
    root
}

/// What a container did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// 128 + the signal's number if one ended it.
    pub(crate) code: i32,
    pub(crate) output: String,
}

pub(crate) struct Sandbox {
    pub(crate) directory: TempDir,
    pub(crate) cgroup: Cgroup,
    pub(crate) spec: Spec,
    /// Layers above busybox's, the topmost first.
    pub(crate) layers: Vec<PathBuf>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::with(&LinuxResources::default())
    }

    pub(crate) fn with(resources: &LinuxResources) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = format!("/beeline-test-{}-{number}", std::process::id());
        let cgroup = Hierarchy::detect().unwrap().cgroup(&path).unwrap();
        let directory = tempfile::Builder::new().prefix("beeline-spawn-").tempdir().unwrap();
        for name in ["busybox/bin", "busybox/etc", "busybox/tmp", "upper", "work"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let bin = directory.path().join("busybox/bin");
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in [
            "sh", "true", "cat", "mount", "id", "ls", "touch", "sleep", "readlink", "hostname", "stat", "tty",
        ] {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let sandbox = Self { directory, cgroup, spec: defaults::spec(), layers: Vec::new() };
        sandbox.cgroup.create(resources).unwrap();
        sandbox
    }

    /// A path below the sandbox's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The busybox layer's root.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.path("busybox").join(name)
    }

    pub(crate) fn rootfs(&self) -> Rootfs {
        let mut lower = self.layers.clone();
        lower.push(self.path("busybox"));
        Rootfs::Overlay { lower, upper: self.path("upper"), work: self.path("work") }
    }

    /// Changes the configuration's process.
    pub(crate) fn process(&mut self, change: impl FnOnce(&mut oci_spec::runtime::Process)) -> &mut Self {
        change(self.spec.process_mut().as_mut().unwrap());
        self
    }

    /// Changes the configuration's Linux part.
    pub(crate) fn linux(&mut self, change: impl FnOnce(&mut oci_spec::runtime::Linux)) -> &mut Self {
        change(self.spec.linux_mut().as_mut().unwrap());
        self
    }

    pub(crate) fn add_mount(&mut self, mount: Mount) -> &mut Self {
        self.spec.mounts_mut().as_mut().unwrap().push(mount);
        self
    }

    /// Builds a container for `args` with its output in a pipe.
    pub(crate) fn create(&mut self, args: &[&str]) -> Result<(Created, OwnedFd), Error> {
        self.create_in(args, NetNs::New, &self.rootfs())
    }

    pub(crate) fn create_in(
        &mut self,
        args: &[&str],
        netns: NetNs,
        rootfs: &Rootfs,
    ) -> Result<(Created, OwnedFd), Error> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        self.process(|process| {
            process.set_args(Some(args));
        });
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let stdin = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let stdio = Stdio::Descriptors { stdin, stdout: write.try_clone().unwrap(), stderr: write };
        container::create(&self.spec, rootfs, stdio, netns, &self.cgroup).map(|created| (created, read))
    }

    /// Runs a container to its end.
    pub(crate) fn run(&mut self, args: &[&str]) -> Outcome {
        let (created, output) = self.create(args).unwrap_or_else(|error| panic!("{}", tell(&error)));
        finish(created, output).unwrap_or_else(|error| panic!("{}", tell(&error)))
    }

    /// Runs a shell script to its end.
    pub(crate) fn sh(&mut self, script: &str) -> Outcome {
        self.run(&["sh", "-c", script])
    }

    /// The output of a script that has to succeed.
    pub(crate) fn output(&mut self, script: &str) -> String {
        let outcome = self.sh(script);
        assert_eq!(outcome.code, 0, "{script}: {}", outcome.output);
        outcome.output
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let removed = self.cgroup.kill().and_then(|()| self.cgroup.remove());
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// Starts a container and waits for its end.
pub(crate) fn finish(created: Created, output: OwnedFd) -> Result<Outcome, Error> {
    let running = created.start()?;
    let mut bytes = Vec::new();
    fs::File::from(output).read_to_end(&mut bytes).unwrap();
    let code = wait(&running.pidfd);
    Ok(Outcome { code, output: String::from_utf8_lossy(&bytes).into_owned() })
}

/// The exit code of init.
pub(crate) fn wait(pidfd: &OwnedFd) -> i32 {
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap())
}

/// An error with its sources.
pub(crate) fn tell(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A bind mount for the configuration.
pub(crate) fn bind(source: &Path, destination: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(options)
        .build()
        .unwrap()
}

/// Writes a file of an image, parents included.
pub(crate) fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
}
