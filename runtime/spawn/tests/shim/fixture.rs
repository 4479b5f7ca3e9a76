//! Containers for tests, and the assertion that nothing is left of them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use beeline_spawn::cgroup::Hierarchy;
use beeline_spawn::container::Rootfs;
use beeline_spawn::log::{LogLine, ReadOptions, Reader};
use beeline_spawn::protocol::{self, Attach, Event, Exit, FailureKind, Request, Status};
use beeline_spawn::{FileLog, LogConfig, Network, ShimRequest, Spawner, connect_shim};
use serde_json::json;
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A spawner and a place for containers.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) spawner: Spawner,
    cgroup: String,
    numbers: AtomicU32,
}

/// A container, by the connection it was created with.
pub(crate) struct Container {
    pub(crate) request: ShimRequest,
    pub(crate) cgroup: String,
    pub(crate) control: Connection,
    pub(crate) shim: u32,
    pub(crate) pid: u32,
}

/// A connection to a shim that speaks in messages.
pub(crate) struct Connection(BufReader<UnixStream>);

/// What a container is to be.
pub(crate) struct Options {
    pub(crate) args: Vec<String>,
    pub(crate) tty: bool,
    pub(crate) open_stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) max_size: u64,
    pub(crate) max_file: u32,
    pub(crate) memory: Option<u64>,
}

/// `sh -c script`, otherwise plain.
pub(crate) fn sh(script: &str) -> Options {
    command(&["/bin/sh", "-c", script])
}

pub(crate) fn command(args: &[&str]) -> Options {
    Options {
        args: args.iter().map(ToString::to_string).collect(),
        tty: false,
        open_stdin: false,
        stdin_once: false,
        max_size: 10 * 1024 * 1024,
        max_file: 3,
        memory: None,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rootfs = dir.path().join("rootfs");
        for name in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox-static is installed");
        for applet in ["sh", "cat", "stty", "sleep", "true", "head", "yes", "seq", "readlink"] {
            fs::hard_link(rootfs.join("bin/busybox"), rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(rootfs.join("etc/text"), "no program").unwrap();
        let spawner = Spawner::launch(&std::env::current_exe().unwrap()).unwrap();
        let cgroup = format!("/beeline-spawn-test-{}", std::process::id());
        Self { dir, spawner, cgroup, numbers: AtomicU32::new(0) }
    }

    /// Has a container made that waits for its start.
    pub(crate) fn create(&self, options: &Options) -> Container {
        let (request, cgroup) = self.request(options);
        self.create_from(request, cgroup)
    }

    pub(crate) fn create_from(&self, request: ShimRequest, cgroup: String) -> Container {
        let mut control = Connection::new(self.spawner.create(&request, None).unwrap());
        let Event::Hello { shim, id, .. } = control.event() else { panic!("the shim does not greet") };
        assert_eq!(id, request.id);
        match control.event() {
            Event::Created { pid } => Container { request, cgroup, control, shim, pid },
            event => panic!("not created: {event:?}"),
        }
    }

    /// A container that another daemon made.
    pub(crate) fn adopt(&self, request: ShimRequest, cgroup: String, shim: u32, pid: u32) -> Container {
        let mut control = Connection::new(connect_shim(&request.run_dir).unwrap());
        assert_eq!(control.event(), Event::Hello { v: protocol::VERSION, id: request.id.clone(), shim });
        Container { request, cgroup, control, shim, pid }
    }

    /// Has a container made and started.
    pub(crate) fn start(&self, options: &Options) -> Container {
        let mut container = self.create(options);
        container.start();
        container
    }

    /// A request of which everything exists but the container, and its cgroup.
    pub(crate) fn request(&self, options: &Options) -> (ShimRequest, String) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let id = format!("container-{number}");
        let bundle = self.dir.path().join(&id);
        let run_dir = bundle.join("run");
        fs::create_dir_all(&run_dir).unwrap();
        let cgroup = format!("{}/{id}", self.cgroup);
        fs::write(bundle.join("config.json"), configuration(options, &cgroup)).unwrap();
        let log = FileLog {
            max_size: options.max_size,
            max_file: options.max_file,
            ..FileLog::json(bundle.join("container.log"))
        };
        let request = ShimRequest {
            id,
            rootfs: Rootfs::Directory(self.dir.path().join("rootfs")),
            log: LogConfig { file: Some(log), ..LogConfig::default() },
            run_dir,
            exit_file: bundle.join("exit.json"),
            network: Network::New,
            open_stdin: options.open_stdin,
            stdin_once: options.stdin_once,
            bundle,
        };
        (request, cgroup)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Ok(hierarchy) = Hierarchy::detect() {
            let cgroup = hierarchy.cgroup(&self.cgroup).unwrap();
            if std::thread::panicking() {
                let _ = cgroup.kill();
                let _ = cgroup.remove();
            } else {
                cgroup.remove().unwrap();
            }
        }
    }
}

fn configuration(options: &Options, cgroup: &str) -> String {
    let memory = options.memory.map(|limit| json!({ "limit": limit, "swap": limit }));
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "hostname": "test",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "process": {
            "terminal": options.tty,
            "consoleSize": { "height": 30, "width": 100 },
            "user": { "uid": 0, "gid": 0 },
            "args": options.args,
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "linux": {
            "cgroupsPath": cgroup,
            "resources": { "memory": memory },
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
            ],
        },
    })
    .to_string()
}

