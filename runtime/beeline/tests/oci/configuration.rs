//! The rest of the configuration: honoured, or refused by its name.

use std::fs;
use std::os::unix::fs::chown;

use serde_json::{Value, json};

use crate::bed::{Bed, is_root};

fn mount(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn a_process_has_what_its_configuration_says() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.configure(|config| {
        let process = &mut config["process"];
        process["user"] = json!({ "uid": 10, "gid": 20, "additionalGids": [30, 40], "umask": 0o27 });
        process["env"] = json!(["PATH=/bin", "A=b c"]);
        process["cwd"] = json!("/work");
        process["noNewPrivileges"] = json!(true);
        process["oomScoreAdj"] = json!(100);
        process["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "hard": 512, "soft": 256 }]);
        process["capabilities"] = json!({ "bounding": ["CAP_KILL"], "permitted": [], "effective": [] });
        process["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 5 });
        process["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 5 });
        config["linux"]["personality"] = json!({ "domain": "LINUX32" });
        config["hostname"] = json!("one");
        config["domainname"] = json!("two");
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel.shmmax": "12345" });
    });
    assert_eq!(bed.sh("id -u; id -g; id -G; umask; pwd; echo $A"), "10\n20\n20 30 40\n0027\n/work\nb c\n");
    assert_eq!(bed.sh("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj"), "256\n512\n100\n");
    let names =
        "hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax";
    assert_eq!(bed.sh(names), "one\ntwo\n1\n12345\n");
    let status = bed.sh("cat /proc/self/status");
    let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("CapBnd:"), "0000000000000020");
    assert_eq!(line("CapEff:"), "0000000000000000");
    assert_eq!(bed.sh("/bin/busybox uname -m"), "i686\n");
    assert!(bed.sh("cat /proc/self/stat").split(' ').nth(18) == Some("5"));
}

#[test]
fn mounts_have_their_options() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    fs::create_dir_all(bed.path("rootfs/data/sub")).unwrap();
    fs::write(bed.path("rootfs/data/sub/file"), "covered\n").unwrap();
    chown(bed.path("rootfs/data/sub/file"), Some(1), Some(2)).unwrap();
    fs::create_dir(bed.path("bound")).unwrap();
    bed.configure(|config| {
        let options = ["tmpcopyup", "ro", "size=1m"];
        mount(config, json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options }));
        let bind = json!({ "destination": "/bound", "source": bed.text("bound"), "options": ["rbind", "rro", "rshared"] });
        mount(config, bind);
    });
    let script =
        "cat /data/sub/file; stat -c %u:%g /data/sub/file; touch /data/x || touch /bound/x || echo read-only";
    assert_eq!(bed.sh(script), "covered\n1:2\nread-only\n");
    let info = bed.sh("cat /proc/self/mountinfo");
    assert!(info.lines().any(|line| line.contains(" /bound ") && line.contains(" shared:")), "{info}");
    assert!(info.lines().any(|line| line.contains(" /dev/mqueue ") && line.contains(" - mqueue ")), "{info}");
}

#[test]
fn the_root_is_read_only_and_paths_are_masked() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    fs::write(bed.path("rootfs/secret"), "secret").unwrap();
    bed.configure(|config| {
        config["root"]["readonly"] = json!(true);
        config["linux"]["maskedPaths"] = json!(["/secret", "/nothere"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
        config["linux"]["rootfsPropagation"] = json!("rslave");
        config["linux"]["devices"] =
            json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7, "gid": 8 }]);
    });
    let script =
        "cat /secret; touch /x || echo 1 > /proc/sys/kernel/shmmax || stat -c '%t:%T %a %u:%g' /dev/mine";
    assert_eq!(bed.sh(script), "1:3 600 7:8\n");
    bed.configure(|config| config["linux"]["rootfsPropagation"] = json!("sideways"));
    assert!(bed.refuse().contains("linux.rootfsPropagation is \"sideways\""));
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    if !is_root() {
        return;
    }
    let cases: [(&str, Value, &str); 12] = [
        ("/linux/intelRdt", json!({ "closID": "x" }), "linux.intelRdt is not supported"),
        ("/linux/netDevices", json!({ "eth0": { "name": "a" } }), "linux.netDevices is not supported"),
        (
            "/linux/memoryPolicy",
            json!({ "mode": "MPOL_BIND", "nodes": "0" }),
            "linux.memoryPolicy is not supported",
        ),
        ("/linux/personality", json!({ "domain": "LINUX", "flags": ["X"] }), "linux.personality.flags"),
        ("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }), "need a new time namespace"),
        ("/linux/sysctl", json!({ "kernel.core_pattern": "|/x" }), "linux.sysctl kernel.core_pattern"),
        ("/linux/cgroupsPath", json!("a.slice:b:c"), "use the cgroupfs driver"),
        ("/process/cwd", json!("relative"), "process.cwd relative is not absolute"),
        ("/process/scheduler", json!({ "policy": "SCHED_ISO" }), "SCHED_ISO"),
        (
            "/process/ioPriority",
            json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }),
            "process.ioPriority.priority",
        ),
        ("/ociVersion", json!("2.0.0"), "ociVersion \"2.0.0\" is not supported"),
        (
            "/uidMappings",
            json!([{ "containerID": 0, "hostID": 0, "size": 1 }]),
            "uidMappings outside of linux",
        ),
    ];
    let bed = Bed::new();
    let before = bed.read("config.json");
    for (pointer, value, message) in cases {
        fs::write(bed.path("config.json"), &before).unwrap();
        bed.configure(|config| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[name] = value;
        });
        let said = bed.refuse();
        assert!(said.contains(message), "{pointer}: {said}");
    }
}

