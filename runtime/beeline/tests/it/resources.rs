//! Control groups beyond memory and processors: block IO, devices, parents, and what a kernel does not have.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bed::Bed;

const UNIFIED: &str = "/sys/fs/cgroup/cgroup.controllers";

/// The container's directory in a controller's hierarchy, below `parent`.
fn group(controller: &str, parent: &str, id: &str) -> PathBuf {
    let hierarchy = if Path::new(UNIFIED).exists() { "" } else { controller };
    Path::new("/sys/fs/cgroup").join(hierarchy).join(parent).join(id)
}

#[test]
fn block_io_is_limited_device_by_device() {
    let Some(bed) = Bed::new() else { return };
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut disks = disks.map(|disk| Path::new("/dev").join(disk.file_name())).filter(|disk| disk.exists());
    let Some(disk) = disks.next() else {
        eprintln!("skipped: this machine has no block device");
        return;
    };
    let name = disk.file_name().unwrap().to_str().unwrap().to_owned();
    let number = fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap().trim().to_owned();
    let read = format!("{}:1mb", disk.display());
    let write = format!("{}:7", disk.display());
    let limits = ["--device-read-bps", &read, "--device-write-iops", &write];
    for (client, run) in
        [("docker", Bed::docker_ok as fn(&Bed, &[&str]) -> String), ("beeline", Bed::beeline_ok)]
    {
        run(&bed, &[&["run", "-d", "--name", client][..], &limits, &["beeline/whoami"]].concat());
        let parent = format!("beeline/{}", bed.topology.instance);
        let group = group("blkio", &parent, &bed.inspect(client, "{{.Id}}"));
        if Path::new(UNIFIED).exists() {
            let max = fs::read_to_string(group.join("io.max")).unwrap();
            assert!(max.contains(&format!("{number} rbps=1048576 wbps=max riops=max wiops=7")), "{max}");
        } else {
            let file = |name: &str| fs::read_to_string(group.join(name)).unwrap().trim().to_owned();
            assert_eq!(file("blkio.throttle.read_bps_device"), format!("{number} 1048576"));
            assert_eq!(file("blkio.throttle.write_iops_device"), format!("{number} 7"));
        }
    }
    let wrong = bed.docker(&["run", "--rm", "--device-read-bps", "/dev/null:1mb", "beeline/whoami"]);
    assert!(wrong.stderr.contains("limit block IO of /dev/null: not a block device"), "{wrong}");
    let wrong = bed.beeline(&["run", "--rm", "--blkio-weight", "9", "beeline/whoami"]);
    assert!(wrong.stderr.contains("Range of blkio weight is from 10 to 1000"), "{wrong}");
}

#[test]
fn devices_are_out_of_reach_unless_a_rule_says_otherwise() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    // What the cgroup refuses is "not permitted"; a device that does not exist would say something else.
    let script =
        "mknod /tmp/tun c 10 200; (: < /tmp/tun) 2>&1; (: > /tmp/tun) 2>&1; echo x > /dev/null && echo null";
    let run = |options: &[&str]| {
        let output = bed.docker(&[&["run", "--rm"][..], options, &["busybox", "sh", "-c", script]].concat());
        assert!(output.text().ends_with("null"), "{output}");
        output.text().matches("not permitted").count()
    };
    assert_eq!(run(&[]), 2);
    assert_eq!(run(&["--device-cgroup-rule", "c 10:200 r"]), 1);
    assert_eq!(run(&["--device-cgroup-rule", "c 10:* rwm"]), 0);
    assert_eq!(run(&["--privileged"]), 0);
    let wrong = bed.beeline(&["run", "--rm", "--device-cgroup-rule", "c 10 r", "busybox", "true"]);
    assert!(wrong.stderr.contains("invalid device cgroup rule format: 'c 10 r'"), "{wrong}");
    let given = [
        "run",
        "--rm",
        "--device",
        "/dev/full:/dev/other:r",
        "busybox",
        "sh",
        "-c",
        "head -c 1 /dev/other | wc -c",
    ];
    assert_eq!(bed.beeline_ok(&given), "1");
}

