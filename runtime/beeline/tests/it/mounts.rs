//! Mounts by name, and containers that try to have something mounted where it must not be.

use std::fs;

use crate::bed::Bed;

#[test]
fn bind_mounts_are_read_only_to_the_bottom_unless_told_otherwise() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let top = bed.dirs.path().join("top");
    fs::create_dir_all(top.join("below")).unwrap();
    let below = top.join("below").display().to_string();
    bed.in_host(&format!("mount -t tmpfs tmpfs {below}"));
    let source = top.display().to_string();
    let touch = |mount: &str, file: &str| {
        let output = bed.docker(&["run", "--rm", "--mount", mount, "busybox", "touch", file]);
        (output.code(), output.stderr)
    };
    let mount = |rest: &str| format!("type=bind,src={source},dst=/m{rest}");
    for (rest, file, works) in [
        ("", "/m/below/x", true),
        (",readonly", "/m/below/x", false),
        (",readonly", "/m/x", false),
        (",readonly,bind-recursive=writable", "/m/below/x", true),
        (",readonly,bind-recursive=writable", "/m/x", false),
        (",readonly,bind-recursive=readonly,bind-propagation=rprivate", "/m/below/x", false),
    ] {
        let (code, error) = touch(&mount(rest), file);
        assert_eq!(code == 0, works, "{rest} {file}: {error}");
        assert!(works || error.contains("Read-only file system"), "{rest} {file}: {error}");
    }
    let hidden = mount(",bind-recursive=disabled");
    assert_eq!(bed.docker_ok(&["run", "--rm", "--mount", &hidden, "busybox", "ls", "/m/below"]), "");
    let short = format!("{source}:/m:ro");
    assert_ne!(bed.docker(&["run", "--rm", "-v", &short, "busybox", "touch", "/m/below/y"]).code(), 0);
    bed.in_host(&format!("umount {below}"));
}

#[test]
fn mounts_by_name_are_made_and_bad_ones_refused() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let file = bed.dirs.path().join("file");
    fs::write(&file, "content").unwrap();
    let source = file.display().to_string();
    // A file on a file that does not exist, below directories that do not.
    let onto = format!("type=bind,src={source},dst=/not/there/yet");
    for output in [
        bed.docker_ok(&["run", "--rm", "--mount", &onto, "busybox", "cat", "/not/there/yet"]),
        bed.beeline_ok(&["run", "--rm", "--mount", &onto, "busybox", "cat", "/not/there/yet"]),
    ] {
        assert_eq!(output, "content");
    }
    let tmpfs = "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770";
    let shown = bed.docker_ok(&[
        "run",
        "--rm",
        "--mount",
        tmpfs,
        "busybox",
        "sh",
        "-c",
        "stat -c %a /t; grep ' /t ' /proc/mounts",
    ]);
    assert!(
        shown.starts_with("1770\n") && shown.contains("size=1024k") && shown.contains("noexec"),
        "{shown}"
    );
    let exec = bed.docker_ok(&[
        "run",
        "--rm",
        "--tmpfs",
        "/t:exec,size=64k",
        "busybox",
        "grep",
        " /t ",
        "/proc/mounts",
    ]);
    assert!(!exec.contains("noexec") && exec.contains("size=64k"), "{exec}");
    for (args, reason) in [
        (&["--mount", "type=bind,src=/none/such,dst=/m"][..], "bind source path does not exist: /none/such"),
        (&["--mount", "type=image,src=busybox,dst=/m"], "mounts of type \"image\" are not supported"),
        (&["--tmpfs", "/m:fast"], "invalid tmpfs option"),
        (&["-v", "/tmp:/m", "--tmpfs", "/m"], "Duplicate mount point: /m"),
        (&["-v", "/tmp:/m:ro,rw"], "invalid mode"),
        (&["-v", "/tmp:/"], "destination can't be '/'"),
        (&["--tmpfs", "/proc/x"], "inside /proc"),
        (&["-v", "/tmp:/proc"], "has to be a proc file system"),
        (&["-v", "/tmp:/proc/sys"], "inside /proc"),
    ] {
        let refused = bed.docker(&[&["run", "--rm"], args, &["busybox", "true"]].concat());
        assert!(refused.code() == 125 && refused.stderr.contains(reason), "{args:?}: {refused}");
    }
    let cpuinfo = format!("{source}:/proc/cpuinfo:ro");
    assert_eq!(bed.docker_ok(&["run", "--rm", "-v", &cpuinfo, "busybox", "cat", "/proc/cpuinfo"]), "content");
}

