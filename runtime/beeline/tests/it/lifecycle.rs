//! Containers as processes: exit codes, signals, stop, kill, wait, logs and names.

use std::fs;

use crate::bed::{Bed, with_input};

#[test]
fn exit_codes_arrive_at_both_clients() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    for code in [0, 1, 42, 126, 255] {
        let script = format!("exit {code}");
        let args = ["run", "--rm", "busybox", "sh", "-c", &script];
        assert_eq!(bed.docker(&args).code(), code, "docker");
        assert_eq!(bed.beeline(&args).code(), code, "beeline");
    }
}

#[test]
fn output_and_input_pass_through_unchanged() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    for command in [
        bed.docker_command(&["run", "--rm", "-i", "busybox", "cat"]),
        bed.beeline_command(&["run", "--rm", "-i", "busybox", "cat"]),
    ] {
        let output = with_input(command, &bytes);
        assert_eq!(output.code(), 0, "{}", output.stderr);
        assert!(output.stdout == bytes, "{} bytes came back of {}", output.stdout.len(), bytes.len());
    }
    let streams = ["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"];
    for output in [bed.docker(&streams), bed.beeline(&streams)] {
        assert_eq!((output.text().as_str(), output.stderr.as_str()), ("out", "err\n"));
    }
}

#[test]
fn a_terminal_is_a_terminal() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    for client in ["docker", &crate::bed::binary().display().to_string()] {
        let host = bed.dirs.docker_host();
        let line = format!(
            "DOCKER_HOST={host} script --quiet --return --command '{client} run --rm -it busybox sh -c \"tty; exit 7\"' /dev/null"
        );
        let output = crate::bed::shell(bed.topology.host.command("sh"), &line);
        assert_eq!(output.code(), 7, "{client}: {output}");
        assert!(output.text().contains("/dev/pts/0"), "{client}: {output}");
    }
}

#[test]
fn a_signal_from_the_host_ends_the_container_with_its_code() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "polite", "beeline/whoami"]);
    let pid = bed.inspect("polite", "{{.State.Pid}}");
    bed.in_host(&format!("kill -TERM {pid}"));
    assert_eq!(bed.docker_ok(&["wait", "polite"]), "0", "whoami handles SIGTERM");

    bed.docker_ok(&["run", "-d", "--name", "killed", "beeline/whoami"]);
    let pid = bed.inspect("killed", "{{.State.Pid}}");
    bed.in_host(&format!("kill -KILL {pid}"));
    assert_eq!(bed.docker_ok(&["wait", "killed"]), "137");
    assert_eq!(bed.inspect("killed", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
}

#[test]
fn children_stay_in_the_containers_groups_and_die_with_init() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "sleep 1000 & sleep 1000 & exec sleep 1000";
    bed.docker_ok(&["run", "-d", "--name", "family", "busybox", "sh", "-c", script]);
    let id = bed.inspect("family", "{{.Id}}");
    let pids = bed.eventually("three processes in the groups", || {
        let pids = processes_of(&id);
        (pids.len() == 3).then_some(pids)
    });
    let init = bed.inspect("family", "{{.State.Pid}}");
    assert!(pids.contains(&init));
    bed.docker_ok(&["kill", "family"]);
    assert_eq!(bed.docker_ok(&["wait", "family"]), "137");
    bed.eventually("the children are gone", || processes_of(&id).is_empty().then_some(()));
}

#[test]
fn stop_asks_first_and_kills_after_its_timeout() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "polite", "beeline/whoami"]);
    // A signal that comes before init is ready for it is lost: the kernel spares a namespace's first process.
    let listens = |run: usize| {
        bed.eventually("init is ready", || {
            (bed.docker_ok(&["logs", "polite"]).matches("listening").count() == run).then_some(())
        });
    };
    listens(1);
    bed.docker_ok(&["stop", "polite"]);
    assert_eq!(bed.inspect("polite", "{{.State.ExitCode}}"), "0");

    // Init ignores SIGTERM unless it has a handler.
    bed.docker_ok(&["run", "-d", "--name", "deaf", "busybox", "sleep", "1000"]);
    bed.beeline_ok(&["stop", "-t", "1", "deaf"]);
    assert_eq!(bed.inspect("deaf", "{{.State.ExitCode}}"), "137");

    bed.docker_ok(&["start", "polite"]);
    assert_eq!(bed.inspect("polite", "{{.State.Running}}"), "true");
    listens(2);
    bed.docker_ok(&["kill", "--signal", "TERM", "polite"]);
    assert_eq!(bed.docker_ok(&["wait", "polite"]), "0");
}

