//! Further processes in a container that runs, and what is tried against them from inside.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use beeline_spawn::cgroup::Hierarchy;
use beeline_spawn::protocol::{Event, Exec, ExecExit, FailureKind, Request};
use serde_json::{Value, json};

use crate::fixture::{Bench, Container, command, eventually, is_alive, read_all, sh, split};

crate::tests![
    output_input_and_the_exit_code_pass,
    a_terminal_has_a_size_that_changes,
    a_command_that_cannot_be_executed_is_named_and_nothing_is_left,
    it_is_confined_as_it_is_told_and_has_only_its_streams,
    it_goes_on_without_its_client_and_its_exit_is_remembered,
    a_timeout_kills_all_that_it_started,
    it_ends_with_the_container,
    many_run_at_once,
    a_container_sees_nothing_of_one_that_is_on_its_way,
    a_working_directory_cannot_lead_outside,
    a_terminal_is_only_taken_from_a_devpts,
    a_fifo_in_the_place_of_passwd_holds_up_nobody,
    it_is_in_the_containers_user_namespace_and_its_streams_and_limits_are_its_own,
];

fn process(args: &[&str]) -> Value {
    json!({ "user": { "uid": 0, "gid": 0 }, "args": args, "env": ["PATH=/bin"], "cwd": "/" })
}

fn script(script: &str) -> Value {
    process(&["/bin/sh", "-c", script])
}

fn wanted(id: &str) -> Exec {
    Exec { id: id.into(), stdout: true, stderr: true, ..Exec::default() }
}

/// What an exec is asked for by.
fn ask(container: &Container, wanted: Exec, process: &Value) -> (crate::fixture::Connection, Event) {
    let directory = container.request.run_dir.join("exec");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{}.json", wanted.id));
    fs::write(&file, json!({ "process": process }).to_string()).unwrap();
    let mut connection = container.connect();
    let event = connection.ask(Request::Exec(wanted));
    // Read by now; the container's end is to leave nothing.
    fs::remove_file(file).unwrap();
    let _ = fs::remove_dir(directory);
    (connection, event)
}

/// An exec that starts: its stream and its process.
fn exec(container: &Container, wanted: Exec, process: &Value) -> (UnixStream, u32) {
    match ask(container, wanted, process) {
        (connection, Event::ExecStarted { pid }) => (connection.into_stream(), pid),
        (_, event) => panic!("not started: {event:?}"),
    }
}

fn exited(container: &Container, id: &str) -> ExecExit {
    match container.connect().ask(Request::ExecWait { id: id.into() }) {
        Event::ExecExited(exit) => exit,
        event => panic!("not exited: {event:?}"),
    }
}

/// The standard output and the exit code of an exec.
fn run(container: &Container, id: &str, process: &Value) -> (String, u8) {
    let (stream, _) = exec(container, wanted(id), process);
    let (stdout, _) = split(&read_all(&stream));
    (String::from_utf8(stdout).unwrap(), exited(container, id).exit.code)
}

fn processes(container: &Container) -> usize {
    Hierarchy::detect().unwrap().cgroup(&container.cgroup).unwrap().processes().unwrap().len()
}

fn output_input_and_the_exit_code_pass() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let both = script("cat; echo err >&2; exit 7");
    let (mut stream, pid) = exec(&container, Exec { stdin: true, ..wanted("a") }, &both);
    assert!(is_alive(pid));
    stream.write_all(b"through").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (stdout, stderr) = split(&read_all(&stream));
    assert_eq!((stdout.as_slice(), stderr.as_slice()), (&b"through"[..], &b"err\n"[..]));
    let exit = exited(&container, "a");
    assert_eq!((exit.exit.code, exit.timed_out), (7, false));
    // Without standard input it is empty, and a raw stream has no frames.
    let (stream, _) =
        exec(&container, Exec { raw: true, ..wanted("b") }, &script("cat; echo raw; kill -9 $$"));
    assert_eq!(read_all(&stream), b"raw\n");
    assert_eq!(exited(&container, "b").exit.signal, Some(9));
    let (_, event) = ask(&container, wanted("b"), &process(&["true"]));
    assert!(matches!(event, Event::Failed(failure) if failure.kind == FailureKind::State));
    container.kill();
}

fn a_terminal_has_a_size_that_changes() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let mut tty = script("stty size; read line; stty size; readlink /proc/self/fd/0; exit 3");
    tty["terminal"] = true.into();
    tty["consoleSize"] = json!({ "height": 20, "width": 70 });
    let (mut stream, _) = exec(&container, Exec { stdin: true, ..wanted("t") }, &tty);
    let mut first = [0; 7];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"20 70\r\n");
    let resized = Request::ExecResize { id: "t".into(), width: 99, height: 33 };
    assert_eq!(container.connect().ask(resized), Event::Ok);
    stream.write_all(b"go\n").unwrap();
    let rest = String::from_utf8(read_all(&stream)).unwrap();
    assert!(rest.contains("33 99\r\n") && rest.contains("/dev/pts/"), "{rest}");
    assert_eq!(exited(&container, "t").exit.code, 3);
    container.kill();
}

