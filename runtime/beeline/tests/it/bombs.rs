//! Containers that take what they can get: the host and its other containers do not feel it.

use std::fs;
use std::time::{Duration, Instant};

use crate::bed::Bed;

/// A container beside the bomb answers, and the daemon does, while it goes off.
fn assert_neighbour_answers(bed: &Bed) {
    assert_eq!(bed.docker_ok(&["exec", "neighbour", "echo", "here"]), "here");
}

fn bed() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "neighbour", "busybox", "sleep", "1000"]);
    Some(bed)
}

#[test]
fn a_bomb_of_processes_ends_at_its_limit_and_can_be_removed() {
    let Some(bed) = bed() else { return };
    // Each one makes two more, for as long as it can.
    let bomb = "bomb() { bomb | bomb & }; bomb; sleep 1000";
    bed.docker_ok(&["run", "-d", "--name", "bomb", "--pids-limit", "30", "busybox", "sh", "-c", bomb]);
    let id = bed.inspect("bomb", "{{.Id}}");
    let below = format!("beeline/{}/{id}", bed.topology.instance);
    let refused = || {
        let v1 = fs::read_to_string(format!("/sys/fs/cgroup/pids/{below}/pids.events"));
        let events =
            v1.or_else(|_| fs::read_to_string(format!("/sys/fs/cgroup/{below}/pids.events"))).unwrap();
        events
            .lines()
            .find_map(|line| line.strip_prefix("max ")?.parse::<u64>().ok())
            .filter(|count| *count > 0)
    };
    bed.eventually("the limit is met", refused);
    assert_neighbour_answers(&bed);
    bed.docker_ok(&["rm", "-f", "bomb"]);
}

#[test]
fn a_flood_of_output_fills_no_more_than_the_logs_files() {
    let Some(bed) = bed() else { return };
    for driver in ["json-file", "local"] {
        let options = ["--log-driver", driver, "--log-opt", "max-size=100k", "--log-opt", "max-file=3"];
        bed.docker_ok(
            &[&["run", "-d", "--name", "flood"], &options[..], &["busybox", "yes", "flood"]].concat(),
        );
        let directory = bed.dirs.root().join("containers").join(bed.inspect("flood", "{{.Id}}")).join("log");
        let sizes = || -> Vec<u64> {
            let files = fs::read_dir(&directory).unwrap().flatten();
            files.filter_map(|file| Some(file.metadata().ok()?.len())).collect()
        };
        bed.eventually("all of the log's files are full", || (sizes().len() >= 3).then_some(()));
        // A rotated file may be there plain and compressed for a moment, and a burst is written as a whole.
        let (most, until) = (5 * 100_000 + 300_000, Instant::now() + Duration::from_secs(2));
        while Instant::now() < until {
            let size: u64 = sizes().iter().sum();
            assert!(size <= most, "{driver}: {size} bytes of log");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_neighbour_answers(&bed);
        bed.docker_ok(&["rm", "-f", "flood"]);
    }
}