#[test]
fn a_parent_group_is_the_users_the_daemons_or_our_own() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    let ours = format!("it-{}", bed.topology.instance);
    fs::write(bed.dirs.config(), format!(r#"{{"cgroup-parent": "/{ours}/daemon"}}"#)).unwrap();
    bed.start();
    bed.docker_ok(&["run", "-d", "--name", "by-daemon", "beeline/whoami"]);
    bed.beeline_ok(&[
        "run",
        "-d",
        "--name",
        "by-user",
        "--cgroup-parent",
        &format!("{ours}/user"),
        "beeline/whoami",
    ]);
    for (name, parent) in [("by-daemon", "daemon"), ("by-user", "user")] {
        let group = group("memory", &format!("{ours}/{parent}"), &bed.inspect(name, "{{.Id}}"));
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert!(processes.lines().any(|pid| pid == bed.inspect(name, "{{.State.Pid}}")), "{processes}");
    }
    bed.kill_daemon();
    bed.start();
    bed.docker_ok(&["pause", "by-user"]);
    bed.docker_ok(&["unpause", "by-user"]);
    let wrong = bed.docker(&["run", "--rm", "--cgroup-parent", "/a/../..", "beeline/whoami"]);
    assert!(wrong.stderr.contains("invalid cgroup parent"), "{wrong}");
    // A container whose shim is killed while no daemon lives leaves no group below a parent that is not our own.
    let by_user = group("memory", &format!("{ours}/user"), &bed.inspect("by-user", "{{.Id}}"));
    bed.kill_daemon();
    bed.kill_all("beeline-shim");
    assert!(by_user.exists(), "there is something to sweep");
    bed.start();
    assert!(!by_user.exists(), "{} is left", by_user.display());
    assert_eq!(bed.inspect("by-user", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    bed.docker_ok(&["rm", "-f", "by-user", "by-daemon"]);
    // The parents are the user's, and stay; here they are the test's.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for line in
        mounts.lines().filter(|line| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup")))
    {
        let parent = Path::new(line.split(' ').nth(1).unwrap()).join(&ours);
        for below in ["daemon", "user", ""] {
            fs::remove_dir(parent.join(below)).unwrap();
        }
    }
}

#[test]
fn what_the_kernel_does_not_have_is_said() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let create =
        |options: &[&str]| bed.docker(&[&["create"][..], options, &["busybox", "true"]].concat()).stderr;
    let warning = create(&["--oom-kill-disable", "--memory-swappiness", "10"]);
    if Path::new(UNIFIED).exists() {
        assert!(
            warning.contains("Your kernel does not support OomKillDisable. OomKillDisable discarded."),
            "{warning}"
        );
        assert!(warning.contains("Memory swappiness discarded."), "{warning}");
    } else {
        assert!(
            warning.contains("OOM killer is disabled for the container, but no memory limit is set"),
            "{warning}"
        );
        let script = [
            "run",
            "-d",
            "--name",
            "box",
            "--memory",
            "64m",
            "--oom-kill-disable",
            "--memory-swappiness",
            "10",
        ];
        bed.docker_ok(&[&script[..], &["busybox", "sleep", "1000"]].concat());
        let parent = format!("beeline/{}", bed.topology.instance);
        let group = group("memory", &parent, &bed.inspect("box", "{{.Id}}"));
        assert_eq!(fs::read_to_string(group.join("memory.swappiness")).unwrap().trim(), "10");
        let control = fs::read_to_string(group.join("memory.oom_control")).unwrap();
        assert!(control.contains("oom_kill_disable 1"), "{control}");
    }
    let wrong = bed.beeline(&["run", "--rm", "--memory-swappiness", "101", "busybox", "true"]);
    assert!(wrong.stderr.contains("valid memory swappiness range is 0-100"), "{wrong}");
}

#[test]
fn a_kill_for_want_of_memory_is_an_event() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let args =
        ["run", "--name", "hungry", "--memory", "16m", "--restart", "on-failure:1", "busybox", "sh", "-c"];
    assert_eq!(bed.docker(&[&args[..], &["tail /dev/zero"]].concat()).code(), 137);
    bed.eventually("the policy gives up", || {
        (bed.inspect("hungry", "{{.State.Status}} {{.State.OOMKilled}}") == "exited true").then_some(())
    });
    assert_eq!(bed.events(&["event=oom"], "{{.Action}}").lines().count(), 2);
}
