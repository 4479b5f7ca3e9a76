//! The bed every test lies in: namespaces, directories and a daemon, and the proof that nothing of them is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use beeline_testbed::command::{self, Output, eventually};
use beeline_testbed::{Daemon, Directories, Topology, residue, sweep};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A daemon in a topology of its own.
pub(crate) struct Bed {
    pub(crate) topology: Topology,
    pub(crate) dirs: Directories,
    daemon: Option<Daemon>,
    netfilter: String,
}

impl Bed {
    /// A bed with a running daemon, or `None` with a printed reason where the test cannot run.
    pub(crate) fn new() -> Option<Self> {
        let mut bed = Self::without_daemon()?;
        bed.start();
        Some(bed)
    }

    /// A bed whose daemon the test starts itself.
    pub(crate) fn without_daemon() -> Option<Self> {
        if !beeline_testbed::is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let topology = Topology::create("it").unwrap();
        let dirs = Directories::create().unwrap();
        let netfilter = netfilter(&topology);
        Some(Self { topology, dirs, daemon: None, netfilter })
    }

    /// Starts the daemon, or a successor after [`Bed::kill_daemon`].
    pub(crate) fn start(&mut self) {
        self.daemon = Some(Daemon::start(&binary(), &self.topology, &self.dirs, &[]).unwrap());
    }

    /// Starts the daemon by a command line of the test's own.
    pub(crate) fn start_as(&mut self, command: &mut Command) {
        self.try_start_as(command).unwrap();
    }

    /// The same with a daemon that may refuse to start.
    pub(crate) fn try_start_as(&mut self, command: &mut Command) -> anyhow::Result<()> {
        self.daemon = Some(Daemon::spawn(command, &self.dirs)?);
        Ok(())
    }

    /// SIGKILL to the daemon; containers, traffic and logs must not notice.
    pub(crate) fn kill_daemon(&mut self) {
        self.daemon.take().expect("a daemon runs").kill().unwrap();
    }

    /// SIGKILL to the daemon's helpers of a name: `beeline-spawner` or `beeline-shim`.
    #[track_caller]
    pub(crate) fn kill_all(&self, name: &str) {
        let mut found = 0;
        for process in beeline_testbed::processes(&self.topology) {
            if std::fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end() == name {
                let pid = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
                found += 1;
            }
        }
        assert!(found > 0, "there is no {name}");
    }

