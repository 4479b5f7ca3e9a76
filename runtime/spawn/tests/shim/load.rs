//! Many containers.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::{Bench, command, sh};

crate::tests![every_exit_code_arrives, sixty_four_in_parallel_leave_nothing, a_shim_is_small];

fn every_exit_code_arrives() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for part in 0..8_u8 {
            let bench = &bench;
            scope.spawn(move || {
                for code in (part..=255).step_by(8) {
                    assert_eq!(bench.start(&sh(&format!("exit {code}"))).exit().code, code);
                }
            });
        }
    });
}

fn sixty_four_in_parallel_leave_nothing() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for number in 0..64_u8 {
            let bench = &bench;
            scope.spawn(move || {
                let mut container = bench.create(&sh(&format!("seq 1 5000; echo {number}; exit {number}")));
                container.start();
                assert_eq!(container.control.exited().code, number);
                let log = container.log();
                assert_eq!((log.len(), log[5000].log.trim()), (5001, number.to_string().as_str()));
                container.assert_gone();
            });
        }
    });
    // Not even zombies: the kernel reaps the spawner's children.
    let spawner = bench.spawner.pid();
    assert_eq!(fs::read_to_string(format!("/proc/{spawner}/task/{spawner}/children")).unwrap(), "");
}

fn a_shim_is_small() {
    let bench = Bench::new();
    let mut latencies = Vec::new();
    let containers: Vec<_> = (0..20)
        .map(|_| {
            let begin = Instant::now();
            let container = bench.start(&command(&["/bin/sleep", "1000"]));
            latencies.push(begin.elapsed());
            container
        })
        .collect();
    let sizes: Vec<_> = containers.iter().map(|container| proportional(container.shim)).collect();
    let mean = sizes.iter().sum::<u64>() / sizes.len() as u64;
    latencies.sort();
    let median: Duration = latencies[latencies.len() / 2];
    #[allow(clippy::print_stdout, reason = "the figure this test is about")]
    {
        println!("proportional memory of a shim: {mean} KiB; request to exec: {median:?}");
    }
    // Unoptimised code is several times as large.
    assert!(mean <= if cfg!(debug_assertions) { 800 } else { 400 }, "{sizes:?}");
    for container in containers {
        container.kill();
    }
}

/// A process's proportional set size in KiB.
fn proportional(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