fn a_command_that_cannot_be_executed_is_named_and_nothing_is_left() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let mut nobody = process(&["true"]);
    nobody["user"]["username"] = "nobody-here".into();
    let mut nowhere = process(&["true"]);
    nowhere["cwd"] = "/nowhere".into();
    let cases = [
        (process(&["missing"]), FailureKind::NotFound),
        (process(&["/etc/text"]), FailureKind::NotExecutable),
        (nobody, FailureKind::Setup),
        (nowhere, FailureKind::Setup),
    ];
    for (number, (process, kind)) in cases.into_iter().enumerate() {
        let (mut connection, event) = ask(&container, wanted(&format!("f{number}")), &process);
        assert!(matches!(&event, Event::Failed(failure) if failure.kind == kind), "{event:?}");
        assert!(connection.ended());
    }
    let (_, event) = ask(&container, wanted("bad"), &json!({ "cwd": 5 }));
    assert!(matches!(event, Event::Failed(_)));
    assert!(matches!(container.connect().ask(Request::ExecWait { id: "f0".into() }), Event::Failed(_)));
    assert_eq!(processes(&container), 1);
    eventually("the shim has no child but init", || children(container.shim) == [container.pid]);
    container.kill();
}

fn it_is_confined_as_it_is_told_and_has_only_its_streams() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let mut tight = script(
        "cat /proc/self/status; umask; cat /proc/self/oom_score_adj; ulimit -n; echo fds: /proc/self/fd/*; echo home $HOME",
    );
    let set = json!(["CAP_CHOWN", "CAP_KILL"]);
    tight["capabilities"] = json!({ "bounding": set, "effective": set, "permitted": set });
    tight["noNewPrivileges"] = true.into();
    tight["oomScoreAdj"] = 77.into();
    tight["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 64 }]);
    tight["user"] = json!({ "uid": 0, "gid": 5, "umask": 0o077, "additionalGids": [6] });
    let (output, code) = run(&container, "c", &tight);
    assert_eq!(code, 0);
    for line in [
        "CapPrm:\t0000000000000021",
        "CapBnd:\t0000000000000021",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Gid:\t5\t5\t5\t5",
        "Groups:\t6 ",
        "\n0077\n77\n64\n",
        "home /\n",
        // The last is the directory that the shell reads.
        "fds: /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n",
    ] {
        assert!(output.contains(line), "{line:?} is not in\n{output}");
    }
    // Nothing but its groups and namespaces are init's.
    let (namespaces, _) = run(&container, "n", &script("cd /proc/self/ns; for n in *; do readlink $n; done"));
    for name in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let own = fs::read_link(format!("/proc/{}/ns/{name}", container.pid)).unwrap();
        assert!(namespaces.contains(&*own.to_string_lossy()), "{name} is another one: {namespaces}");
    }
    let (stream, pid) = exec(&container, wanted("g"), &process(&["sleep", "1000"]));
    let groups = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(pid), groups(container.pid));
    drop(stream);
    container.kill();
}

fn it_goes_on_without_its_client_and_its_exit_is_remembered() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let patient = script("sleep 1; seq 100000; exit 9");
    let (stream, pid) = exec(&container, wanted("long"), &patient);
    drop(stream);
    std::thread::sleep(Duration::from_millis(200));
    assert!(is_alive(pid));
    assert_eq!(exited(&container, "long").exit.code, 9);
    assert_eq!(exited(&container, "long").exit.code, 9);
    container.kill();
}

fn a_timeout_kills_all_that_it_started() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let family = script("(sleep 1000; true) & (sleep 1000; true) & echo up; sleep 1000");
    let wanted = Exec { timeout_ms: Some(500), ..wanted("slow") };
    let (stream, _) = exec(&container, wanted, &family);
    eventually("the family is complete", || processes(&container) >= 5);
    assert_eq!(split(&read_all(&stream)).0, b"up\n");
    let exit = exited(&container, "slow");
    assert_eq!((exit.timed_out, exit.exit.code), (true, 137));
    eventually("only init is left", || processes(&container) == 1);
    container.kill();
}

fn it_ends_with_the_container() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let (stream, pid) = exec(&container, wanted("late"), &process(&["sleep", "1000"]));
    let mut waiting = container.connect();
    waiting.send(Request::ExecWait { id: "late".into() });
    // After `kill` everything of the container is gone.
    container.kill();
    assert!(matches!(waiting.event(), Event::ExecExited(exit) if exit.exit.code == 137));
    assert!(read_all(&stream).is_empty());
    assert!(!is_alive(pid));
}

fn many_run_at_once() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    std::thread::scope(|scope| {
        for number in 0..30 {
            let container = &container;
            scope.spawn(move || {
                let id = format!("m{number}");
                let (output, code) = run(container, &id, &script(&format!("echo {number}; exit {number}")));
                assert_eq!((output, code), (format!("{number}\n"), number));
            });
        }
    });
    eventually("the shim has no child but init", || children(container.shim) == [container.pid]);
    container.kill();
}

