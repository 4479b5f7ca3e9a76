//! Restart policies: what starts containers again, when, and what is seen of it.

use std::fs;

use beeline_testbed::HOST_ADDRESS;

use crate::bed::Bed;

const STATE: &str = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}";

#[test]
fn on_failure_gives_up_after_its_number_of_times() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let args = ["run", "-d", "--name", "fails", "--restart", "on-failure:3", "busybox", "sh", "-c"];
    bed.docker_ok(&[&args[..], &["echo run; exit 3"]].concat());
    bed.eventually("the policy gives up", || (bed.inspect("fails", STATE) == "exited 3 3").then_some(()));
    assert_eq!(bed.docker_ok(&["logs", "fails"]), "run\nrun\nrun\nrun");
    let events = bed.events(&["container=fails"], "{{.Action}}");
    let lives: Vec<_> = events.lines().filter(|action| ["start", "die"].contains(action)).collect();
    assert_eq!(lives, ["start", "die"].repeat(4));

    bed.docker_ok(&["run", "-d", "--name", "works", "--restart", "on-failure", "busybox", "true"]);
    assert_eq!(bed.docker_ok(&["wait", "works"]), "0");
    assert_eq!(bed.inspect("works", STATE), "exited 0 0");
}

#[test]
fn a_container_between_two_runs_is_restarting_until_it_is_stopped_or_removed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    for name in ["stopped", "killed", "removed"] {
        let args = ["run", "-d", "--name", name, "--restart", "always", "busybox", "sh", "-c", "exit 1"];
        bed.docker_ok(&args);
    }
    // The wait has grown by then, so that what follows meets the state.
    let waiting = || bed.docker_ok(&["ps", "--filter", "status=restarting", "-q"]).lines().count() == 3;
    let long = || bed.inspect("removed", "{{.RestartCount}}").parse::<u32>().unwrap() > 4;
    bed.eventually("all three wait", || (long() && waiting()).then_some(()));
    let listing = bed.docker_ok(&["ps", "--filter", "name=stopped"]);
    assert!(listing.contains("Restarting (1)"), "{listing}");
    let flags = "{{.State.Running}} {{.State.Restarting}} {{.State.Pid}}";
    assert_eq!(bed.inspect("stopped", flags), "true true 0");

    let refused = bed.docker(&["rm", "removed"]);
    assert!(refused.stderr.contains("container is restarting: stop the container before"), "{refused}");
    let refused = bed.docker(&["pause", "removed"]);
    assert!(refused.stderr.contains("is restarting, wait until the container is running"), "{refused}");
    bed.docker_ok(&["rm", "-f", "removed"]);
    bed.docker_ok(&["stop", "stopped"]);
    bed.docker_ok(&["kill", "killed"]);
    for name in ["stopped", "killed"] {
        assert!(bed.inspect(name, STATE).starts_with("exited 1 "), "{name}");
    }
    bed.docker_ok(&["restart", "-t", "1", "stopped"]);
    assert!(bed.inspect("stopped", "{{.RestartCount}}").parse::<u32>().unwrap() < 3, "counted anew");
}

#[test]
fn whoever_waits_or_is_attached_sees_the_end_of_the_run() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let attached =
        ["run", "--name", "seen", "--restart", "on-failure:1", "busybox", "sh", "-c", "echo one; exit 4"];
    let output = bed.docker(&attached);
    assert_eq!((output.code(), output.text().as_str()), (4, "one"), "{output}");

    let script = "trap 'exit 7' TERM; while :; do sleep 0.1; done";
    bed.docker_ok(&["run", "-d", "--name", "again", "--restart", "always", "busybox", "sh", "-c", script]);
    let waiter = bed.docker_command(&["wait", "again"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // The waiter may come while it runs, or between two runs: each time an end is to come.
    let first = bed.inspect("again", "{{.State.Pid}}");
    std::thread::sleep(std::time::Duration::from_millis(300));
    bed.in_host(&format!("kill -TERM {first}"));
    let output = waiter.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "7");
    bed.eventually("it runs again", || (bed.inspect("again", STATE) == "running 0 1").then_some(()));
    bed.docker_ok(&["rm", "-f", "again"]);
}