#[test]
fn what_the_host_mounts_reaches_a_slave_and_what_a_container_mounts_reaches_the_host_from_a_shared_one() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let top = bed.dirs.path().join("top");
    fs::create_dir_all(&top).unwrap();
    let source = top.display().to_string();
    bed.in_host(&format!(
        "mount -t tmpfs tmpfs {source} && mount --make-shared {source} && mkdir {source}/a {source}/b"
    ));
    let slave = format!("{source}:/m:rslave");
    let private = format!("{source}:/m");
    bed.docker_ok(&["run", "-d", "--name", "slave", "-v", &slave, "busybox", "sleep", "1000"]);
    bed.docker_ok(&["run", "-d", "--name", "private", "-v", &private, "busybox", "sleep", "1000"]);
    bed.in_host(&format!("mount -t tmpfs tmpfs {source}/a"));
    let sees = |name: &str| {
        let pid = bed.inspect(name, "{{.State.Pid}}");
        fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap().contains(" /m/a ")
    };
    assert_eq!((sees("slave"), sees("private")), (true, false));
    let shared = format!("{source}:/m:rshared");
    let script = "mount -t tmpfs tmpfs /m/b";
    bed.docker_ok(&["run", "--rm", "--privileged", "-v", &shared, "busybox", "sh", "-c", script]);
    assert!(fs::read_to_string("/proc/self/mounts").unwrap().contains(&format!(" {source}/b ")));
    bed.docker_ok(&["rm", "-f", "slave", "private"]);
    bed.in_host(&format!("umount {source}/a {source}/b {source}"));
}

/// CVE-2021-30465, CVE-2023-27561: a mount's place that another container, which has the same volume, makes a link.
#[test]
fn a_link_in_a_shared_volume_leads_a_mount_neither_out_nor_to_the_kernels_files() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let host = bed.dirs.path().join("host");
    fs::create_dir(&host).unwrap();
    let plant = |target: &str| {
        let script = format!("rm -rf /v/place; ln -s {target} /v/place");
        bed.docker_ok(&["run", "--rm", "-v", "shared:/v", "busybox", "sh", "-c", &script]);
    };
    let victim =
        ["run", "--rm", "-v", "shared:/v", "--tmpfs", "/v/place/sub", "busybox", "cat", "/proc/mounts"];
    for target in ["/proc", "/proc/sys", "/sys/kernel"] {
        plant(target);
        let output =
            bed.docker(&["run", "--rm", "-v", "shared:/v", "-v", "other:/v/place", "busybox", "true"]);
        assert!(
            output.code() == 125 && output.stderr.contains("file system of the kernel's"),
            "{target}: {output}"
        );
    }
    plant(&host.display().to_string());
    // Inside the container, the link leads nowhere.
    let refused = bed.docker(&victim);
    assert!(refused.code() == 125 && refused.stderr.contains("Not a directory"), "{refused}");
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0, "nothing was made on the host");

    // The same while it is being swapped: every mount is inside, or the start fails.
    let script = format!(
        "mkdir /v/dir; ln -s {} /v/link; touch /v/ready; while :; do mv /v/place /v/x; mv /v/dir /v/place; mv /v/place /v/dir; mv /v/x /v/place; done",
        host.display()
    );
    bed.docker_ok(&["run", "-d", "--name", "racer", "-v", "shared:/v", "busybox", "sh", "-c", &script]);
    for _ in 0..10 {
        bed.docker(&victim);
        assert_eq!(fs::read_dir(&host).unwrap().count(), 0, "nothing was made on the host");
    }
}

/// A subpath that a container with the whole volume makes a link.
#[test]
fn a_volumes_subpath_is_resolved_inside_of_it() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "mkdir -p /v/etc && echo inside > /v/etc/passwd && ln -s /etc /v/abs && ln -s ../../../../../etc /v/up";
    bed.docker_ok(&["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", script]);
    for subpath in ["abs", "up", "etc"] {
        let mount = format!("type=volume,src=vol,dst=/p,volume-subpath={subpath}");
        assert_eq!(
            bed.docker_ok(&["run", "--rm", "--mount", &mount, "busybox", "cat", "/p/passwd"]),
            "inside",
            "{subpath}"
        );
    }
}

/// CVE-2025-31133, CVE-2025-52565: what masks and /dev/console are mounted from and on is not for a shared /dev to say.
#[test]
fn a_shared_dev_with_links_changes_neither_masks_nor_the_console() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "cd /v && ln -s /proc/sys/kernel/core_pattern null && ln -s /proc/sys/kernel/core_pattern console && mkdir pts shm mqueue";
    bed.docker_ok(&["run", "--rm", "-v", "dev:/v", "busybox", "sh", "-c", script]);
    let masked =
        bed.docker_ok(&["run", "--rm", "-v", "dev:/dev", "busybox", "sh", "-c", "cat /proc/kcore | wc -c"]);
    assert_eq!(masked, "0", "the host's null device, not what the link says");
    // No terminal is taken from what is no devpts, and none is mounted where a link leads to the kernel's files.
    let console = bed.docker(&["run", "--rm", "-t", "-v", "dev:/dev", "busybox", "true"]);
    assert!(console.code() == 125 && console.to_string().contains("open the terminal"), "{console}");
    let pts = ["-v", "dev:/dev", "-v", "/dev/pts:/dev/pts"];
    let console = bed.docker(&[&["run", "--rm", "-t"], &pts[..], &["busybox", "true"]].concat());
    assert!(
        console.code() == 125 && console.to_string().contains("file system of the kernel's"),
        "{console}"
    );
}
