//! The daemon, the spawner and the shim die at bad times.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use beeline_spawn::protocol::{Event, Request, State};
use beeline_spawn::{ShimRequest, Spawner};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Bench, Connection, command, eventually, field, groups, is_alive, sh};

crate::tests![
    a_container_survives_the_connection_it_was_made_with,
    a_container_survives_a_killed_daemon,
    without_a_creator_nothing_is_started,
    a_killed_spawner_is_replaced,
    a_killed_shim_takes_its_container_along,
    a_killed_shim_takes_a_created_container_along,
    a_shim_ignores_what_ends_daemons,
    nothing_is_inherited,
    the_executable_cannot_be_written_through_proc,
];

/// Makes this executable a daemon that starts a container and waits to be killed.
pub(crate) const DAEMON_ARG: &str = "--test-daemon";

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn a_container_survives_the_connection_it_was_made_with() {
    let bench = Bench::new();
    let mut container =
        bench.start(&sh("trap 'echo bye; exit 5' TERM; echo hi; while :; do sleep 0.05; done"));
    container.control = container.connect();
    eventually("it goes on", || container.log().len() == 1);
    assert_eq!(container.status().state, State::Running);
    let mut other = container.connect();
    other.send(Request::Wait);
    container.control.send(Request::Wait);
    container.control.send(Request::Signal { signal: 15 });
    assert_eq!(container.control.event(), Event::Ok);
    assert_eq!(other.exited().code, 5);
    assert!(other.ended());
    assert_eq!(container.log()[1].log, "bye\n");
    assert_eq!(container.exit().code, 5);
}

/// The process that [`a_container_survives_a_killed_daemon`] kills.
pub(crate) fn daemon(args: &[String]) -> ! {
    let request: ShimRequest = serde_json::from_str(&args[0]).unwrap();
    let spawner = Spawner::launch(&std::env::current_exe().unwrap()).unwrap();
    let mut control = Connection::new(spawner.create(&request, None).unwrap());
    let Event::Hello { shim, .. } = control.event() else { panic!("the shim does not greet") };
    let Event::Created { pid } = control.event() else { panic!("not created") };
    assert_eq!(control.ask(Request::Start), Event::Started { pid });
    #[allow(clippy::print_stdout, reason = "what the test reads")]
    {
        println!("{shim} {pid} {}", spawner.pid());
    }
    loop {
        std::thread::park();
    }
}

fn a_container_survives_a_killed_daemon() {
    let bench = Bench::new();
    let (request, cgroup) = bench.request(&sh("trap 'exit 6' TERM; echo hi; while :; do sleep 0.05; done"));
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args([DAEMON_ARG, &serde_json::to_string(&request).unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    eventually("the spawner has gone", || !is_alive(pids[2]));
    let mut container = bench.adopt(request, cgroup, pids[0], pids[1]);
    assert_eq!(container.status().state, State::Running);
    eventually("it goes on", || container.log().len() == 1);
    container.control.send(Request::Wait);
    assert_eq!(container.control.ask(Request::Signal { signal: 15 }), Event::Ok);
    assert_eq!(container.exit().code, 6);
}

fn without_a_creator_nothing_is_started() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("echo never"));
    let mut other = container.connect();
    other.send(Request::Wait);
    container.control = container.connect();
    assert_eq!(other.exited().code, 137);
    container.assert_gone();
    assert!(!container.request.exit_file.exists());
    assert!(container.log().is_empty());
}

fn a_killed_spawner_is_replaced() {
    let bench = Bench::new();
    let mut before = bench.start(&sh("sleep 1000"));
    let spawner = bench.spawner.pid();
    signal(spawner, Signal::KILL);
    // Its end of the socket is closed; it is a zombie until the handle looks at it.
    eventually("it has ended", || !is_alive(spawner));
    let after = bench.start(&sh("sleep 1000"));
    assert_ne!(bench.spawner.pid(), spawner);
    assert!(!Path::new("/proc").join(spawner.to_string()).exists());
    assert_eq!(before.status().state, State::Running);
    before.kill();
    after.kill();
}

fn a_killed_shim_takes_its_container_along() {
    let bench = Bench::new();
    let mut container = bench.start(&sh("sleep 1000 & sleep 1000"));
    signal(container.shim, Signal::KILL);
    assert!(container.control.ended());
    eventually("init has gone", || !is_alive(container.pid));
    eventually("its children have gone", || processes(&container.cgroup).is_empty());
    assert!(!container.request.exit_file.exists());
}

fn a_killed_shim_takes_a_created_container_along() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("echo never"));
    signal(container.shim, Signal::KILL);
    assert!(container.control.ended());
    eventually("init has gone", || !is_alive(container.pid));
    assert!(container.log().is_empty());
}

fn processes(cgroup: &str) -> String {
    let groups = groups(cgroup);
    assert!(!groups.is_empty());
    groups.iter().map(|path| fs::read_to_string(path.join("cgroup.procs")).unwrap()).collect()
}

fn a_shim_ignores_what_ends_daemons() {
    let bench = Bench::new();
    let mut container = bench.start(&sh("sleep 1000"));
    for ignored in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::PIPE] {
        signal(container.shim, ignored);
    }
    assert_eq!(container.status().state, State::Running);
    container.kill();
}

fn nothing_is_inherited() {
    let secret = fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    let bench = Bench::new();
    let other = bench.start(&sh("sleep 1000"));
    let container = bench.start(&command(&["/bin/sleep", "1000"]));
    assert_eq!(descriptors(container.pid).len(), 3, "{:?}", descriptors(container.pid));
    for signals in ["SigIgn:", "SigBlk:"] {
        assert_eq!(field(container.pid, signals).as_deref(), Some("0000000000000000"), "{signals}");
    }
    for process in [bench.spawner.pid(), container.shim] {
        let open = descriptors(process);
        assert!(open.iter().all(|path| !path.contains("hostname")), "{open:?}");
        // The spawner: one socket. The shim: its connection and its listener.
        let sockets = open.iter().filter(|path| path.starts_with("socket:")).count();
        assert_eq!(sockets, if process == container.shim { 2 } else { 1 }, "{open:?}");
    }
    container.kill();
    other.kill();
}

fn descriptors(pid: u32) -> Vec<String> {
    let directory = Path::new("/proc").join(pid.to_string()).join("fd");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter_map(|path| fs::read_link(path).ok()).map(|path| path.display().to_string()).collect()
}

fn the_executable_cannot_be_written_through_proc() {
    let mut bench = Bench::new();
    let exe = bench.dir.path().join("beeline");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    bench.spawner = Spawner::launch(&exe).unwrap();
    let container = bench.create(&sh("true"));
    let links = [bench.spawner.pid(), container.shim, container.pid]
        .map(|pid| fs::File::open(Path::new("/proc").join(pid.to_string()).join("exe")).unwrap());
    drop(container.control);
    bench.spawner = Spawner::launch(&std::env::current_exe().unwrap()).unwrap();
    for (link, pid) in links.iter().zip([container.shim, container.pid, container.shim]) {
        eventually("it has gone", || !is_alive(pid));
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(link));
        let error = fs::OpenOptions::new().write(true).custom_flags(libc::O_CLOEXEC).open(path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    }
    // The file itself is as writable as before.
    fs::OpenOptions::new().append(true).open(&exe).unwrap();
}