/// CVE-2019-5736, and tracing: until it executes, a process on its way into the container is the runtime's own program,
/// with all privileges.
fn a_container_sees_nothing_of_one_that_is_on_its_way() {
    let bench = Bench::new();
    let spy = "while :; do for p in /proc/[0-9]*; do readlink $p/exe; readlink $p/root; readlink $p/fd/3; done; done";
    let container = bench.start(&sh(spy));
    for number in 0..40 {
        assert_eq!(run(&container, &format!("s{number}"), &process(&["true"])).1, 0);
    }
    let seen: std::collections::BTreeSet<String> =
        container.log().iter().map(|line| line.log.trim().to_owned()).collect();
    let expected = ["/", "/bin/busybox", "/bin/sh", "/bin/sleep", "/bin/true", "/bin/readlink"];
    // A shell that reads a directory has it as its third descriptor.
    let foreign: Vec<_> =
        seen.iter().filter(|path| !expected.contains(&path.as_str()) && *path != "/proc").collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(seen.contains("/"), "the spy has seen nothing at all");
    container.kill();
}

/// CVE-2024-21626: by way of a descriptor of the runtime's.
fn a_working_directory_cannot_lead_outside() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    for fd in 0..12 {
        for path in [format!("/proc/self/fd/{fd}"), format!("/proc/self/fd/{fd}/../../..")] {
            let mut process = process(&["true"]);
            process["cwd"] = path.as_str().into();
            let id = format!("w{fd}{}", path.len());
            let (_, event) = ask(&container, wanted(&id), &process);
            assert!(matches!(&event, Event::Failed(_)), "{path}: {event:?}");
        }
    }
    // A link is followed inside the root.
    std::os::unix::fs::symlink("../../../../etc", bench.dir.path().join("rootfs/tmp/up")).unwrap();
    let mut inside = script("cat text; readlink /proc/self/cwd");
    inside["cwd"] = "/tmp/up".into();
    assert_eq!(run(&container, "in", &inside).0, "no program/etc\n");
    container.kill();
}

/// As CVE-2025-52565 for init: the container has put something else in the place of its multiplexer.
fn a_terminal_is_only_taken_from_a_devpts() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let shadow = "cat /dev/null > /tmp/ptmx; /bin/busybox mount --bind /tmp/ptmx /dev/pts/ptmx";
    let mut privileged = script(shadow);
    privileged["capabilities"] = json!({
        "bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"],
    });
    assert_eq!(run(&container, "m", &privileged).1, 0);
    let mut tty = process(&["true"]);
    tty["terminal"] = true.into();
    let (_, event) = ask(&container, wanted("t"), &tty);
    assert!(matches!(&event, Event::Failed(failure) if failure.errno == Some(libc::ENODEV)), "{event:?}");
    container.kill();
}

fn a_fifo_in_the_place_of_passwd_holds_up_nobody() {
    let bench = Bench::new();
    let container = bench.start(&command(&["sleep", "1000"]));
    let made = run(&container, "f", &script("/bin/busybox mkfifo /etc/passwd"));
    assert_eq!(made.1, 0);
    let (_, event) = ask(&container, wanted("u"), &process(&["true"]));
    assert!(matches!(event, Event::Failed(_)), "{event:?}");
    container.kill();
}

fn it_is_in_the_containers_user_namespace_and_its_streams_and_limits_are_its_own() {
    let bench = Bench::new();
    let (request, cgroup) = bench.request(&command(&["sleep", "1000"]));
    let file = request.bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    for map in ["uidMappings", "gidMappings"] {
        config["linux"][map] = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    }
    fs::write(&file, config.to_string()).unwrap();
    let mut container = bench.create_from(request, cgroup);
    container.start();

    // More than anybody in the namespace could give itself, if this process may give it.
    let own = rustix::thread::capabilities(None).unwrap().effective;
    let (most, shown) = match own.contains(rustix::thread::CapabilitySet::SYS_RESOURCE) {
        true => (u64::MAX, "unlimited"),
        false => (65_536, "64"),
    };
    let locked = json!([{ "type": "RLIMIT_MEMLOCK", "soft": most, "hard": most }]);
    let mut wanted = script(
        "readlink /proc/self/ns/user; read inside outside size < /proc/self/uid_map; echo $outside; \
         echo again > /dev/stdout; ulimit -l",
    );
    wanted["rlimits"] = locked;
    let namespace = fs::read_link(format!("/proc/{}/ns/user", container.pid)).unwrap();
    let expected = format!("{}\n100000\nagain\n{shown}\n", namespace.display());
    assert_eq!(run(&container, "a", &wanted), (expected, 0));

    let mut user = script(
        "echo again > /dev/stdout; while read name real rest; do [ $name != Uid: ] || echo $real; done < /proc/self/status",
    );
    user["user"] = json!({ "uid": 7, "gid": 7 });
    assert_eq!(run(&container, "b", &user), ("again\n7\n".to_owned(), 0));
    container.kill();
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
