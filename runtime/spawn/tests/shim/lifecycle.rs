//! From creation to the exit code.

use std::io::Write;
use std::path::PathBuf;

use beeline_spawn::container::Rootfs;
use beeline_spawn::protocol::{Event, FailureKind, Request, State};
use beeline_spawn::{ShimRequest, connect_shim};

use crate::fixture::{Bench, Connection, command, eventually, groups, is_alive, sh};

crate::tests![
    exit_codes_arrive,
    signals_reach_init,
    an_unknown_signal_is_refused,
    init_dies_of_a_kill_from_the_host,
    a_missing_command_is_127,
    a_command_that_is_no_program_is_126,
    a_broken_configuration_is_refused,
    a_missing_root_is_refused,
    states_are_told,
    a_second_start_is_refused,
    unknown_requests_are_answered,
    a_memory_kill_is_noticed,
];

fn exit_codes_arrive() {
    let bench = Bench::new();
    for code in [0, 1, 2, 42, 125, 126, 127, 128, 137, 200, 254, 255] {
        let exit = bench.start(&sh(&format!("exit {code}"))).exit();
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (code, None, false));
    }
}

fn signals_reach_init() {
    let bench = Bench::new();
    let trap = "trap 'exit 143' TERM; echo; while :; do sleep 0.05; done";
    for (signal, expected) in [(15, (143, None)), (9, (137, Some(9)))] {
        let mut container = bench.start(&sh(trap));
        eventually("the trap is set", || container.log().len() == 1);
        assert_eq!(container.control.ask(Request::Signal { signal }), Event::Ok);
        let exit = container.exit();
        assert_eq!((exit.code, exit.signal), expected);
    }
}

fn an_unknown_signal_is_refused() {
    let bench = Bench::new();
    let mut container = bench.start(&sh("sleep 1000"));
    let event = container.control.ask(Request::Signal { signal: 65 });
    assert!(matches!(event, Event::Failed(failure) if failure.errno == Some(libc::EINVAL)));
    container.kill();
}

fn init_dies_of_a_kill_from_the_host() {
    let bench = Bench::new();
    let container = bench.start(&sh("sleep 1000"));
    let pid = rustix::process::Pid::from_raw(container.pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!((container.exit().code), 137);
}

fn a_missing_command_is_127() {
    let bench = Bench::new();
    let (kind, exit) = bench.create(&command(&["/bin/nothing"])).fail();
    assert_eq!((kind, exit.code), (FailureKind::NotFound, 127));
    let (kind, exit) = bench.create(&command(&["nothing"])).fail();
    assert_eq!((kind, exit.code), (FailureKind::NotFound, 127));
}

fn a_command_that_is_no_program_is_126() {
    let bench = Bench::new();
    for path in ["/etc/text", "/etc"] {
        let (kind, exit) = bench.create(&command(&[path])).fail();
        assert_eq!((kind, exit.code), (FailureKind::NotExecutable, 126));
    }
}

fn a_broken_configuration_is_refused() {
    let bench = Bench::new();
    let (request, cgroup) = bench.request(&sh("true"));
    std::fs::write(request.bundle.join("config.json"), "{\"ociVersion\": ").unwrap();
    refused(&bench, &request, &cgroup, "config.json");
}

fn a_missing_root_is_refused() {
    let bench = Bench::new();
    let (mut request, cgroup) = bench.request(&sh("true"));
    request.rootfs = Rootfs::Directory("/nonexistent/root".into());
    refused(&bench, &request, &cgroup, "/nonexistent/root");
}

fn refused(bench: &Bench, request: &ShimRequest, cgroup: &str, named: &str) {
    let mut control = Connection::new(bench.spawner.create(request, None).unwrap());
    let Event::Hello { shim, .. } = control.event() else { panic!("the shim does not greet") };
    let Event::Failed(failure) = control.event() else { panic!("not refused") };
    assert_eq!(failure.kind, FailureKind::Setup);
    assert!(failure.message.contains(named), "{}", failure.message);
    assert!(control.ended());
    eventually("the shim has gone", || !is_alive(shim));
    assert_eq!(groups(cgroup), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_dir(&request.run_dir).unwrap().count(), 0);
}

fn states_are_told() {
    let bench = Bench::new();
    let mut container = bench.create(&sh("sleep 1000"));
    assert_eq!(container.status().state, State::Created);
    container.start();
    let status = container.status();
    assert_eq!(
        (status.state, status.pid, status.exit, status.log_dropped),
        (State::Running, container.pid, None, 0)
    );
    assert!(!container.request.exit_file.exists());
    container.kill();
}

fn a_second_start_is_refused() {
    let bench = Bench::new();
    let mut container = bench.start(&sh("sleep 1000"));
    let event = container.control.ask(Request::Start);
    assert!(matches!(event, Event::Failed(failure) if failure.kind == FailureKind::State));
    let event = container.control.ask(Request::Resize { width: 1, height: 1 });
    assert!(matches!(event, Event::Failed(failure) if failure.kind == FailureKind::State));
    container.kill();
}

fn unknown_requests_are_answered() {
    let bench = Bench::new();
    let container = bench.start(&sh("sleep 1000"));
    let mut raw = connect_shim(&container.request.run_dir).unwrap();
    raw.write_all(b"{\"freeze\":{}}\nnonsense\n\"status\"\n").unwrap();
    let mut connection = Connection::new(raw);
    connection.event();
    for _ in 0..2 {
        let event = connection.event();
        assert!(matches!(event, Event::Failed(failure) if failure.kind == FailureKind::Unsupported));
    }
    assert!(matches!(connection.event(), Event::Status(_)));
    container.kill();
}

fn a_memory_kill_is_noticed() {
    let bench = Bench::new();
    let mut options = sh("x=x; while :; do x=$x$x; done");
    options.memory = Some(16 * 1024 * 1024);
    let exit = bench.start(&options).exit();
    assert_eq!((exit.code, exit.oom_killed), (137, true));
}
