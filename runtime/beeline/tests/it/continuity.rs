//! The daemon dies and comes back; containers, connections, logs and exit codes do not notice.

use std::time::Duration;

use beeline_testbed::HOST_ADDRESS;
use beeline_testbed::command::{self, wait};

use crate::bed::Bed;

#[test]
fn killing_the_daemon_under_load_fails_no_request() {
    let Some(mut bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let before = bed.inspect("web", "{{.State.Pid}} {{.State.StartedAt}} {{.NetworkSettings.IPAddress}}");
    let load = bed
        .topology
        .client
        .command("wrk")
        .args(["-t1", "-c8", "-d6s", &format!("http://{HOST_ADDRESS}:8080/")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    bed.kill_daemon();
    // New connections while no daemon lives.
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/")).contains("Hostname")
    );
    assert!(bed.in_host("curl -sS --max-time 5 http://127.0.0.1:8080/").contains("Hostname"));
    bed.start();
    let report = load.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&report.stdout);
    assert!(report.contains("requests in"), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");

    let after = bed.inspect("web", "{{.State.Pid}} {{.State.StartedAt}} {{.NetworkSettings.IPAddress}}");
    assert_eq!(after, before, "the container is the same");
    assert!(bed.docker_ok(&["logs", "web"]).contains("192.0.2.2"), "the log has the requests");
    bed.docker_ok(&["stop", "web"]);
    assert_eq!(bed.inspect("web", "{{.State.ExitCode}}"), "0");
}

#[test]
fn what_ends_while_no_daemon_lives_is_told_by_the_next() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 2; echo done; exit 5"]);
    bed.docker_ok(&["run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "1"]);
    let pid = bed.inspect("brief", "{{.State.Pid}}");
    bed.kill_daemon();
    bed.eventually("init ends", || (!std::path::Path::new("/proc").join(&pid).exists()).then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    bed.start();
    assert_eq!(bed.inspect("brief", "{{.State.Status}} {{.State.ExitCode}}"), "exited 5");
    assert_eq!(bed.docker_ok(&["logs", "brief"]), "done");
    bed.eventually("--rm holds over a restart", || {
        (!bed.docker_ok(&["ps", "-a"]).contains("gone")).then_some(())
    });
}

#[test]
fn a_daemon_killed_in_the_middle_of_starts_leaves_nothing_that_its_successor_does_not_know() {
    let Some(mut bed) = Bed::new() else { return };
    // From the first request's arrival to the last container's start: the kill meets every step somewhere.
    for delay in [2, 8, 15, 25, 40, 80] {
        let starting: Vec<_> = (0..4)
            .map(|_| {
                let mut client = bed.docker_command(&["run", "-d", "--rm", "-p", "80", "beeline/whoami"]);
                client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                client.spawn().unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20 + delay));
        bed.kill_daemon();
        for mut client in starting {
            wait(&mut client, Duration::from_secs(10)).unwrap();
        }
        bed.start();
        for port in bed.docker_ok(&["ps", "--format", "{{.Ports}}"]).lines() {
            let port = port.split(['>', '-']).next().unwrap_or_default().replace("0.0.0.0", HOST_ADDRESS);
            let answer = bed.in_client(&format!("curl -sS --max-time 5 http://{port}/"));
            assert!(answer.contains("Hostname"), "what runs answers on its port: {answer}");
        }
    }
}

#[test]
fn a_daemon_that_stops_leaves_containers_running() {
    let Some(mut bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    bed.kill_daemon();
    bed.start();
    bed.kill_daemon();
    bed.start();
    assert!(
        bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/")).contains("Hostname")
    );
    // Names, addresses and ports of adopted containers are still taken.
    assert_eq!(bed.docker(&["run", "-d", "--name", "web", "beeline/whoami"]).code(), 125);
    assert_eq!(bed.docker(&["run", "-d", "-p", "8080:80", "beeline/whoami"]).code(), 125);
    bed.docker_ok(&["run", "-d", "--name", "second", "beeline/whoami"]);
    assert_ne!(bed.address("web"), bed.address("second"));
}

#[test]
fn a_killed_shim_ends_its_container_and_leaves_nothing() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "orphan", "beeline/whoami"]);
    let init = bed.inspect("orphan", "{{.State.Pid}}");
    let shim = bed.in_host(&format!("ps -o ppid= -p {init}"));
    bed.in_host(&format!("kill -KILL {}", shim.trim()));
    assert_eq!(bed.docker_ok(&["wait", "orphan"]), "137");
    bed.eventually("init is gone", || (!std::path::Path::new("/proc").join(&init).exists()).then_some(()));
}

#[test]
fn a_client_that_vanishes_does_not_take_the_container_with_it() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let mut client = bed
        .docker_command(&[
            "run",
            "--name",
            "left",
            "busybox",
            "sh",
            "-c",
            "while :; do echo x; sleep 0.05; done",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    bed.eventually("it runs", || (bed.docker(&["ps", "-q"]).text().lines().count() == 1).then_some(()));
    client.kill().unwrap();
    wait(&mut client, Duration::from_secs(5)).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(bed.inspect("left", "{{.State.Running}}"), "true");
    let _ = command::output(&mut bed.docker_command(&["kill", "left"])).unwrap();
}
