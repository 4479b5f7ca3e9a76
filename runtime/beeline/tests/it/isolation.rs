//! What containers share on request, and what the user confines them by.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;

use crate::bed::Bed;

/// Refuses one signal of all by an argument comparison, and one call altogether.
const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
         "args": [{"index": 1, "value": 10, "valueTwo": 0, "op": "SCMP_CMP_EQ"}], "comment": "SIGUSR1"},
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "4.0"}},
        {"names": ["read"], "action": "SCMP_ACT_KILL", "includes": {"caps": ["CAP_SYS_ADMIN"]}}
    ]
}"#;

#[test]
fn processes_and_memory_are_shared_with_a_container_that_runs() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let donor = "echo shared > /dev/shm/file; exec sleep 1000";
    bed.docker_ok(&["run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sh", "-c", donor]);
    bed.eventually("the donor has written", || {
        let script = "cat /dev/shm/file";
        let read = bed.docker(&["run", "--rm", "--ipc", "container:donor", "busybox", "sh", "-c", script]);
        (read.text() == "shared").then_some(())
    });
    let script = "tr '\\0' ' ' < /proc/1/cmdline; cat /dev/shm/file; \
                  [ $(readlink /proc/1/ns/ipc) = $(readlink /proc/self/ns/ipc) ] && echo same";
    for run in [Bed::docker, Bed::beeline] {
        let args =
            ["run", "--rm", "--pid", "container:donor", "--ipc", "container:donor", "busybox", "sh", "-c"];
        let output = run(&bed, &[&args[..], &[script]].concat());
        assert_eq!(output.text(), "sleep 1000 shared\nsame", "{output}");
    }

    // Who lives in another's PID namespace ends with it.
    bed.docker_ok(&["run", "-d", "--name", "guest", "--pid", "container:donor", "busybox", "sleep", "1000"]);
    bed.docker_ok(&["kill", "donor"]);
    assert_eq!(bed.docker_ok(&["wait", "guest"]), "137");
    let refused = bed.docker(&["start", "guest"]);
    assert!(refused.stderr.contains("failed to join PID namespace: container"), "{refused}");
    assert!(refused.stderr.contains("is not running"), "{refused}");
}

#[test]
fn what_cannot_be_shared_is_refused_in_dockers_words() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "private", "busybox", "sleep", "1000"]);
    for (flags, part) in [
        (&["--ipc", "container:private"][..], "non-shareable IPC (hint: use IpcMode:shareable"),
        (&["--pid", "container:nobody"], "failed to join PID namespace: No such container: nobody"),
        (&["--uts", "host", "--hostname", "box"], "conflicting options: hostname and the UTS mode"),
        (&["--sysctl", "kernel.panic=1"], "is not in a separate kernel namespace"),
        (
            &["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"],
            "not allowed in the host's network namespace",
        ),
        (&["--runtime", "runsc"], "unknown or invalid runtime name: runsc"),
        (&["--group-add", "nosuch"], "unable to find group nosuch"),
        (&["--device", "/etc/passwd"], "not a device node"),
        (&["--security-opt", "landlock=read=etc"], "landlock rule \"read=etc\": the path is not absolute"),
        (&["--userns", "private"], "invalid USER mode: private"),
        (&["--security-opt", "nonsense"], "invalid --security-opt 1: \"nonsense\""),
    ] {
        let output = bed.beeline(&[&["run", "--rm"], flags, &["busybox", "true"]].concat());
        assert!(output.stderr.contains(part), "{flags:?}: {output}");
        assert_eq!(output.code(), 125, "{flags:?}: {output}");
    }
    let output = bed.docker(&["run", "--rm", "--ipc", "container:private", "busybox", "true"]);
    assert!(output.stderr.contains("non-shareable IPC") && output.code() == 125, "{output}");
}