#[test]
fn address_and_port_stay_while_it_is_started_again() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "80", "--restart", "always", "beeline/whoami"]);
    bed.docker_ok(&["run", "-d", "--name", "other", "-p", "80", "beeline/whoami"]);
    let place = || {
        let address = bed.address("web");
        let port = bed.docker_ok(&["port", "web", "80"]);
        (address, port)
    };
    let before = place();
    for count in 1..=3 {
        let pid = bed.inspect("web", "{{.State.Pid}}");
        bed.in_host(&format!("kill -KILL {pid}"));
        let state = format!("running 0 {count}");
        bed.eventually("it runs again", || (bed.inspect("web", STATE) == state).then_some(()));
        assert_eq!(place(), before);
    }
    let port = before.1.lines().next().unwrap().rsplit(':').next().unwrap();
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:{port}/")).contains("Hostname")
    );
}

#[test]
fn after_a_reboot_runs_what_shall_run() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    let run = |name: &str, policy: &str| {
        bed.docker_ok(&["run", "-d", "--name", name, "--restart", policy, "busybox", "sleep", "1000"]);
    };
    for policy in ["no", "always", "unless-stopped", "on-failure"] {
        run(policy, policy);
    }
    run("always-stopped", "always");
    run("unless-stopped-stopped", "unless-stopped");
    bed.docker_ok(&["stop", "-t", "0", "always-stopped", "unless-stopped-stopped"]);
    let created = ["create", "--name", "created", "--restart", "always", "busybox", "sleep", "1000"];
    bed.docker_ok(&created);
    reboot(&mut bed);
    for (name, state) in [
        ("no", "exited 255 0"),
        ("always", "running 0 0"),
        ("unless-stopped", "running 0 0"),
        ("on-failure", "running 0 0"),
        ("always-stopped", "running 0 0"),
        ("unless-stopped-stopped", "exited 137 0"),
        ("created", "created 0 0"),
    ] {
        bed.eventually(&format!("{name} is {state}"), || (bed.inspect(name, STATE) == state).then_some(()));
    }
}

#[test]
fn a_daemon_killed_at_any_moment_is_followed_by_one_that_goes_on() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    let loops = ["run", "-d", "--name", "loops", "--restart", "always", "busybox", "sh", "-c", "exit 1"];
    bed.docker_ok(&loops);
    bed.docker_ok(&["run", "-d", "--name", "lost", "--restart", "unless-stopped", "beeline/whoami"]);
    for _ in 0..2 {
        bed.eventually("it waits", || bed.inspect("loops", STATE).starts_with("restarting 1").then_some(()));
        // Its shim is killed while no daemon sees it.
        let init = bed.inspect("lost", "{{.State.Pid}}");
        let shim = parent_of(&init);
        bed.kill_daemon();
        bed.in_host(&format!("kill -KILL {shim}"));
        bed.eventually("init dies with its shim", || (!running(&init)).then_some(()));
        bed.start();
        bed.eventually("it runs again", || bed.inspect("lost", STATE).starts_with("running").then_some(()));
    }
    bed.eventually("it still loops", || {
        (bed.inspect("loops", "{{.RestartCount}}").parse::<u32>().unwrap() > 1).then_some(())
    });
    bed.docker_ok(&["stop", "loops", "lost"]);
    bed.kill_daemon();
    bed.start();
    assert!(bed.inspect("lost", STATE).starts_with("exited 0"));
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let Some(bed) = Bed::new() else { return };
    for (args, text) in [
        (&["--restart", "maybe"][..], "unknown policy 'maybe'"),
        (&["--restart", "always:3"], "maximum retry count can only be used with 'on-failure'"),
        (&["--restart", "always", "--rm"], "can't create 'AutoRemove' container with restart policy"),
    ] {
        let refused = bed.beeline(&[&["run", "-d"], args, &["beeline/whoami"]].concat());
        assert!(refused.stderr.contains(text), "{refused}");
    }
}

/// What a power failure leaves: no process, and nothing of the run directory.
fn reboot(bed: &mut Bed) {
    let pids = bed.docker_ok(&["ps", "-q"]);
    let inits: Vec<_> = pids.lines().map(|id| bed.inspect(id, "{{.State.Pid}}")).collect();
    let shims: Vec<_> = inits.iter().map(|init| parent_of(init)).collect();
    bed.kill_daemon();
    bed.in_host(&format!("kill -KILL {}", shims.join(" ")));
    bed.eventually("every init is gone", || (!inits.iter().any(|init| running(init))).then_some(()));
    fs::remove_dir_all(bed.dirs.run()).unwrap();
    bed.start();
}

fn parent_of(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned()
}

fn running(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid).exists()
}
