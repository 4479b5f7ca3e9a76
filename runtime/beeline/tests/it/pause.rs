//! Paused containers: frozen, shown as such, and obedient to whoever wants their end.

use std::time::Duration;

use crate::bed::Bed;

const TICKS: [&str; 3] = ["sh", "-c", "while :; do echo tick; sleep 0.05; done"];

#[test]
fn a_paused_container_stands_still_also_over_a_daemons_death() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[&["run", "-d", "--name", "clock", "busybox"][..], &TICKS].concat());
    let ticks = |bed: &Bed| bed.docker_ok(&["logs", "clock"]).lines().count();
    bed.eventually("it ticks", || (ticks(&bed) > 2).then_some(()));
    bed.docker_ok(&["pause", "clock"]);
    let stands_still = |bed: &Bed| {
        let before = ticks(bed);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(ticks(bed), before);
    };
    stands_still(&bed);
    let flags = "{{.State.Status}} {{.State.Running}} {{.State.Paused}}";
    assert_eq!(bed.inspect("clock", flags), "paused true true");
    assert!(bed.docker_ok(&["ps"]).contains("(Paused)"));
    assert_eq!(bed.docker_ok(&["ps", "-q", "--filter", "status=paused"]).lines().count(), 1);
    assert_eq!(bed.docker_ok(&["info", "--format", "{{.ContainersPaused}} {{.ContainersRunning}}"]), "1 0");
    for (args, text) in [
        (&["pause", "clock"][..], "is already paused"),
        (&["start", "clock"], "cannot start a paused container, try unpause instead"),
        (&["rm", "clock"], "container is paused and must be unpaused first"),
        (&["attach", "clock"], "paused container, unpause it first"),
    ] {
        let refused = bed.docker(args);
        assert_eq!(refused.code(), 1, "{refused}");
        assert!(refused.stderr.contains(text), "{refused}");
    }
    bed.kill_daemon();
    bed.start();
    assert_eq!(bed.inspect("clock", flags), "paused true true");
    stands_still(&bed);
    let before = ticks(&bed);
    bed.beeline_ok(&["unpause", "clock"]);
    bed.eventually("it ticks again", || (ticks(&bed) > before).then_some(()));
    let refused = bed.docker(&["unpause", "clock"]);
    assert!(refused.stderr.contains("is not paused"), "{refused}");
    bed.docker_ok(&["rm", "-f", "clock"]);
}

#[test]
fn a_paused_container_can_be_stopped_killed_and_removed() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "trap 'exit 5' TERM; while :; do sleep 0.05; done";
    for name in ["stopped", "killed", "removed", "restarted"] {
        bed.docker_ok(&["run", "-d", "--name", name, "busybox", "sh", "-c", script]);
    }
    std::thread::sleep(Duration::from_millis(300));
    bed.docker_ok(&["pause", "stopped", "killed", "removed", "restarted"]);
    bed.docker_ok(&["stop", "stopped"]);
    assert_eq!(bed.inspect("stopped", "{{.State.Status}} {{.State.ExitCode}}"), "exited 5");
    bed.docker_ok(&["kill", "killed"]);
    assert_eq!(bed.docker_ok(&["wait", "killed"]), "137");
    bed.docker_ok(&["rm", "-f", "removed"]);
    bed.docker_ok(&["restart", "restarted"]);
    assert_eq!(bed.inspect("restarted", "{{.State.Status}}"), "running");
    let events = bed.events(&["container=stopped"], "{{.Action}}");
    let expected = "create start pause kill unpause die stop";
    let seen: Vec<_> = events.lines().filter(|action| expected.contains(action)).collect();
    assert_eq!(seen.join(" "), expected);
    bed.docker_ok(&["rm", "-f", "restarted"]);
    for args in [["pause", "stopped"], ["unpause", "stopped"]] {
        let refused = bed.docker(&args);
        assert!(refused.stderr.contains("is not "), "{refused}");
    }
}

#[test]
fn a_paused_container_whose_shim_is_killed_is_gone() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[&["run", "-d", "--name", "clock", "busybox"][..], &TICKS].concat());
    bed.docker_ok(&["pause", "clock"]);
    let init = bed.inspect("clock", "{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
    bed.kill_daemon();
    bed.in_host(&format!("kill -KILL {shim}"));
    bed.start();
    assert_eq!(bed.inspect("clock", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
}