impl Container {
    pub(crate) fn start(&mut self) {
        assert_eq!(self.control.ask(Request::Start), Event::Started { pid: self.pid });
    }

    pub(crate) fn status(&mut self) -> Status {
        match self.control.ask(Request::Status) {
            Event::Status(status) => status,
            event => panic!("no status: {event:?}"),
        }
    }

    /// Waits for the exit, and for everything of the container to be gone.
    pub(crate) fn exit(mut self) -> Exit {
        let exit = self.control.exited();
        assert_eq!(exit, self.recorded());
        self.assert_gone();
        exit
    }

    /// Ends it.
    pub(crate) fn kill(mut self) {
        assert_eq!(self.control.ask(Request::Signal { signal: 9 }), Event::Ok);
        assert_eq!(self.exit().code, 137);
    }

    /// A start that is to fail.
    pub(crate) fn fail(mut self) -> (FailureKind, Exit) {
        match self.control.ask(Request::Start) {
            Event::Failed(failure) => (failure.kind, self.exit()),
            event => panic!("not failed: {event:?}"),
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        let mut connection = Connection::new(connect_shim(&self.request.run_dir).unwrap());
        assert!(matches!(connection.event(), Event::Hello { v: protocol::VERSION, .. }));
        connection
    }

    pub(crate) fn attach(&self, stdin: bool) -> UnixStream {
        self.connect().attach(Attach { stdin, stdout: true, stderr: true })
    }

    /// What the exit file says.
    pub(crate) fn recorded(&self) -> Exit {
        protocol::decode(&fs::read(&self.request.exit_file).unwrap()).unwrap()
    }

    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.read_log(ReadOptions::default())
    }

    /// The text of the log's last record.
    pub(crate) fn last_logged(&self) -> String {
        let tail = self.read_log(ReadOptions { tail: Some(1), ..ReadOptions::default() });
        tail.into_iter().map(|line| line.log).collect()
    }

    fn read_log(&self, options: ReadOptions) -> Vec<LogLine> {
        let log = self.request.log.file.as_ref().unwrap();
        let mut reader = Reader::open(&log.path, log.format, options).unwrap();
        let lines = std::iter::from_fn(|| reader.next_line().unwrap()).collect();
        assert_eq!(reader.malformed(), 0);
        lines
    }

    /// No process, no socket, no group.
    pub(crate) fn assert_gone(&self) {
        eventually("init has gone", || !is_alive(self.pid));
        eventually("the shim has gone", || !is_alive(self.shim));
        assert_eq!(fs::read_dir(&self.request.run_dir).unwrap().count(), 0);
        eventually("the cgroup has gone", || groups(&self.cgroup).is_empty());
    }
}

/// The directories of a cgroup that exist.
pub(crate) fn groups(cgroup: &str) -> Vec<PathBuf> {
    let paths = Hierarchy::detect().unwrap().cgroup(cgroup).unwrap().paths();
    paths.unified.into_iter().chain(paths.v1.into_values()).filter(|path| path.exists()).collect()
}

/// Whether a process runs. A zombie does not; the machine's init may let an orphan be one for a while.
pub(crate) fn is_alive(pid: u32) -> bool {
    field(pid, "State:").is_some_and(|state| !state.starts_with('Z'))
}

/// A field of `/proc/PID/status`; none if there is no such process.
pub(crate) fn field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Byte by byte: what follows an answer may be a stream already.
        Self(BufReader::with_capacity(1, stream))
    }

    #[allow(clippy::needless_pass_by_value, reason = "requests are made where they are sent")]
    pub(crate) fn send(&mut self, request: Request) {
        self.0.get_mut().write_all(&protocol::encode(&request).unwrap()).unwrap();
    }

    pub(crate) fn event(&mut self) -> Event {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        assert!(!line.is_empty(), "the shim has closed the connection");
        protocol::decode(&line).unwrap()
    }

    pub(crate) fn ask(&mut self, request: Request) -> Event {
        self.send(request);
        self.event()
    }

    pub(crate) fn exited(&mut self) -> Exit {
        match self.event() {
            Event::Exited(exit) => exit,
            event => panic!("not exited: {event:?}"),
        }
    }

    pub(crate) fn attach(mut self, attach: Attach) -> UnixStream {
        assert_eq!(self.ask(Request::Attach(attach)), Event::Ok);
        self.into_stream()
    }

    /// The stream that the connection has become.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.0.into_inner()
    }

    /// Whether the shim has closed the connection.
    pub(crate) fn ended(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|read| read == 0)
    }
}

/// Takes Docker's frames apart: standard output, standard error.
pub(crate) fn split(mut raw: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((header, rest)) = raw.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        assert_eq!(header[1..4], [0, 0, 0]);
        let (payload, rest) = rest.split_at(length);
        match header[0] {
            1 => stdout.extend_from_slice(payload),
            2 => stderr.extend_from_slice(payload),
            other => panic!("a frame of stream {other}"),
        }
        raw = rest;
    }
    assert!(raw.is_empty(), "half a frame");
    (stdout, stderr)
}

pub(crate) fn read_all(mut stream: &UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}
