//! Health checks: states, log, events, listings, timeouts, and a restart of the daemon.

use crate::bed::Bed;

/// The arguments of a container `box` that is healthy while `/tmp/ok` exists.
const CHECKED: [&str; 12] = [
    "run",
    "-d",
    "--name",
    "box",
    "--health-cmd",
    "echo looked; test -f /tmp/ok",
    "--health-interval",
    "300ms",
    "--health-retries",
    "2",
    "busybox",
    "sleep",
];

fn becomes(bed: &Bed, status: &str) {
    bed.eventually(status, || (bed.inspect("box", "{{.State.Health.Status}}") == status).then_some(()));
}

#[test]
fn it_follows_the_probes_and_everyone_sees_it() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[&CHECKED[..], &["1000"]].concat());
    becomes(&bed, "unhealthy");
    assert!(bed.docker_ok(&["ps"]).contains("(unhealthy)"));
    let last =
        bed.inspect("box", "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}");
    assert_eq!(last, "1 looked");
    assert!(bed.inspect("box", "{{.State.Health.FailingStreak}}").parse::<u32>().unwrap() >= 2);
    bed.docker_ok(&["exec", "box", "touch", "/tmp/ok"]);
    becomes(&bed, "healthy");
    assert!(bed.docker_ok(&["ps"]).contains("(healthy)"));
    assert_eq!(bed.docker_ok(&["ps", "-q", "--filter", "health=healthy"]).lines().count(), 1);
    assert_eq!(bed.docker_ok(&["ps", "-q", "--filter", "health=unhealthy"]), "");
    bed.eventually("five results", || (bed.inspect("box", "{{len .State.Health.Log}}") == "5").then_some(()));

    bed.kill_daemon();
    bed.start();
    assert_eq!(bed.inspect("box", "{{.State.Health.Status}}"), "healthy");
    bed.docker_ok(&["exec", "box", "rm", "/tmp/ok"]);
    becomes(&bed, "unhealthy");
    // The new daemon knows its own events.
    assert_eq!(bed.events(&["event=health_status"], "{{.Action}}"), "health_status: unhealthy");

    bed.docker_ok(&["stop", "-t", "0", "box"]);
    assert_eq!(bed.inspect("box", "{{.State.Health.Status}}"), "unhealthy");
    bed.docker_ok(&["start", "box"]);
    assert_eq!(bed.inspect("box", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"), "starting 0");
}

#[test]
fn a_probe_that_takes_too_long_is_killed_with_all_it_started() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let slow = "echo begun; sleep 1000 & sleep 1000";
    bed.beeline_ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--health-cmd",
        slow,
        "--health-interval",
        "200ms",
        "--health-timeout",
        "600ms",
        "--health-retries",
        "1",
        "busybox",
        "sleep",
        "1000",
    ]);
    becomes(&bed, "unhealthy");
    let log =
        bed.inspect("box", "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}");
    assert!(log.starts_with("-1 Health check exceeded timeout (600ms): begun"), "{log}");
    bed.eventually("a third probe", || {
        (bed.inspect("box", "{{len .State.Health.Log}}").parse::<u32>().unwrap() >= 3).then_some(())
    });
    // Init, and at most one probe that runs now: a shell and two sleeps.
    let processes = bed.docker_ok(&["top", "box"]).lines().count() - 1;
    assert!(processes <= 4, "{processes} processes");
}

#[test]
fn failures_in_the_start_period_do_not_count_and_output_is_cut() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.beeline_ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--health-cmd",
        "yes | head -c 10000; exit 3",
        "--health-interval",
        "1h",
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "200ms",
        "--health-retries",
        "1",
        "busybox",
        "sleep",
        "1000",
    ]);
    bed.eventually("three probes", || {
        (bed.inspect("box", "{{len .State.Health.Log}}").parse::<u32>().unwrap() >= 3).then_some(())
    });
    assert_eq!(bed.inspect("box", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"), "starting 0");
    assert!(bed.docker_ok(&["ps"]).contains("(health: starting)"));
    let output = bed.inspect("box", "{{len (index .State.Health.Log 0).Output}}");
    assert_eq!(output, (4096 + "...".len()).to_string());
}

#[test]
fn an_images_check_is_inherited_and_can_be_switched_off() {
    let Some(bed) = Bed::new() else { return };
    let archive = beeline_testbed::busybox_tar(&crate::bed::image_cache()).unwrap().display().to_string();
    bed.docker_ok(&["import", "--change", "HEALTHCHECK --interval=200ms CMD true", &archive, "checked"]);
    bed.docker_ok(&["run", "-d", "--name", "box", "--health-retries", "7", "checked", "sleep", "1000"]);
    becomes(&bed, "healthy");
    assert_eq!(bed.inspect("box", "{{.Config.Healthcheck.Retries}}"), "7");
    bed.docker_ok(&["run", "-d", "--name", "off", "--no-healthcheck", "checked", "sleep", "1000"]);
    assert_eq!(bed.inspect("off", "{{json .State.Health}}"), "null");
    assert!(!bed.docker_ok(&["ps"]).lines().any(|line| line.contains("off") && line.contains("health")));
    let wrong = bed.docker(&["run", "-d", "--health-cmd", "true", "--health-interval", "1us", "checked"]);
    assert!(wrong.stderr.contains("cannot be less than 1ms"), "{wrong}");
}