    /// The daemon's process id.
    pub(crate) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon runs").pid()
    }

    /// The stock docker client against this daemon.
    pub(crate) fn docker_command(&self, args: &[&str]) -> Command {
        let mut command = self.topology.host.command("docker");
        command.env("DOCKER_HOST", self.dirs.docker_host()).env_remove("DOCKER_CONTEXT").args(args);
        command
    }

    /// Our own client against this daemon.
    pub(crate) fn beeline_command(&self, args: &[&str]) -> Command {
        let mut command = self.topology.host.command(binary());
        command.env("DOCKER_HOST", self.dirs.docker_host()).args(args);
        command
    }

    /// Runs the stock docker client to its end.
    pub(crate) fn docker(&self, args: &[&str]) -> Output {
        command::output(&mut self.docker_command(args)).unwrap()
    }

    /// Runs our own client to its end.
    pub(crate) fn beeline(&self, args: &[&str]) -> Output {
        command::output(&mut self.beeline_command(args)).unwrap()
    }

    /// Runs the stock docker client, which must succeed, and returns its standard output.
    #[track_caller]
    pub(crate) fn docker_ok(&self, args: &[&str]) -> String {
        succeeded("docker", args, &self.docker(args))
    }

    /// All events until now that fit the filters, in a format of the stock client's. It sends whole seconds: with
    /// `--until 0s` the last events would be missing.
    #[track_caller]
    pub(crate) fn events(&self, filters: &[&str], format: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let until = (now.as_secs() + 1).to_string();
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
        let mut args = vec!["events", "--since", "1h", "--until", &until, "--format", format];
        args.extend(filters);
        self.docker_ok(&args)
    }

    /// Runs our own client, which must succeed, and returns its standard output.
    #[track_caller]
    pub(crate) fn beeline_ok(&self, args: &[&str]) -> String {
        succeeded("beeline", args, &self.beeline(args))
    }

    /// Runs a shell line in the client's namespace; it must succeed.
    #[track_caller]
    pub(crate) fn in_client(&self, line: &str) -> String {
        succeeded("client:", &[line], &shell(self.topology.client.command("sh"), line))
    }

    /// Runs a shell line in the host's namespace; it must succeed.
    #[track_caller]
    pub(crate) fn in_host(&self, line: &str) -> String {
        succeeded("host:", &[line], &shell(self.topology.host.command("sh"), line))
    }

    /// Imports the busybox image as `busybox`.
    pub(crate) fn busybox(&self) {
        let archive = beeline_testbed::busybox_tar(&image_cache()).unwrap();
        self.docker_ok(&["import", &archive.display().to_string(), "busybox"]);
    }

    /// Imports an image with Debian's `packages` as `name`.
    pub(crate) fn debian(&self, name: &str, packages: &[&str]) {
        let archive = beeline_testbed::debian_tar(&image_cache(), name, packages).unwrap();
        self.docker_ok(&["import", &archive.display().to_string(), name]);
    }

    /// A field of `docker inspect`, by its Go template.
    #[track_caller]
    pub(crate) fn inspect(&self, container: &str, template: &str) -> String {
        self.docker_ok(&["inspect", "--format", template, container])
    }

    /// The container's address on the default network.
    pub(crate) fn address(&self, container: &str) -> String {
        self.inspect(container, "{{.NetworkSettings.IPAddress}}")
    }

    /// Waits until `probe` yields a value.
    #[track_caller]
    pub(crate) fn eventually<T>(&self, what: &str, probe: impl FnMut() -> Option<T>) -> T {
        eventually(what, Duration::from_secs(30), probe)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.dirs.log()))
    }

    /// What the maps still hold of containers that are gone, while the daemon lives. Flows end by themselves.
    pub(crate) fn map_entries(&self) -> Vec<String> {
        let instance = Path::new("/sys/fs/bpf/beeline").join(&self.topology.instance);
        let maps = std::fs::read_dir(&instance).unwrap().flatten().map(|entry| entry.path());
        let maps = maps.filter(|path| path.to_string_lossy().contains("/maps_v"));
        let held = |map: PathBuf| {
            let mut bpftool = Command::new("bpftool");
            let dump = command::output(bpftool.args(["--json", "map", "dump", "pinned"]).arg(&map)).unwrap();
            let entries: serde_json::Value = serde_json::from_slice(&dump.stdout).unwrap();
            let count = entries.as_array().unwrap_or_else(|| panic!("{}: {dump}", map.display())).len();
            (count > 0).then(|| format!("{count} entries in {}", map.display()))
        };
        maps.flat_map(|maps| ["ENDPOINTS", "DEVICES", "PORTS", "RESOLVERS"].map(|name| maps.join(name)))
            .filter_map(held)
            .collect()
    }

    /// Removes every container and stops the daemon. What is left then is a defect.
    fn end(&mut self) -> Vec<String> {
        if self.daemon.is_none() && self.dirs.root().exists() && !thread::panicking() {
            // A test that ends with a killed daemon still owes a clean end: its successor reconciles. After a panic it
            // may have been the start that failed.
            self.start();
        }
        let mut failures = Vec::new();
        if let Some(daemon) = self.daemon.take() {
            let ids = self.docker(&["ps", "--all", "--quiet", "--no-trunc"]).text();
            if !ids.is_empty() {
                let mut args = vec!["rm", "--force"];
                args.extend(ids.lines());
                let removed = self.docker(&args);
                if !removed.status.success() {
                    failures.push(format!("remove every container: {removed}"));
                }
            }
            failures.extend(self.map_entries());
            failures.extend(daemon.stop().err().map(|error| format!("{error:#}")));
        }
        let clean = || residue(&self.topology, &self.dirs).is_empty().then_some(());
        // The kernel removes links after an RCU grace period.
        if eventually("nothing is left", Duration::from_secs(10), clean).is_err() {
            failures.extend(residue(&self.topology, &self.dirs));
        }
        if netfilter(&self.topology) != self.netfilter {
            failures.push(format!("netfilter changed to:\n{}", netfilter(&self.topology)));
        }
        failures
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the daemon's log\n{}", self.dirs.log());
            let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end()));
            eprintln!("--- left behind: {left:?}");
            sweep(&self.topology, &self.dirs);
            return;
        }
        let failures = self.end();
        if !failures.is_empty() {
            // Told below; what stays in the kernel would fail the tests of others.
            sweep(&self.topology, &self.dirs);
        }
        assert!(failures.is_empty(), "left behind:\n{}\n--- log\n{}", failures.join("\n"), self.dirs.log());
    }
}

/// The binary under test: what `cargo xtask test` built, else the one Cargo built beside this test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("BEELINE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_beeline").into(), PathBuf::from)
}

/// Where image archives are kept between tests.
pub(crate) fn image_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("images")
}

/// All of netfilter's rules in the host's namespace.
pub(crate) fn netfilter(topology: &Topology) -> String {
    let dump = |program: &str, args: &[&str]| {
        let output = command::output(topology.host.command(program).args(args)).unwrap();
        assert!(output.status.success(), "{program}: {output}");
        output.text()
    };
    [dump("iptables-save", &[]), dump("ip6tables-save", &[]), dump("nft", &["list", "ruleset"])].join("\n")
}

/// Runs a shell line through `shell` with a deadline.
pub(crate) fn shell(mut shell: Command, line: &str) -> Output {
    command::output(shell.arg("-c").arg(line)).unwrap()
}

/// Runs `command` with `input` on its standard input.
pub(crate) fn with_input(mut command: Command, input: &[u8]) -> Output {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    file.rewind().unwrap();
    command::collect(command.stdin(Stdio::from(file)), command::DEADLINE).unwrap()
}

#[track_caller]
fn succeeded(program: &str, args: &[&str], output: &Output) -> String {
    assert!(output.status.success(), "{program} {args:?}: {output}");
    output.text()
}

#[test]
fn a_bed_whose_daemon_does_not_start_is_swept() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    // The host has no such address, which is found out after the datapath is pinned.
    std::fs::write(bed.dirs.config(), r#"{"metrics-addr": "192.0.2.99:1"}"#).unwrap();
    let failed = Daemon::start(&binary(), &bed.topology, &bed.dirs, &[]).unwrap_err();
    assert!(failed.to_string().contains("192.0.2.99"), "{failed:#}");
    let pins = Path::new("/sys/fs/bpf/beeline").join(&bed.topology.instance);
    let (namespace, top) = (bed.topology.host.path(), bed.dirs.path().to_owned());
    assert!(pins.exists(), "there is something to sweep");

    let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || bed.start()));
    assert!(started.is_err());
    assert!(!pins.exists() && !namespace.exists() && !top.exists());
}
