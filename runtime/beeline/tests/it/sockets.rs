//! What the kernel tells of containers' sockets, processes and health, as metrics.

use std::fs;
use std::time::Duration;

use crate::bed::Bed;
use crate::metrics::{SCRAPE, series};

/// The connections of a container with an outcome.
fn connections(page: &str, name: &str, outcome: &str) -> f64 {
    let is_it = |line: &&str| {
        line.starts_with("beeline_container_tcp_connections_total{")
            && line.contains(&format!("name=\"{name}\""))
            && line.contains(&format!("outcome=\"{outcome}\""))
    };
    let line = page.lines().find(is_it).unwrap_or_else(|| panic!("no {outcome} of {name} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn connections_count_for_the_container_whose_socket_it_is() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["network", "create", "shop"]);
    bed.docker_ok(&["run", "-d", "--name", "web", "--network", "shop", "beeline/whoami"]);
    bed.docker_ok(&["run", "-d", "--name", "client", "--network", "shop", "busybox", "sleep", "1000"]);
    let work = "for i in $(seq 10); do wget -q -O /dev/null http://web/ || exit 1; done; \
                for i in $(seq 12); do nc web 9 </dev/null && exit 1; done; true";
    bed.docker_ok(&["exec", "client", "sh", "-c", work]);
    let page = bed.in_host(SCRAPE);
    let of = |name: &str| {
        ["connected", "refused", "accepted", "failed"].map(|outcome| connections(&page, name, outcome))
    };
    assert_eq!(of("client"), [10.0, 12.0, 0.0, 0.0]);
    assert_eq!(of("web"), [0.0, 0.0, 10.0, 0.0]);
    assert_eq!(series(&page, "beeline_container_tcp_connect_seconds_count", "client"), 10.0);
    assert!(series(&page, "beeline_container_tcp_round_trip_seconds_count", "web") >= 10.0, "{page}");
    assert!(!page.lines().any(|line| {
        line.starts_with("beeline_container_tcp_connect_seconds") && line.contains("name=\"web\"")
    }));
    let execs = |page: &str| series(page, "beeline_container_process_execs_total", "client");
    // Its init, the shell that was executed in it, and what that started.
    assert!(execs(&page) >= 24.0, "{page}");

    // What a container did is not forgotten by the next daemon, and not counted for the next run.
    bed.kill_daemon();
    bed.start();
    assert_eq!(connections(&bed.in_host(SCRAPE), "client", "refused"), 12.0);
    bed.docker_ok(&["restart", "-t", "0", "client"]);
    assert_eq!(connections(&bed.in_host(SCRAPE), "client", "refused"), 0.0);
    assert_eq!(execs(&bed.in_host(SCRAPE)), 1.0, "its init alone");
    bed.docker_ok(&["rm", "-f", "client", "web"]);
    bed.docker_ok(&["network", "rm", "shop"]);
    assert!(!bed.in_host(SCRAPE).contains("beeline_container_tcp_connections_total{"));
}

#[test]
fn health_is_told_and_checks_are_counted() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let check = ["--health-interval", "200ms", "--health-retries", "1"];
    let run = |name: &str, command: &str| {
        let named = ["run", "-d", "--name", name, "--health-cmd", command];
        bed.docker_ok(&[&named[..], &check[..], &["busybox", "sleep", "1000"]].concat());
    };
    run("well", "true");
    run("ill", "false");
    bed.docker_ok(&["run", "-d", "--name", "unchecked", "busybox", "sleep", "1000"]);
    let state = |page: &str, name: &str| series(page, "container_health_state", name);
    let page = bed.eventually("it is healthy", || {
        let page = bed.in_host(SCRAPE);
        (state(&page, "well") == 1.0).then_some(page)
    });
    assert_eq!((state(&page, "ill"), state(&page, "unchecked")), (0.0, -1.0));
    let total = |page: &str, family: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(&format!("{family} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    std::thread::sleep(Duration::from_secs(1));
    let later = bed.in_host(SCRAPE);
    assert!(
        total(&later, "engine_daemon_health_checks_total")
            >= 2.0 + total(&page, "engine_daemon_health_checks_total")
    );
    assert_eq!(total(&later, "engine_daemon_health_checks_failed_total"), 0.0, "all could be run");
    assert!(total(&later, "engine_daemon_health_check_start_duration_seconds_count") >= 2.0);
    let allocated = later.lines().any(|line| {
        line.starts_with("engine_daemon_network_actions_seconds_count{action=\"allocate\"}")
            && line.ends_with(" 3")
    });
    assert!(allocated, "{later}");
    bed.docker_ok(&["rm", "-f", "well", "ill", "unchecked"]);
}

#[test]
fn latencies_and_programs_are_measured_where_that_is_asked_for() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    fs::write(bed.dirs.config(), r#"{ "latency-histograms": true, "program-statistics": true }"#).unwrap();
    bed.start();
    bed.busybox();
    let work = "dd if=/dev/zero of=/file bs=64k count=32 oflag=direct 2>/dev/null && sleep 1000";
    bed.docker_ok(&["run", "-d", "--name", "writer", "busybox", "sh", "-c", work]);
    let count = |page: &str, what: &str| {
        let family = format!("beeline_container_{what}_seconds_count");
        page.contains(&family).then(|| series(page, &family, "writer"))
    };
    let page = bed.eventually("it has written", || {
        let page = bed.in_host(SCRAPE);
        (count(&page, "block_io") >= Some(32.0)).then_some(page)
    });
    // As many requests as writes, and not many more.
    assert!(count(&page, "block_io") <= Some(64.0), "{page}");
    assert!(count(&page, "run_queue") >= Some(32.0), "it sleeps at each write: {page}");
    let runs = |program: &str| {
        let prefix = format!("beeline_program_runs_total{{program=\"{program}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {program} in\n{page}")).parse::<f64>().unwrap()
    };
    assert!(runs("thread_switched") > 0.0 && runs("process_executed") > 0.0);
    assert!(page.contains("beeline_program_run_seconds_total{program=\"thread_switched\"}"));

    // A daemon that is not asked for it measures nothing, and costs nothing.
    bed.kill_daemon();
    fs::write(bed.dirs.config(), "{}").unwrap();
    bed.start();
    let page = bed.in_host(SCRAPE);
    assert!(!page.contains("beeline_container_run_queue") && !page.contains("beeline_program_runs"));
    bed.docker_ok(&["rm", "-f", "writer"]);
}