#[test]
fn logs_are_kept_followed_and_tailed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "for i in 1 2 3 4 5; do echo line $i; done; echo warn >&2; sleep 1; echo last";
    bed.docker_ok(&["run", "-d", "--name", "talk", "busybox", "sh", "-c", script]);
    // Both followers start before the last line is written and end with the container.
    let followed = bed.docker(&["logs", "--follow", "talk"]);
    assert_eq!(followed.text(), "line 1\nline 2\nline 3\nline 4\nline 5\nlast", "{followed}");
    assert_eq!(followed.stderr, "warn\n");
    assert_eq!(bed.beeline_ok(&["logs", "--tail", "1", "talk"]), "last");
    let stamped = bed.docker_ok(&["logs", "--timestamps", "--tail", "1", "talk"]);
    assert!(stamped.starts_with("20") && stamped.ends_with("Z last"), "{stamped}");
}

#[test]
fn ps_shows_what_runs_and_names_are_unique() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "one", "-p", "8080:80", "beeline/whoami"]);
    let listing = bed.docker_ok(&["ps"]);
    assert!(listing.contains("one") && listing.contains("0.0.0.0:8080->80/tcp"), "{listing}");
    let listing = bed.beeline_ok(&["ps"]);
    assert!(listing.contains("one") && listing.contains("0.0.0.0:8080->80/tcp"), "{listing}");

    let taken = bed.docker(&["run", "-d", "--name", "one", "beeline/whoami"]);
    assert_eq!(taken.code(), 125);
    assert!(taken.stderr.contains("The container name \"/one\" is already in use"), "{taken}");
    bed.docker_ok(&["stop", "one"]);
    assert!(!bed.docker_ok(&["ps"]).contains("one"));
    assert!(bed.docker_ok(&["ps", "-a"]).contains("Exited (0)"));
    bed.beeline_ok(&["rm", "one"]);
    assert!(!bed.docker_ok(&["ps", "-a"]).contains("one"));
}

#[test]
fn a_removed_name_is_free_and_a_running_container_needs_force() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "one", "beeline/whoami"]);
    let refused = bed.docker(&["rm", "one"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("container is running"), "{refused}");
    bed.docker_ok(&["rm", "-f", "one"]);
    bed.docker_ok(&["run", "-d", "--name", "one", "beeline/whoami"]);
}

#[test]
fn prune_takes_what_does_not_run_and_fits_the_filters() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "runs", "beeline/whoami"]);
    for (name, label) in [("front", "tier=front"), ("back", "tier=back")] {
        bed.docker_ok(&["create", "--name", name, "--label", label, "beeline/whoami"]);
    }
    let names = || bed.docker_ok(&["ps", "-a", "--format", "{{.Names}}"]);
    bed.docker_ok(&["container", "prune", "-f", "--filter", "until=24h"]);
    assert_eq!(names(), "back\nfront\nruns");
    bed.docker_ok(&["container", "prune", "-f", "--filter", "until=0s", "--filter", "label=tier=front"]);
    assert_eq!(names(), "back\nruns");
    bed.beeline_ok(&["rename", "back", "rear"]);
    assert_eq!(names(), "rear\nruns");
    bed.docker_ok(&["container", "prune", "-f"]);
    assert_eq!(names(), "runs");
    let wrong = bed.docker(&["container", "prune", "-f", "--filter", "until=yesterday"]);
    assert!(wrong.stderr.contains("until"), "{wrong}");
}

#[test]
fn twenty_containers_start_in_parallel() {
    let Some(bed) = Bed::new() else { return };
    std::thread::scope(|scope| {
        let starters: Vec<_> =
            (0..20).map(|_| scope.spawn(|| bed.docker_ok(&["run", "-d", "beeline/whoami"]))).collect();
        for starter in starters {
            starter.join().unwrap();
        }
    });
    assert_eq!(bed.docker_ok(&["ps", "-q"]).lines().count(), 20);
}

/// The processes in the container's control groups; every hierarchy must agree.
fn processes_of(id: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut answer: Option<Vec<String>> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(path), Some(kind)) = (fields.next(), fields.next()) else { continue };
        if !kind.starts_with("cgroup") {
            continue;
        }
        let Some(group) = find(path.as_ref(), id, 4) else { continue };
        let mut pids: Vec<String> = fs::read_to_string(group.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        pids.sort();
        if answer.as_ref().is_some_and(|other| *other != pids) {
            return Vec::new();
        }
        answer = Some(pids);
    }
    answer.unwrap_or_default()
}

fn find(dir: &std::path::Path, name: &str, depth: usize) -> Option<std::path::PathBuf> {
    let below = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let below: Vec<_> = below.collect();
    below
        .iter()
        .find(|path| path.ends_with(name))
        .cloned()
        .or_else(|| (depth > 0).then(|| below.iter().find_map(|path| find(path, name, depth - 1))).flatten())
}