#[test]
fn namespaces_are_the_hosts_or_missing_on_request() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let run = |flags: &[&str], script: &str| {
        bed.docker_ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
    };
    let host = fs::read_link("/proc/self/ns/uts").unwrap().display().to_string();
    assert_eq!(run(&["--uts", "host"], "readlink /proc/self/ns/uts"), host);
    let host = fs::read_link("/proc/self/ns/ipc").unwrap().display().to_string();
    assert_eq!(run(&["--ipc", "host"], "readlink /proc/self/ns/ipc"), host);
    let host = fs::read_link("/proc/self/ns/cgroup").unwrap().display().to_string();
    assert_eq!(run(&["--cgroupns", "host"], "readlink /proc/self/ns/cgroup"), host);
    assert_ne!(run(&[], "readlink /proc/self/ns/cgroup"), host);
    assert_eq!(run(&["--ipc", "none"], "ls -d /dev/shm /dev/mqueue 2>&1 | grep -c 'No such'"), "2");
    assert_eq!(run(&["--shm-size", "2m"], "df -k /dev/shm | tail -1 | awk '{print $2}'"), "2048");
    assert_eq!(run(&["--domainname", "example.org"], "cat /proc/sys/kernel/domainname"), "example.org");
    assert_eq!(run(&["--oom-score-adj", "77"], "cat /proc/self/oom_score_adj"), "77");
    assert!(run(&["--read-only"], "touch /x 2>&1 || true").contains("Read-only file system"));
    let group = "mkdir /sys/fs/cgroup/memory/own 2>/dev/null || mkdir /sys/fs/cgroup/own; echo $?";
    assert_eq!(run(&["--security-opt", "writable-cgroups=true"], group), "0");
    let groups = ["-u", "www-data", "--group-add", "nogroup", "--group-add", "77"];
    assert_eq!(run(&groups, "id -G"), "33 77 65534");
    bed.docker_ok(&[&["run", "-d", "--name", "groups"], &groups[..], &["busybox", "sleep", "1000"]].concat());
    for exec in [Bed::docker_ok, Bed::beeline_ok] {
        assert_eq!(exec(&bed, &["exec", "groups", "id", "-G"]), "33 77 65534", "those of the container");
        assert_eq!(exec(&bed, &["exec", "-u", "1000", "groups", "id", "-G"]), "0 77 65534");
    }
    // Anybody may ping, and listen on any port, in a network of the container's own.
    let low = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range";
    assert_eq!(run(&[], low), "0\n0\t2147483647");
    assert_eq!(run(&["--sysctl", "net.ipv4.ip_unprivileged_port_start=80"], low), "80\n0\t2147483647");
}

#[test]
fn a_seccomp_profile_of_ones_own_decides_by_arguments() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("profile.json");
    fs::write(&path, PROFILE).unwrap();
    let option = format!("seccomp={}", path.display());
    let script = "trap '' USR1 USR2; kill -USR2 $$ && echo sent; kill -USR1 $$ 2>&1; mkdir /x 2>&1; \
                  grep Seccomp: /proc/self/status";
    for run in [Bed::docker, Bed::beeline] {
        let output = run(&bed, &["run", "--rm", "--security-opt", &option, "busybox", "sh", "-c", script]);
        let lines: Vec<String> = output.text().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "sent", "{output}");
        assert!(lines[1].contains("Permission denied"), "{output}");
        assert!(lines[2].contains("Operation not permitted"), "{output}");
        assert_eq!(lines[3], "Seccomp:\t2", "{output}");
    }
    // The same profile is another one for those with a capability that it knows.
    let args =
        ["run", "--rm", "--cap-add", "SYS_ADMIN", "--security-opt", &option, "busybox", "cat", "/etc/passwd"];
    assert_ne!(bed.docker(&args).code(), 0);
    // Compiled once each, and no container has a program of its own.
    assert_eq!(fs::read_dir(bed.dirs.run().join("seccomp")).unwrap().count(), 2);

    fs::write(&path, PROFILE.replace("SCMP_CMP_EQ", "SCMP_CMP_SAME")).unwrap();
    for run in [Bed::docker, Bed::beeline] {
        let refused = run(&bed, &["run", "--security-opt", &option, "busybox", "true"]);
        assert!(refused.stderr.contains("syscalls[0] (kill): unknown op \"SCMP_CMP_SAME\""), "{refused}");
        assert_eq!(refused.code(), 125);
    }
    assert_eq!(bed.docker_ok(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn the_daemons_defaults_hold_for_containers_that_say_nothing() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    let profile = bed.dirs.path().join("profile.json");
    fs::write(&profile, PROFILE).unwrap();
    let settings = serde_json::json!({
        "seccomp-profile": profile,
        "no-new-privileges": true,
        "default-ulimits": { "nofile": { "Name": "nofile", "Soft": 99, "Hard": 100 } },
    });
    fs::write(bed.dirs.config(), settings.to_string()).unwrap();
    bed.start();
    bed.busybox();
    let script =
        "ulimit -n; ulimit -Hn; grep NoNewPrivs /proc/self/status; mkdir /x 2>/dev/null || echo refused";
    let run =
        |flags: &[&str]| bed.docker_ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat());
    assert_eq!(run(&[]), "99\n100\nNoNewPrivs:\t1\nrefused");
    let own = ["--ulimit", "nofile=50", "--security-opt", "no-new-privileges=false", "--security-opt"];
    assert_eq!(run(&[&own[..], &["seccomp=builtin"]].concat()), "50\n50\nNoNewPrivs:\t0");
    let info = bed.docker_ok(&["info", "--format", "{{.SecurityOptions}}"]);
    assert!(info.contains(&format!("profile={}", profile.display())), "{info}");
}

