//! Control groups: membership, limits, killing and removing.

use std::fs;
use std::path::Path;

use beeline_spawn::cgroup::{Cgroup, Hierarchy, Mode};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

use crate::sandbox::{Sandbox, finish, is_root, wait};

/// The first of these control files that exists, of the controller on v1 or of the group on v2.
fn control(cgroup: &Cgroup, controller: &str, v1: &str, v2: &str) -> String {
    let paths = cgroup.paths();
    let path = match cgroup.mode() {
        Mode::Unified => paths.unified.unwrap().join(v2),
        _ => paths.v1[controller].join(v1),
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn limited() -> LinuxResources {
    let memory = LinuxMemoryBuilder::default().limit(64_i64 << 20).swap(128_i64 << 20).build().unwrap();
    let cpu = LinuxCpuBuilder::default().shares(512_u64).quota(50_000).period(100_000_u64).build().unwrap();
    let pids = LinuxPidsBuilder::default().limit(100_i64).build().unwrap();
    let mut resources = LinuxResourcesBuilder::default().memory(memory).cpu(cpu).build().unwrap();
    resources.set_pids(Some(pids));
    resources
}

#[test]
fn limits_are_in_the_control_files() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with(&limited());
    let file = |controller, v1, v2| control(&sandbox.cgroup, controller, v1, v2);
    assert_eq!(file("memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    assert_eq!(file("pids", "pids.max", "pids.max"), "100");
    if sandbox.cgroup.mode() == Mode::Unified {
        assert_eq!(file("cpu", "", "cpu.max"), "50000 100000");
        assert_eq!(file("cpu", "", "cpu.weight"), "59");
    } else {
        assert_eq!(file("cpu", "cpu.cfs_quota_us", ""), "50000");
        assert_eq!(file("cpu", "cpu.shares", ""), "512");
    }
}

#[test]
fn init_and_its_children_are_in_the_group_of_every_hierarchy() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let (created, output) = sandbox.create(&["sh", "-c", "sleep 60 & wait"]).unwrap();
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", created.pid())).unwrap();
    let path = sandbox.cgroup.path().to_owned();
    for line in membership.lines() {
        assert!(line.ends_with(&path), "{line}");
    }
    let running = created.start().unwrap();
    for _ in 0..500 {
        if sandbox.cgroup.processes().unwrap().len() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(4));
    }
    assert_eq!(sandbox.cgroup.processes().unwrap().len(), 2);
    for directory in sandbox.cgroup.paths().v1.values() {
        assert_eq!(fs::read_to_string(directory.join("cgroup.procs")).unwrap().lines().count(), 2);
    }
    rustix::process::pidfd_send_signal(&running.pidfd, rustix::process::Signal::KILL).unwrap();
    assert_eq!(wait(&running.pidfd), 137);
    drop(output);
}

#[test]
fn the_container_sees_its_own_group_as_the_root_and_cannot_change_it() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::with(&limited());
    let v2 = sandbox.cgroup.mode() == Mode::Unified;
    let output = sandbox.output("cat /proc/self/cgroup");
    for line in output.lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
    let file = if v2 { "memory.max" } else { "memory/memory.limit_in_bytes" };
    let script = format!(
        "cat /sys/fs/cgroup/{file}; (echo 1 > /sys/fs/cgroup/{file}) 2>&1; (mkdir /sys/fs/cgroup/x) 2>&1"
    );
    let output = sandbox.sh(&script).output;
    assert!(output.starts_with(&format!("{}\n", 64 << 20)), "{output}");
    assert!(output.contains("Read-only file system"), "{output}");
    let outside = Path::new("/sys/fs/cgroup").join("x");
    assert!(!outside.exists());
}

#[test]
fn too_many_processes_and_too_much_memory_are_refused() {
    if !is_root() {
        return;
    }
    let pids = LinuxPidsBuilder::default().limit(2_i64).build().unwrap();
    let memory = LinuxMemoryBuilder::default().limit(16_i64 << 20).swap(16_i64 << 20).build().unwrap();
    let mut resources = LinuxResourcesBuilder::default().memory(memory).build().unwrap();
    resources.set_pids(Some(pids));
    let mut sandbox = Sandbox::with(&resources);
    assert_eq!(sandbox.cgroup.oom_kills().unwrap(), 0);
    let outcome = sandbox.sh("sleep 1 & sleep 1 & sleep 1 & wait");
    assert!(outcome.output.contains("can't fork"), "{}", outcome.output);
    // A shell that doubles a string forever.
    let outcome = sandbox.sh("x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done");
    assert_eq!(outcome.code, 137);
    assert_eq!(sandbox.cgroup.oom_kills().unwrap(), 1);
}

#[test]
fn device_rules_hold() {
    if !is_root() {
        return;
    }
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(beeline_spawn::container::defaults::device_rules()));
    let mut sandbox = Sandbox::with(&resources);
    if sandbox.cgroup.mode() == Mode::Unified {
        return;
    }
    std::os::unix::fs::symlink("busybox", sandbox.image("bin/mknod")).unwrap();
    let outcome = sandbox.sh("cat /dev/null && mknod /kmsg c 1 11 && cat /kmsg");
    assert_ne!(outcome.code, 0);
    assert!(outcome.output.contains("Operation not permitted"), "{}", outcome.output);
}

#[test]
fn killing_and_removing_leave_nothing() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let (created, output) = sandbox.create(&["sh", "-c", "sleep 100 & sleep 100 & wait"]).unwrap();
    let running = created.start().unwrap();
    let waiter = std::thread::spawn(move || wait(&running.pidfd));
    sandbox.cgroup.kill().unwrap();
    assert_eq!(waiter.join().unwrap(), 137);
    sandbox.cgroup.remove().unwrap();
    sandbox.cgroup.remove().unwrap();
    let paths = sandbox.cgroup.paths();
    assert!(paths.v1.values().chain(&paths.unified).all(|path| !path.exists()));
    drop(output);
}

#[test]
fn a_group_below_one_that_does_not_exist_is_made_and_processes_enter_it() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let outer = sandbox.cgroup.clone();
    let inner = Hierarchy::detect().unwrap().cgroup(&format!("{}/a/b", outer.path())).unwrap();
    inner.create(&limited()).unwrap();
    sandbox.cgroup = inner;
    let (created, output) = sandbox.create(&["true"]).unwrap();
    assert_eq!(finish(created, output).unwrap().code, 0);
    sandbox.cgroup = outer;
}

#[test]
fn the_groups_above_go_with_the_last_one_in_them() {
    if !is_root() {
        return;
    }
    let hierarchy = Hierarchy::detect().unwrap();
    let group =
        |name: &str| hierarchy.cgroup(&format!("/beeline-test-{}/{name}", std::process::id())).unwrap();
    let exists = |group: &Cgroup| {
        let paths = group.paths();
        paths.v1.values().chain(&paths.unified).any(|path| path.exists())
    };
    let (inner, beside) = (group("a/b"), group("beside"));
    inner.create(&LinuxResources::default()).unwrap();
    beside.create(&LinuxResources::default()).unwrap();
    inner.remove().unwrap();
    inner.remove_empty_parents();
    assert!(!exists(&group("a")), "it was empty");
    assert!(exists(&beside), "another group keeps what they share");
    beside.remove().unwrap();
    beside.remove_empty_parents();
    let top = hierarchy.cgroup(&format!("/beeline-test-{}", std::process::id())).unwrap();
    assert!(!exists(&top), "nobody needs it any more");
}
