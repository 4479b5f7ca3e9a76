//! A bundle of busybox, a root for the runtime's state, and the runtime's own binary to call.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const APPLETS: [&str; 14] = [
    "sh", "true", "cat", "mount", "id", "ls", "touch", "sleep", "readlink", "hostname", "stat", "tty", "ps",
    "pwd",
];

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

/// A message with its descriptors.
pub(crate) fn receive(socket: &UnixStream) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut text = vec![0; 16384];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    text.truncate(received.bytes);
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => rights.collect(),
        _ => Vec::new(),
    });
    (text, descriptors.collect())
}

/// What a call of the runtime did.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Bed {
    directory: TempDir,
    id: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new().prefix("beeline-oci-").tempdir().unwrap();
        for name in ["rootfs/bin", "rootfs/etc", "rootfs/tmp"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let bin = directory.path().join("rootfs/bin");
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let bed = Self { directory, id: format!("test-{}-{number}", std::process::id()) };
        bed.succeed(&["spec", "--bundle", bed.text("").trim_end_matches('/')]);
        bed.configure(|config| {
            config["process"]["terminal"] = json!(false);
            config["process"]["args"] = json!(["true"]);
            config["root"]["readonly"] = json!(false);
            config["linux"]["cgroupsPath"] = json!(format!("/beeline-oci-{}", bed.id));
        });
        bed
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Changes `config.json`.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("config.json");
        let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    pub(crate) fn args(&self, args: &[&str]) {
        self.configure(|config| config["process"]["args"] = json!(args));
    }

    /// The runtime with its arguments, ready to be called.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beeline"));
        command.args(["oci", "--root", &self.text("state")]).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// Calls the runtime. Output goes to files: a container that stays keeps its streams.
    pub(crate) fn call(&self, args: &[&str]) -> Called {
        self.finish(self.command(args))
    }

    pub(crate) fn finish(&self, mut command: Command) -> Called {
        let (out, err) = (self.path("stdout"), self.path("stderr"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{command:?} takes too long: {}", self.read("stderr"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Called { code: status.code(), stdout: self.read("stdout"), stderr: self.read("stderr") }
    }

    /// Calls the runtime, which has to succeed; its output.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        let called = self.call(args);
        assert_eq!(called.code, Some(0), "{args:?}: {}", called.stderr);
        called.stdout
    }

    /// Calls the runtime, which has to fail; what it says.
    pub(crate) fn fail(&self, args: &[&str]) -> String {
        let called = self.call(args);
        assert_eq!(called.code, Some(1), "{args:?}: {}{}", called.stdout, called.stderr);
        called.stderr
    }

    /// The command `operation` for this bundle's container.
    pub(crate) fn on(&self, operation: &str) -> Called {
        self.call(&[operation, &self.id])
    }

    /// Runs the container to its end.
    pub(crate) fn run(&self) -> Called {
        self.call(&["run", "--bundle", &self.text(""), &self.id])
    }

    /// Runs a script to its end, which has to succeed; its output.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.args(&["sh", "-c", script]);
        let called = self.run();
        assert_eq!(called.code, Some(0), "{script}: {}{}", called.stdout, called.stderr);
        called.stdout
    }

    /// Runs the container, which the runtime has to refuse; what it says. Nothing of it is left.
    pub(crate) fn refuse(&self) -> String {
        let message = self.fail(&["run", "--bundle", &self.text(""), &self.id]);
        assert_eq!(self.succeed(&["list", "--quiet"]), "");
        message
    }

    pub(crate) fn create(&self) {
        self.succeed(&["create", "--bundle", &self.text(""), &self.id]);
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.succeed(&["state", &self.id])).unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the container has the status.
    pub(crate) fn await_status(&self, status: &str) {
        self.eventually(status, || self.status() == status);
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn eventually(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "not so: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let Output { status, .. } = self.command(&["delete", "--force", &self.id]).output().unwrap();
        if !std::thread::panicking() {
            assert!(status.success(), "the container cannot be removed");
            let groups = Path::new("/sys/fs/cgroup/pids").join(format!("beeline-oci-{}", self.id));
            assert!(!groups.exists(), "{} is left", groups.display());
        }
    }
}