#[test]
fn landlock_rules_hold_a_container_and_its_execs_to_what_they_name() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let files = "landlock=exec=/bin,read=/etc/passwd,write=/tmp,write=/dev,read=/proc";
    let ports = "landlock=connect=1,bind=none";
    let rules = ["--security-opt", files, "--security-opt", ports];
    let started =
        bed.docker(&[&["run", "-d", "--name", "box"], &rules[..], &["busybox", "sleep", "1000"]].concat());
    if !started.status.success() {
        // A kernel without it, or without ports in it, is named.
        assert!(started.stderr.contains("this kernel"), "{started}");
        assert!(fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|all| !all.contains("landlock")));
        return;
    }
    let script = "head -n 1 /etc/passwd; cat /etc/hosts; touch /etc/new /tmp/x; \
                  cp /bin/busybox /tmp/own; /tmp/own true; nc -w 1 127.0.0.1 2; nc -l -p 3; nc -w 1 127.0.0.1 1";
    for exec in [Bed::docker, Bed::beeline] {
        let output = exec(&bed, &["exec", "box", "sh", "-c", script]);
        assert!(output.text().starts_with("root:x:0:0:") && output.text().lines().count() == 1, "{output}");
        let refused: Vec<_> = output.stderr.lines().collect();
        for part in [
            "cat: can't open '/etc/hosts': Permission denied",
            "touch: /etc/new: Permission denied",
            "/tmp/own: Permission denied",
            "remote host (127.0.0.1): Permission denied",
            "bind: Permission denied",
            "remote host (127.0.0.1): Connection refused",
        ] {
            assert!(refused.iter().any(|line| line.contains(part)), "{part} in {output}");
        }
        assert!(!output.stderr.contains("/tmp/x"), "{output}");
    }
    // Those who may do everything else are held to them, too; and a path that is not there is a mistake.
    let run = ["run", "--rm", "--privileged", "--security-opt", "landlock=exec=/bin"];
    let privileged = bed.docker(&[&run[..], &["busybox", "cat", "/etc/passwd"]].concat());
    assert!(privileged.stderr.contains("Permission denied"), "{privileged}");
    let missing = bed.docker(&["run", "--rm", "--security-opt", "landlock=read=/nowhere", "busybox", "true"]);
    assert!(missing.stderr.contains("apply the Landlock rules (/nowhere): No such file"), "{missing}");
}

#[test]
fn a_seccomp_filter_asks_its_supervisor_for_the_container_and_its_execs() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let path = bed.dirs.path().join("supervisor");
    let mut profile = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerMetadata": "meta",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    });
    let file = bed.dirs.path().join("profile.json");
    let option = format!("seccomp={}", file.display());
    let run = ["run", "-d", "--name", "box", "--security-opt", &option];
    let start = || bed.docker(&[&run[..], &["busybox", "sh", "-c", "mkdir /made; exec sleep 1000"]].concat());
    fs::write(&file, profile.to_string()).unwrap();
    let refused = start();
    assert!(refused.stderr.contains("SCMP_ACT_NOTIFY needs a listenerPath"), "{refused}");
    profile["listenerPath"] = path.display().to_string().into();
    fs::write(&file, profile.to_string()).unwrap();
    let alone = start();
    assert!(alone.stderr.contains("send the seccomp filter's descriptor to"), "{alone}");
    bed.docker_ok(&["rm", "box"]);

    let listener = UnixListener::bind(&path).unwrap();
    // A supervisor that reads what it is told and goes: then there is no such call.
    let told = || {
        let mut text = vec![0; 16384];
        let (mut connection, _) = listener.accept().unwrap();
        let length = connection.read(&mut text).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text[..length]).unwrap()
    };
    let (started, state) = std::thread::scope(|scope| {
        let started = scope.spawn(start);
        let told = told();
        (started.join().unwrap(), told)
    });
    assert!(started.status.success(), "{started}");
    assert_eq!((&state["metadata"], &state["fds"][0]), (&"meta".into(), &"seccompFd".into()));
    assert_eq!(state["state"]["id"], started.text());
    assert_eq!(state["pid"].to_string(), bed.inspect("box", "{{.State.Pid}}"));
    bed.eventually("the call was refused", || {
        bed.docker(&["logs", "box"]).stderr.contains("Function not implemented").then_some(())
    });
    let (made, state) = std::thread::scope(|scope| {
        let made = scope.spawn(|| bed.docker(&["exec", "box", "mkdir", "/made"]));
        let told = told();
        (made.join().unwrap(), told)
    });
    assert!(made.stderr.contains("Function not implemented"), "{made}");
    assert_ne!(state["pid"].to_string(), bed.inspect("box", "{{.State.Pid}}"));
}
