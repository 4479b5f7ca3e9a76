//! The engines that people use an OCI runtime with, as Debian has them: containerd with its shim for runc, and podman.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use beeline_spawn::cgroup::Hierarchy;

use crate::bed::{Bed, Called, is_root};
use crate::groups::read;

/// Shows the limit of processes, which a container sees in its own group, on v2 or on v1.
const SHOW_PIDS: &str = "cat /sys/fs/cgroup/pids.max 2> /dev/null || cat /sys/fs/cgroup/pids/pids.max";

/// An engine with directories of its own, and a group of its own above its containers'.
struct Engine {
    bed: Bed,
    /// containerd's process; podman has none.
    daemon: Option<Child>,
}

impl Engine {
    fn new() -> Self {
        let bed = Bed::new();
        // Engines take a path and no arguments.
        symlink(env!("CARGO_BIN_EXE_beeline"), bed.path("beeline-oci")).unwrap();
        Self { bed, daemon: None }
    }

    /// The name of the group above the containers'.
    fn group(&self) -> String {
        format!("beeline-oci-engine-{}", self.bed.id())
    }

    fn containerd() -> Self {
        let mut engine = Self::new();
        let bed = &engine.bed;
        let configuration = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = \"{}\"\n",
            bed.text("root"),
            bed.text("run"),
            bed.text("socket"),
        );
        fs::write(bed.path("config.toml"), configuration).unwrap();
        let log = fs::File::create(bed.path("log")).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &bed.text("config.toml")]).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        engine.daemon = Some(command.spawn().expect("containerd is installed: cargo xtask setup --for test"));
        engine.bed.eventually("containerd answers", || engine.ctr(&["version"]).code == Some(0));
        engine
    }

    fn ctr(&self, args: &[&str]) -> Called {
        let mut command = Command::new("ctr");
        command.args(["--address", &self.bed.text("socket"), "--namespace", &self.group()]).args(args);
        command.stdin(Stdio::null());
        self.bed.finish(command)
    }

    /// `ctr run` with our runtime and the bed's root.
    fn ctr_run(&self, flags: &[&str], name: &str, line: &str) -> Called {
        let (runtime, state, rootfs) =
            (self.bed.text("beeline-oci"), self.bed.text("runc"), self.bed.text("rootfs"));
        let ours = ["run", "--runc-binary", &runtime, "--runc-root", &state];
        self.ctr(&[&ours[..], flags, &["--rootfs", &rootfs, name, "sh", "-c", line]].concat())
    }

    fn podman(&self, args: &[&str]) -> Called {
        let bed = &self.bed;
        // Limits that a root without CAP_SYS_RESOURCE may set as well: podman's own are higher than the hard ones.
        let configuration = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        fs::write(bed.path("containers.conf"), configuration).unwrap();
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", bed.path("containers.conf"));
        command.args([
            "--root",
            &bed.text("root"),
            "--runroot",
            &bed.text("run"),
            "--tmpdir",
            &bed.text("tmp"),
        ]);
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command.args(["--runtime", &bed.text("beeline-oci")]).args(args).stdin(Stdio::null());
        bed.finish(command)
    }

    /// `podman run` with the bed's root.
    fn podman_run(&self, flags: &[&str], line: &str) -> Called {
        let (group, rootfs) = (format!("/{}", self.group()), self.bed.text("rootfs"));
        let ours = ["run", "--network", "none", "--cgroup-parent", &group];
        self.podman(&[&ours[..], flags, &["--rootfs", &rootfs, "sh", "-c", line]].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What a test that has failed leaves; the others have removed it themselves.
        match self.daemon.take() {
            Some(mut daemon) => {
                self.ctr(&["task", "rm", "--force", "long"]);
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
            None => drop(self.podman(&["rm", "--all", "--force", "--time", "0"])),
        }
        if std::thread::panicking() {
            return;
        }
        // Engines leave the group above; what watches a container (conmon) is in it for a moment more.
        let group = Hierarchy::detect().unwrap().cgroup(&format!("/{}", self.group())).unwrap();
        self.bed.eventually("nothing of the engine's groups is in use", || group.remove().is_ok());
    }
}

#[track_caller]
fn assert_called(called: &Called, code: i32, stdout: &str) {
    assert_eq!((called.code, called.stdout.as_str()), (Some(code), stdout), "{}", called.stderr);
}

#[test]
fn containerd_runs_containers_by_its_shim_for_runc() {
    if !is_root() {
        return;
    }
    let engine = Engine::containerd();
    assert_called(&engine.ctr_run(&["--rm"], "short", "echo hello; id -u; exit 7"), 7, "hello\n0\n");

    let limit = ["--detach", "--memory-limit", "67108864"];
    assert_called(&engine.ctr_run(&limit, "long", "sleep 1000; true"), 0, "");
    let group = format!("/{}/long", engine.group());
    assert_eq!(read(&group, "memory.max", ("memory", "memory.limit_in_bytes")), "67108864");
    let is = |status: &str| {
        let tasks = engine.ctr(&["task", "ls"]).stdout;
        tasks.lines().any(|line| line.starts_with("long ") && line.ends_with(status))
    };
    assert!(is("RUNNING"));
    let line = ["task", "exec", "--exec-id", "one", "long", "sh", "-c", "cat /proc/1/comm; exit 5"];
    assert_called(&engine.ctr(&line), 5, "sh\n");
    assert_called(&engine.ctr(&["task", "pause", "long"]), 0, "");
    assert!(is("PAUSED"));
    assert_called(&engine.ctr(&["task", "resume", "long"]), 0, "");
    assert!(is("RUNNING"));
    assert_eq!(
        engine.ctr(&["task", "ps", "long"]).stdout.lines().count(),
        3,
        "a heading, the shell and sleep"
    );
    assert_called(&engine.ctr(&["task", "kill", "--signal", "KILL", "long"]), 0, "");
    engine.bed.eventually("the container has ended", || is("STOPPED"));
    let removed = engine.ctr(&["task", "rm", "long"]);
    assert!(removed.stderr.contains("137"), "what it ended with is told: {}", removed.stderr);
    assert_called(&engine.ctr(&["container", "rm", "long"]), 0, "");
}

#[test]
fn podman_runs_containers_with_it() {
    if !is_root() {
        return;
    }
    let engine = Engine::new();
    assert_called(&engine.podman_run(&["--rm"], "echo hello; exit 7"), 7, "hello\n");
    let confined = ["--rm", "--user", "5:6", "--cap-drop", "all", "--read-only", "--pids-limit", "77"];
    let line = format!("id -u; id -g; {SHOW_PIDS}; touch /x || exit 3");
    assert_called(&engine.podman_run(&confined, &line), 3, "5\n6\n77\n");
    assert_called(&engine.podman_run(&["--rm", "--tty"], "tty"), 0, "/dev/pts/0\r\n");

    assert_eq!(engine.podman_run(&["--detach", "--name", "long"], "sleep 1000; true").code, Some(0));
    let is = |status: &str| {
        let told = engine.podman(&["inspect", "--format", "{{.State.Status}}", "long"]).stdout;
        assert_eq!(told.trim_end(), status);
    };
    is("running");
    assert_called(&engine.podman(&["exec", "long", "sh", "-c", "cat /proc/1/comm; exit 5"]), 5, "sh\n");
    assert_eq!(engine.podman(&["pause", "long"]).code, Some(0));
    is("paused");
    assert_eq!(engine.podman(&["unpause", "long"]).code, Some(0));
    assert_eq!(engine.podman(&["stop", "--time", "0", "long"]).code, Some(0));
    is("exited");
    assert_eq!(engine.podman(&["rm", "long"]).code, Some(0));
}
