//! The metrics' figures against what a generator, a burner and an allocator know of themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use beeline_testbed::HOST_ADDRESS;

use crate::bed::Bed;
use crate::metrics::{SCRAPE, series};

const MIB: f64 = 1_048_576.0;

#[test]
fn bytes_are_those_that_a_generator_sent() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    // Its input stays open: at its end nc would hang up.
    let sink = "sleep 1000 | nc -l -p 80 > /received";
    bed.docker_ok(&["run", "-d", "--name", "sink", "-p", "8080:80", "busybox", "sh", "-c", sink]);
    let sent = 20_000_000.0;
    // Until the sink listens its host refuses; nothing is sent by that.
    let send = format!("head -c 20000000 /dev/zero | busybox nc {HOST_ADDRESS} 8080");
    bed.in_client(&format!("for i in $(seq 50); do {send} 2>/dev/null && exit; sleep 0.1; done; exit 1"));
    let page = bed.in_host(SCRAPE);
    let received = series(&page, "container_network_receive_bytes_total", "sink");
    let segments = series(&page, "container_network_receive_packets_total", "sink");
    // Every segment has at least 54 bytes of headers, and 66 with timestamps; large ones are counted with one header or each.
    assert!(received >= sent && received <= sent + segments * 70.0 + 1000.0, "{received} in {segments}");
    let published = series(&page, "beeline_publish_bytes_total", "sink");
    assert!(published >= sent && (published - received).abs() < 0.01 * sent, "{published}, {received}");
}

#[test]
fn throttling_is_what_the_quota_leaves() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let burn = "while :; do :; done";
    // So little that a machine with much other work gives it, too.
    bed.docker_ok(&["run", "-d", "--name", "busy", "--cpus", "0.05", "busybox", "sh", "-c", burn]);
    let read = |page: &str| {
        [
            "container_cpu_usage_seconds_total",
            "container_cpu_cfs_periods_total",
            "container_cpu_cfs_throttled_periods_total",
            "container_cpu_cfs_throttled_seconds_total",
        ]
        .map(|family| series(page, family, "busy"))
    };
    let (began, before) = (Instant::now(), read(&bed.in_host(SCRAPE)));
    std::thread::sleep(Duration::from_secs(5));
    let (after, passed) = (read(&bed.in_host(SCRAPE)), began.elapsed().as_secs_f64());
    let [used, periods, throttled, seconds] = std::array::from_fn(|at| after[at] - before[at]);
    assert!(used <= 0.05 * passed + 0.05 && used > 0.02 * passed, "{used} s used in {passed} s");
    assert!((periods - 10.0 * passed).abs() <= 0.1 * 10.0 * passed + 2.0, "{periods} periods in {passed} s");
    assert!(throttled >= 0.5 * periods && throttled <= periods, "{throttled} of {periods} periods");
    // What was neither used nor waited for otherwise was throttled.
    assert!(
        seconds > 0.4 * passed && seconds + used <= 1.1 * passed + 0.1,
        "{seconds} s, {used} s, {passed} s"
    );
}

#[test]
fn memory_disk_and_descriptors_are_those_that_were_taken() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let take = "dd if=/dev/zero of=/dev/shm/x bs=1M count=16 2>/dev/null; \
                dd if=/dev/zero of=/file bs=1M count=8 conv=fsync 2>/dev/null; \
                exec 5</dev/null 6</dev/null 7</dev/null; echo taken; while :; do sleep 1; done";
    bed.docker_ok(&["run", "-d", "--name", "taker", "busybox", "sh", "-c", take]);
    bed.eventually("everything is taken", || {
        bed.docker_ok(&["logs", "taker"]).contains("taken").then_some(())
    });
    let layer = bed.eventually("the layer is measured", || {
        let page = bed.in_host(SCRAPE);
        page.contains("container_fs_usage_bytes{").then(|| series(&page, "container_fs_usage_bytes", "taker"))
    });
    assert!((8.0 * MIB..8.1 * MIB).contains(&layer), "{layer}");
    let page = bed.in_host(SCRAPE);
    let working_set = series(&page, "container_memory_working_set_bytes", "taker");
    // Files in memory cannot be dropped; the file on the disk can.
    assert!((16.0 * MIB..26.0 * MIB).contains(&working_set), "{working_set}");
    // The shell has standard streams and three more; it sleeps in another process with the same.
    let descriptors = series(&page, "container_file_descriptors", "taker");
    assert!((6.0..=16.0).contains(&descriptors), "{descriptors}");
    if counts_devices() {
        let written = series(&page, "container_fs_writes_bytes_total", "taker");
        assert!((8.0 * MIB..12.0 * MIB).contains(&written), "{written}");
    }
}

/// Whether the kernel counts what groups do with block devices. Version 1 does so only for devices with a limit, or with
/// the scheduler BFQ.
pub(crate) fn counts_devices() -> bool {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !unified {
        eprintln!("not compared: cgroup v1 does not count block devices without a limit");
    }
    unified
}
