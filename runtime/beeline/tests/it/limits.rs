//! What a container is confined to: limits, namespaces, capabilities, the seccomp filter, mounts.

use std::fs;

use crate::bed::Bed;

#[test]
fn limits_reach_the_kernel_and_are_kept() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "small",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--cpu-shares",
        "512",
        "--pids-limit",
        "20",
        "busybox",
        "sleep",
        "1000",
    ]);
    let id = bed.inspect("small", "{{.Id}}");
    let group = |controller: &str, v1: &str, v2: &str| {
        let below = format!("beeline/{}/{id}", bed.topology.instance);
        let v1 = format!("/sys/fs/cgroup/{controller}/{below}/{v1}");
        let v2 = format!("/sys/fs/cgroup/{below}/{v2}");
        fs::read_to_string(v1).or_else(|_| fs::read_to_string(v2)).unwrap().trim().to_owned()
    };
    assert_eq!(group("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert!(["50000", "50000 100000"].contains(&group("cpu", "cpu.cfs_quota_us", "cpu.max").as_str()));
    assert_eq!(group("pids", "pids.max", "pids.max"), "20");
    // 59 is what the OCI runtimes' conversion makes of 512 shares on cgroup v2.
    assert!(["512", "59"].contains(&group("cpu", "cpu.shares", "cpu.weight").as_str()));

    // A bomb of processes meets the limit, not the host.
    let bomb = "for i in $(seq 50); do sleep 5 & done; wait";
    let output = bed.docker(&["run", "--rm", "--pids-limit", "10", "busybox", "sh", "-c", bomb]);
    assert!(output.stderr.contains("can't fork"), "{output}");
}

#[test]
fn too_much_memory_kills_the_container() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let args = ["run", "--name", "hungry", "--memory", "16m", "busybox", "sh", "-c", "tail /dev/zero"];
    assert_eq!(bed.docker(&args).code(), 137);
    assert_eq!(bed.inspect("hungry", "{{.State.OOMKilled}}"), "true");
}

#[test]
fn a_container_is_confined_as_dockers_are() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let sh =
        |script: &str| bed.docker_ok(&["run", "--rm", "--hostname", "box", "busybox", "sh", "-c", script]);
    // Docker's default capabilities, Seccomp mode 2 (filter).
    let status = sh("grep -E '^(Cap(Eff|Bnd|Inh)|Seccomp|NoNewPrivs):' /proc/self/status");
    assert!(status.contains("CapEff:\t00000000a80425fb"), "{status}");
    assert!(status.contains("CapBnd:\t00000000a80425fb"), "{status}");
    assert!(status.contains("CapInh:\t0000000000000000"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("NoNewPrivs:\t0"), "{status}");
    assert_eq!(sh("echo $$; hostname; cat /etc/hostname"), "1\nbox\nbox");
    assert_eq!(sh("ls /sys/class/net"), "eth0\nlo");
    // Read-only and masked paths.
    assert!(sh("(echo 1 > /proc/sys/kernel/panic) 2>&1 || true").contains("Read-only"));
    assert_eq!(sh("cat /proc/keys /proc/timer_list | wc -c"), "0");
    assert!(
        sh("mkdir /sys/fs/cgroup/own 2>&1 || mkdir /sys/fs/cgroup/memory/own 2>&1 || true")
            .contains("Read-only")
    );
    // Refused by the filter although root: a new user namespace, the kernel's keyring.
    assert!(sh("unshare -r true 2>&1 || true").contains("not permitted"));
    // Open descriptors: standard streams and what ls itself opens.
    assert_eq!(sh("ls /proc/self/fd | wc -l"), "4");
    let devices = sh("ls /dev");
    for device in
        ["null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue", "fd", "stdin", "ptmx"]
    {
        assert!(devices.lines().any(|line| line == device), "{device} in {devices}");
    }
    let confined = bed.docker_ok(&[
        "run",
        "--rm",
        "--security-opt",
        "no-new-privileges",
        "busybox",
        "grep",
        "NoNewPrivs",
        "/proc/self/status",
    ]);
    assert_eq!(confined, "NoNewPrivs:\t1");
}

#[test]
fn the_users_wishes_are_honoured() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "from the host").unwrap();
    let volume = format!("{}:/data:ro", dir.path().display());
    let script = "id -u; id -g; pwd; echo $COLOUR; cat /data/file; ulimit -n; touch /data/x 2>&1";
    for run in [Bed::docker, Bed::beeline] {
        let output = run(
            &bed,
            &[
                "run",
                "--rm",
                "-u",
                "1000:1001",
                "-w",
                "/made/here",
                "-e",
                "COLOUR=green",
                "-v",
                &volume,
                "--ulimit",
                "nofile=77:88",
                "busybox",
                "sh",
                "-c",
                script,
            ],
        );
        let expected =
            "1000\n1001\n/made/here\ngreen\nfrom the host77\ntouch: /data/x: Read-only file system";
        assert_eq!(output.text(), expected, "{output}");
        assert_eq!(output.code(), 1);
    }
    let by_name = bed.docker_ok(&["run", "--rm", "-u", "www-data", "busybox", "id"]);
    assert!(by_name.starts_with("uid=33(www-data) gid=33(www-data)"), "{by_name}");
    let hosts = bed.docker_ok(&[
        "run",
        "--rm",
        "--hostname",
        "box",
        "busybox",
        "cat",
        "/etc/hosts",
        "/etc/resolv.conf",
    ]);
    assert!(hosts.contains("localhost") && hosts.contains("\tbox"), "{hosts}");
}
