//! Further processes in containers: through both clients, across the daemon's death, and against attacks from inside.

use std::fs;
use std::time::{Duration, Instant};

use crate::bed::{Bed, binary, shell, with_input};

/// A bed with the container `box` that waits.
fn bed() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "box", "-e", "FROM=container", "busybox", "sleep", "1000"]);
    Some(bed)
}

/// What the API answers to a GET.
fn api(bed: &Bed, path: &str) -> serde_json::Value {
    let socket = bed.dirs.socket();
    let text = bed.in_host(&format!("curl -s --unix-socket {} http://x{path}", socket.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// How many processes of `box` have this command line.
fn running(bed: &Bed, command: &str) -> usize {
    bed.docker_ok(&["top", "box"]).lines().filter(|line| line.ends_with(command)).count()
}

/// Runs a line with a terminal, into which `input` is typed after two seconds.
fn on_a_terminal(bed: &Bed, line: &str, input: &str) -> beeline_testbed::command::Output {
    let line = format!(
        "(sleep 2; printf '{input}'; sleep 2) | DOCKER_HOST={} script --quiet --return --command '{line}' /dev/null",
        bed.dirs.docker_host()
    );
    shell(bed.topology.host.command("sh"), &line)
}

#[test]
fn flags_and_exit_codes_are_dockers_in_both_clients() {
    let Some(bed) = bed() else { return };
    let file = bed.dirs.path().join("env");
    fs::write(&file, "FILE=yes\n").unwrap();
    let file = file.display().to_string();
    let script = "echo $A $FILE $FROM; id -u; id -g; pwd; echo err >&2; exit 42";
    let args =
        ["exec", "-e", "A=b", "--env-file", &file, "-u", "1000:7", "-w", "/tmp", "box", "sh", "-c", script];
    for output in [bed.docker(&args), bed.beeline(&args)] {
        assert_eq!(output.text(), "b yes container\n1000\n7\n/tmp", "{output}");
        assert_eq!((output.code(), output.stderr.as_str()), (42, "err\n"));
    }
    let capabilities = |args: &[&str]| {
        let status = bed.docker_ok(&[args, &["box", "grep", "Cap[PB]", "/proc/self/status"]].concat());
        status.lines().map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(capabilities(&["exec"]), ["00000000a80425fb"; 2], "as init's");
    // All that there are: those of whoever runs the daemon.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    assert_eq!(capabilities(&["exec", "--privileged"]), [own; 2]);
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for command in [
        bed.docker_command(&["exec", "-i", "box", "cat"]),
        bed.beeline_command(&["exec", "-i", "box", "cat"]),
    ] {
        let output = with_input(command, &bytes);
        assert!(output.stdout == bytes, "{} bytes came back of {}", output.stdout.len(), bytes.len());
    }
    assert_eq!(bed.docker_ok(&["exec", "box", "cat"]), "", "without -i there is no input");
}

#[test]
fn what_cannot_be_executed_is_told_in_dockers_words() {
    let Some(bed) = bed() else { return };
    let missing = "OCI runtime exec failed: exec failed: unable to start container process: \
                   exec: \"nope\": executable file not found in $PATH: unknown";
    for client in [Bed::docker, Bed::beeline] {
        let output = client(&bed, &["exec", "box", "nope"]);
        assert_eq!((output.code(), output.text().as_str()), (127, missing));
        let output = client(&bed, &["exec", "box", "/etc"]);
        assert_eq!(output.code(), 126, "{output}");
        assert!(output.text().contains("exec: \"/etc\": permission denied"), "{output}");
        let output = client(&bed, &["exec", "-u", "ghost", "box", "true"]);
        assert_eq!(output.code(), 126, "{output}");
        assert!(output.text().contains("unable to find user ghost"), "{output}");
        assert_eq!(client(&bed, &["exec", "-w", "/nowhere", "box", "true"]).code(), 127);
        let output = client(&bed, &["exec", "-d", "box", "nope"]);
        assert_eq!(output.code() != 0, output.stderr.contains("executable file not found"), "{output}");
    }
    bed.docker_ok(&["stop", "-t", "0", "box"]);
    let stopped = bed.docker(&["exec", "box", "true"]);
    assert_eq!(stopped.code(), 1);
    assert!(stopped.stderr.contains("is not running"), "{stopped}");
    let unknown = bed.docker(&["exec", "nobody", "true"]);
    assert!(unknown.stderr.contains("No such container: nobody"), "{unknown}");
    assert_eq!(api(&bed, "/exec/0123/json")["message"], "No such exec instance: 0123");
}

#[test]
fn a_terminal_is_a_terminal_and_detach_keys_leave_the_command_running() {
    let Some(bed) = bed() else { return };
    let ours = binary().display().to_string();
    for client in ["docker", &ours] {
        let output =
            on_a_terminal(&bed, &format!("{client} exec -it box sh -c \"tty; read a; exit 7\""), "x\\n");
        assert_eq!(output.code(), 7, "{client}: {output}");
        assert!(output.text().contains("/dev/pts/"), "{client}: {output}");
        let keys = format!("{client} exec -it --detach-keys ctrl-a,x box sleep 500");
        let begin = Instant::now();
        on_a_terminal(&bed, &keys, "\\001x");
        assert!(begin.elapsed() < Duration::from_secs(30), "{client} has not left");
    }
    assert_eq!(running(&bed, "sleep 500"), 2);
}

#[test]
fn it_is_seen_in_inspect_and_events_and_ends_with_its_container() {
    let Some(bed) = bed() else { return };
    assert_eq!(bed.inspect("box", "{{json .ExecIDs}}"), "null");
    bed.docker_ok(&["exec", "-d", "-u", "5", "box", "sleep", "999"]);
    let id: Vec<String> = serde_json::from_str(&bed.inspect("box", "{{json .ExecIDs}}")).unwrap();
    let [id] = id.as_slice() else { panic!("{id:?}") };
    let exec = api(&bed, &format!("/exec/{id}/json"));
    assert_eq!((exec["Running"].as_bool(), exec["ExitCode"].is_null()), (Some(true), true), "{exec}");
    assert_eq!(exec["ProcessConfig"]["entrypoint"], "sleep");
    assert_eq!(exec["ProcessConfig"]["user"], "5");
    let pid = exec["Pid"].as_u64().unwrap();
    assert!(fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("999"));

    bed.docker_ok(&["stop", "-t", "0", "box"]);
    bed.eventually("the exec has ended", || {
        (api(&bed, &format!("/exec/{id}/json"))["ExitCode"] == 137).then_some(())
    });
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(bed.inspect("box", "{{json .ExecIDs}}"), "null");
    for event in ["exec_create: sleep 999", "exec_start: sleep 999", "exec_die 137"] {
        // The client's "until now" is in whole seconds.
        bed.eventually(event, || events(&bed).contains(event).then_some(()));
    }
}

fn events(bed: &Bed) -> String {
    let format = "{{.Action}} {{.Actor.Attributes.exitCode}}";
    bed.events(&[], format)
}

#[test]
fn twenty_execs_run_in_parallel() {
    let Some(bed) = bed() else { return };
    std::thread::scope(|scope| {
        for number in 0..20 {
            let bed = &bed;
            scope.spawn(move || {
                let script = format!("echo {number}; exit {number}");
                let output = bed.docker(&["exec", "box", "sh", "-c", &script]);
                assert_eq!((output.text(), output.code()), (number.to_string(), number));
            });
        }
    });
    assert_eq!(bed.inspect("box", "{{json .ExecIDs}}"), "null");
}

#[test]
fn it_outlives_the_daemon_and_its_exit_code_is_found() {
    let Some(mut bed) = bed() else { return };
    let socket = bed.dirs.socket().display().to_string();
    bed.docker_ok(&["exec", "-d", "box", "sh", "-c", "sleep 4; echo done > /tmp/done; exit 5"]);
    let long: Vec<String> = serde_json::from_str(&bed.inspect("box", "{{json .ExecIDs}}")).unwrap();
    // An attached client's output ends with the daemon; its command goes on.
    let mut attached = bed.docker_command(&["exec", "box", "sleep", "777"]).spawn().unwrap();
    bed.eventually("the second runs", || {
        let ids = bed.inspect("box", "{{len .ExecIDs}}");
        (ids == "2").then_some(())
    });
    bed.kill_daemon();
    attached.wait().unwrap();
    bed.start();
    assert_eq!(bed.inspect("box", "{{len .ExecIDs}}"), "2", "{socket}");
    let exec = api(&bed, &format!("/exec/{}/json", long[0]));
    assert!(exec["Pid"].as_u64().unwrap() > 0, "{exec}");
    let code = bed.eventually("the first has ended", || {
        api(&bed, &format!("/exec/{}/json", long[0]))["ExitCode"].as_i64()
    });
    assert_eq!(code, 5);
    assert_eq!(bed.docker_ok(&["exec", "box", "cat", "/tmp/done"]), "done");
    assert_eq!(bed.inspect("box", "{{len .ExecIDs}}"), "1");
    assert_eq!(running(&bed, "sleep 777"), 1);
}

/// CVE-2019-5736: a command that is the runtime's own program gives the container a way to the runtime's file.
#[test]
fn the_runtime_cannot_be_overwritten_through_proc() {
    let Some(bed) = bed() else { return };
    let before = fs::read(binary()).unwrap();
    let own = bed.docker_ok(&["exec", "box", "/proc/self/exe", "--version"]);
    assert!(own.contains("beeline"), "it is the runtime that runs: {own}");
    // It waits for the answer of a server that gives none.
    bed.docker_ok(&["exec", "-d", "box", "nc", "-l", "-p", "99", "-e", "sleep", "1000"]);
    let server = "DOCKER_HOST=tcp://127.0.0.1:99";
    bed.docker_ok(&["exec", "-d", "-e", server, "box", "/proc/self/exe", "version"]);
    let find =
        "for p in /proc/[0-9]*; do case $(readlink $p/exe) in *busybox*|'') ;; *) echo $p;; esac; done";
    let process = bed.eventually("the runtime runs in the container", || {
        Some(bed.docker_ok(&["exec", "box", "sh", "-c", find])).filter(|found| !found.is_empty())
    });
    for write in [format!("echo x >> {process}/exe"), format!("cp /bin/busybox {process}/exe")] {
        let output = bed.docker(&["exec", "--privileged", "box", "sh", "-c", &write]);
        let refused =
            output.stderr.contains("Read-only file system") || output.stderr.contains("Text file busy");
        assert!(output.code() != 0 && refused, "{output}");
    }
    // What has nothing to do with its being executed: the mount is read-only.
    let output = bed.docker(&["exec", "--privileged", "box", "chmod", "777", &format!("{process}/exe")]);
    assert!(output.stderr.contains("Read-only file system"), "{output}");
    assert!(fs::read(binary()).unwrap() == before, "the runtime is another one");
}

#[test]
fn top_lists_the_processes_of_the_container_and_no_others() {
    let Some(bed) = bed() else { return };
    bed.docker_ok(&["exec", "-d", "-u", "1234", "box", "sleep", "888"]);
    for listing in [bed.docker_ok(&["top", "box"]), bed.beeline_ok(&["top", "box"])] {
        let lines: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(lines.len(), 3, "{listing}");
        assert_eq!((lines[1][0], &lines[1][7..]), ("root", &["sleep", "1000"][..]));
        assert_eq!((lines[2][0], &lines[2][7..]), ("1234", &["sleep", "888"][..]));
        assert_eq!(lines[1][1], bed.inspect("box", "{{.State.Pid}}"));
    }
    let other = bed.docker_ok(&["top", "box", "-o", "pid,comm"]);
    let words: Vec<&str> = other.split_whitespace().collect();
    assert_eq!((words.len(), words[0], words[3]), (6, "PID", "sleep"), "{other}");
    let wrong = bed.docker(&["top", "box", "--nonsense"]);
    assert!(wrong.code() != 0 && wrong.stderr.contains("ps:"), "{wrong}");
    let renamed = bed.docker(&["top", "box", "-o", "pid=x"]);
    assert!(renamed.stderr.contains("not allowed"), "{renamed}");
    bed.docker_ok(&["stop", "-t", "0", "box"]);
    assert!(bed.docker(&["top", "box"]).stderr.contains("is not running"));
}

#[test]
fn our_client_attaches_renames_and_restarts() {
    let Some(bed) = bed() else { return };
    bed.beeline_ok(&["rename", "box", "crate"]);
    assert_eq!(bed.inspect("crate", "{{.Name}}"), "/crate");
    let pid = bed.inspect("crate", "{{.State.Pid}}");
    assert_eq!(bed.beeline_ok(&["restart", "-t", "0", "crate"]), "crate");
    assert_ne!(bed.inspect("crate", "{{.State.Pid}}"), pid);
    bed.docker_ok(&[
        "run",
        "-d",
        "-i",
        "--name",
        "echo",
        "busybox",
        "sh",
        "-c",
        "read line; echo got $line; exit 6",
    ]);
    // The end of input would detach the client: this container's is open for others.
    let line = format!(
        "(echo it; sleep 5) | DOCKER_HOST={} {} attach echo",
        bed.dirs.docker_host(),
        binary().display()
    );
    let output = shell(bed.topology.host.command("sh"), &line);
    assert_eq!((output.text().as_str(), output.code()), ("got it", 6), "{output}");
    let stopped = bed.beeline(&["attach", "echo"]);
    assert!(stopped.stderr.contains("You cannot attach to a stopped container"), "{stopped}");
}