#[test]
fn descriptors_are_passed_on_only_when_asked_for() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sh", "-c", "for fd in /proc/self/fd/*; do echo ${fd##*/}; done"]);
    let run = |flags: &str| {
        let runtime = env!("CARGO_BIN_EXE_beeline");
        let (state, bundle, id) = (bed.text("state"), bed.text(""), bed.id());
        let script = format!(
            "exec 3</etc/hostname 4</etc/hostname 7</etc/hostname; \
             exec {runtime} oci --root {state} run {flags} --bundle {bundle} {id}"
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).stdin(std::process::Stdio::null());
        bed.finish(command)
    };
    // The shell's own descriptor of the directory is one more.
    assert_eq!(run("").stdout, "0\n1\n2\n3\n");
    assert_eq!(run("--preserve-fds 2").stdout, "0\n1\n2\n3\n4\n5\n");
    bed.args(&["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID"]);
    let mut activated = bed.command(&["run", "--bundle", &bed.text(""), bed.id()]);
    activated.env("LISTEN_FDS", "0");
    assert_eq!(bed.finish(activated).stdout, "0 1\n");
    let missing = run("--preserve-fds 3");
    assert!(missing.stderr.contains("descriptor 5 is not open"), "{}", missing.stderr);
}

#[test]
fn what_nobody_knows_is_ignored_and_what_means_nothing_refused() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["true"]);
    bed.configure(|config| {
        config["unknown"] = json!({ "a": 1 });
        config["annotations"] = json!({ "org.example.unknown": "" });
    });
    assert_eq!(bed.run().code, Some(0));
    let before = bed.read("config.json");
    for (pointer, value, message) in [
        ("/process/rlimits", json!([{ "type": "RLIMIT_TEST", "hard": 1, "soft": 1 }]), "RLIMIT_TEST"),
        ("/process/capabilities", json!({ "bounding": ["CAP_TEST"] }), "CAP_TEST"),
        ("/ociVersion", json!("invalid"), "ociVersion \"invalid\" is not supported"),
    ] {
        fs::write(bed.path("config.json"), &before).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        bed.configure(|config| config.pointer_mut(parent).unwrap()[name] = value);
        let said = bed.refuse();
        assert!(said.contains(message), "{said}");
    }
}

#[test]
fn devices_of_every_kind_are_made() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.configure(|config| {
        config["linux"]["devices"] = json!([
            { "path": "/dev/one", "type": "c", "major": 10, "minor": 666, "fileMode": 0o660, "uid": 0, "gid": 0 },
            { "path": "/dev/two", "type": "b", "major": 8, "minor": 666, "fileMode": 0o640, "uid": 1, "gid": 2 },
            { "path": "/dev/three", "type": "p", "fileMode": 0o600 },
        ]);
    });
    assert_eq!(
        bed.sh("stat -c '%F %t:%T %a %u:%g' /dev/one /dev/two /dev/three"),
        "character special file a:29a 660 0:0\nblock special file 8:29a 640 1:2\nfifo 0:0 600 0:0\n"
    );
}
