//! What containers use, as docker stats shows it: by the stock client, by ours, and as the API sends it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use beeline_testbed::HOST_ADDRESS;
use beeline_testbed::command::wait;
use serde_json::Value;

use crate::bed::Bed;

const MIB: f64 = 1_048_576.0;

/// Fills this many MiB of memory that nobody can reclaim, starts two more processes, and stays.
fn allocator(mib: u32) -> String {
    format!("dd if=/dev/zero of=/dev/shm/x bs=1M count={mib} 2>/dev/null; sleep 1000 & sleep 1000 & wait")
}

/// `GET /containers/NAME/stats?QUERY`, read to its end.
fn ask(bed: &Bed, name: &str, query: &str) -> Value {
    let socket = bed.dirs.docker_host().replace("unix://", "");
    let url = format!("http://x/v1.50/containers/{name}/stats?{query}");
    let answer = bed.in_host(&format!("curl -sS --max-time 10 --unix-socket {socket} '{url}'"));
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn dockers_client_shows_what_a_container_uses() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "full", "--memory", "64m", "busybox", "sh", "-c", &allocator(20)]);
    let used = bed.eventually("the memory is filled", || {
        let memory = ask(&bed, "full", "stream=0&one-shot=1")["memory_stats"]["usage"].as_f64()?;
        (memory >= 20.0 * MIB).then_some(memory)
    });
    assert!(used < 32.0 * MIB, "{used}");
    for client in [Bed::docker_ok, Bed::beeline_ok] {
        let line = client(&bed, &["stats", "--no-stream", "--format", "json"]);
        let row: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(row["Name"], "full", "{line}");
        assert_eq!(row["PIDs"], "3", "{line}");
        let (used, limit) = row["MemUsage"].as_str().unwrap().split_once(" / ").unwrap();
        assert_eq!(limit, "64MiB", "{line}");
        let used: f64 = used.strip_suffix("MiB").unwrap().parse().unwrap();
        assert!((20.0..32.0).contains(&used), "{line}");
        let table = client(&bed, &["stats", "--no-stream", "full"]);
        assert!(table.starts_with("CONTAINER ID   NAME"), "{table}");
        assert!(table.contains("MEM USAGE / LIMIT") && table.lines().count() == 2, "{table}");
    }
}

#[test]
fn the_processors_share_is_what_the_kernel_counted() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", "while :; do :; done"]);
    let pid = bed.inspect("busy", "{{.State.Pid}}");
    // utime and stime of /proc/PID/stat, in hundredths of a second.
    let ticks = || -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    };
    let (began, before) = (Instant::now(), ticks());
    let first = ask(&bed, "busy", "stream=0&one-shot=1");
    std::thread::sleep(Duration::from_secs(2));
    let second = ask(&bed, "busy", "stream=0&one-shot=1");
    let (passed, after) = (began.elapsed().as_secs_f64(), ticks());
    let total = |stats: &Value| stats["cpu_stats"]["cpu_usage"]["total_usage"].as_f64().unwrap() / 1e9;
    let (ours, theirs) = (total(&second) - total(&first), after - before);
    assert!((ours - theirs).abs() < 0.1 + 0.1 * theirs, "{ours} s by our count, {theirs} s by /proc");
    let system = |stats: &Value| stats["cpu_stats"]["system_cpu_usage"].as_f64().unwrap() / 1e9;
    let cpus = second["cpu_stats"]["online_cpus"].as_f64().unwrap();
    let host = (system(&second) - system(&first)) / cpus;
    assert!((host - passed).abs() < 0.3 * passed, "{host} s passed by /proc/stat, {passed} s by the clock");

    // Without one-shot there is a sample before to compare with.
    let compared = ask(&bed, "busy", "stream=0");
    assert!(total(&compared) > compared["precpu_stats"]["cpu_usage"]["total_usage"].as_f64().unwrap() / 1e9);
    assert_ne!(compared["preread"], "0001-01-01T00:00:00Z");
}

#[test]
fn the_traffic_is_what_went_through() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let got =
        bed.in_client(&format!("for i in $(seq 50); do curl -sS http://{HOST_ADDRESS}:8080/; done | wc -c"));
    let sent: f64 = got.trim().parse().unwrap();
    let network = &ask(&bed, "web", "stream=0&one-shot=1")["networks"]["eth0"];
    let transmitted = network["tx_bytes"].as_f64().unwrap();
    // Beside the bodies: heads of at most 300 bytes, and some six packets' headers a request.
    assert!(transmitted > sent && transmitted < sent + 50.0 * 1000.0, "{transmitted}, bodies {sent}");
    assert!(network["rx_packets"].as_f64().unwrap() >= 250.0, "{network}");
}

#[test]
fn a_stream_follows_a_container_through_its_life_and_ends_with_it() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let socket = bed.dirs.docker_host().replace("unix://", "");
    let mut curl = bed
        .topology
        .host
        .command("curl")
        .args(["-sSN", "--max-time", "60", "--unix-socket", &socket])
        .arg("http://x/v1.50/containers/web/stats")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> { Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap()) };
    let first = next().unwrap();
    assert_eq!(first["preread"], "0001-01-01T00:00:00Z");
    assert_eq!(first["precpu_stats"]["cpu_usage"]["total_usage"], 0);
    let second = next().unwrap();
    assert_eq!(second["preread"], first["read"], "the sample before is the one that was sent");
    // A second reader shares the sampler, and has the sample before at once.
    assert_ne!(ask(&bed, "web", "stream=0")["preread"], "0001-01-01T00:00:00Z");
    bed.docker_ok(&["kill", "web"]);
    let stopped =
        std::iter::from_fn(&mut next).take(20).find(|stats| stats["memory_stats"] == serde_json::json!({}));
    assert!(stopped.is_some_and(|stats| stats["name"] == "/web"), "a stopped container has empty figures");
    assert_eq!(ask(&bed, "web", "stream=0")["read"], "0001-01-01T00:00:00Z");
    bed.docker_ok(&["rm", "web"]);
    assert!(std::iter::from_fn(&mut next).take(20).count() < 20, "the stream ends");
    wait(&mut curl, Duration::from_secs(10)).unwrap();

    let gone = bed.docker(&["stats", "--no-stream", "web"]);
    assert!(gone.stderr.contains("No such container: web"), "{gone}");
    bed.docker_ok(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let refused = ask(&bed, "web", "stream=1&one-shot=1");
    assert_eq!(refused["message"], "cannot have stream=true and one-shot=true");
}
