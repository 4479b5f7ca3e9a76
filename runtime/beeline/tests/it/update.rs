//! Limits and restart policies that change after a container was created.

use std::fs;

use crate::bed::Bed;

/// A control file of the container, by its place on v1 or v2.
fn group(bed: &Bed, name: &str, controller: &str, v1: &str, v2: &str) -> String {
    let below = format!("beeline/{}/{}", bed.topology.instance, bed.inspect(name, "{{.Id}}"));
    let v1 = format!("/sys/fs/cgroup/{controller}/{below}/{v1}");
    let v2 = format!("/sys/fs/cgroup/{below}/{v2}");
    fs::read_to_string(v1).or_else(|_| fs::read_to_string(v2)).unwrap().trim().to_owned()
}

#[test]
fn limits_of_a_running_container_change_at_once() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let run =
        ["run", "-d", "--name", "box", "--memory", "64m", "--pids-limit", "20", "busybox", "sleep", "1000"];
    bed.docker_ok(&run);
    assert_eq!(bed.inspect("box", "{{.HostConfig.MemorySwap}}"), "134217728");
    let memory = |bed: &Bed| group(bed, "box", "memory", "memory.limit_in_bytes", "memory.max");
    // Down, and up beyond what memory and swap together were.
    bed.docker_ok(&["update", "--memory", "32m", "box"]);
    assert_eq!(memory(&bed), "33554432");
    let refused = bed.docker(&["update", "--memory", "256m", "box"]);
    assert!(refused.stderr.contains("update the memoryswap at the same time"), "{refused}");
    bed.docker_ok(&["update", "--memory", "256m", "--memory-swap", "512m", "box"]);
    assert_eq!(memory(&bed), "268435456");
    bed.docker_ok(&[
        "update",
        "--memory",
        "16m",
        "--memory-swap",
        "16m",
        "--memory-reservation",
        "8m",
        "box",
    ]);
    assert_eq!(memory(&bed), "16777216");
    assert_eq!(group(&bed, "box", "memory", "memory.soft_limit_in_bytes", "memory.low"), "8388608");

    bed.beeline_ok(&["update", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "-1", "box"]);
    assert!(
        ["50000", "50000 100000"]
            .contains(&group(&bed, "box", "cpu", "cpu.cfs_quota_us", "cpu.max").as_str())
    );
    assert!(["512", "59"].contains(&group(&bed, "box", "cpu", "cpu.shares", "cpu.weight").as_str()));
    assert_eq!(group(&bed, "box", "pids", "pids.max", "pids.max"), "max");
    bed.docker_ok(&["update", "--cpuset-cpus", "0", "box"]);
    assert_eq!(group(&bed, "box", "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    let refused = bed.docker(&["update", "--cpu-quota", "20000", "box"]);
    assert!(refused.stderr.contains("CPU Quota cannot be updated as NanoCPUs"), "{refused}");
    let refused = bed.docker(&["update", "--memory", "4m", "box"]);
    assert!(refused.stderr.contains("Minimum memory limit allowed is 6MB"), "{refused}");
    // What the kernel refuses leaves everything as it was.
    let refused = bed.docker(&["update", "--cpuset-cpus", "99", "--pids-limit", "7", "box"]);
    assert_eq!(refused.code(), 1, "{refused}");
    assert_eq!(bed.inspect("box", "{{.HostConfig.CpusetCpus}} {{.HostConfig.PidsLimit}}"), "0 -1");
    assert_eq!(group(&bed, "box", "pids", "pids.max", "pids.max"), "max");
}

#[test]
fn a_stopped_container_starts_with_its_new_limits_also_after_a_crash() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["create", "--name", "box", "--memory", "64m", "busybox", "sleep", "1000"]);
    bed.docker_ok(&["update", "--memory", "32m", "--cpu-period", "50000", "--cpu-quota", "10000", "box"]);
    bed.kill_daemon();
    bed.start();
    bed.docker_ok(&["start", "box"]);
    assert_eq!(group(&bed, "box", "memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    let quota = group(&bed, "box", "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(["10000", "10000 50000"].contains(&quota.as_str()), "{quota}");
}

#[test]
fn a_restart_policy_can_come_and_go() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "beeline/whoami"]);
    bed.docker_ok(&["update", "--restart", "on-failure:5", "web"]);
    let policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(bed.inspect("web", policy), "on-failure 5");
    let kill = || bed.in_host(&format!("kill -KILL {}", bed.inspect("web", "{{.State.Pid}}")));
    kill();
    let state = || bed.inspect("web", "{{.State.Status}} {{.RestartCount}}");
    bed.eventually("it runs again", || (state() == "running 1").then_some(()));
    bed.docker_ok(&["update", "--restart", "no", "web"]);
    kill();
    bed.eventually("it stays down", || (state() == "exited 1").then_some(()));

    bed.docker_ok(&["run", "-d", "--rm", "--name", "brief", "beeline/whoami"]);
    let refused = bed.docker(&["update", "--restart", "always", "brief"]);
    assert!(refused.stderr.contains("AutoRemove is enabled for the container"), "{refused}");
}
