//! Containers whose users are others than the host's (`userns-remap`): what they see is what they would see without.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use beeline_testbed::Daemon;

use crate::bed::{Bed, binary};

/// The first subordinate user and group of the test's.
const FIRST: u32 = 100_000;

/// A bed whose daemon finds subordinate identities of the user `daemon`, which every host has. `None` where the test cannot
/// run.
fn bed() -> Option<Bed> {
    let mut bed = Bed::without_daemon()?;
    fs::write(bed.dirs.config(), r#"{"userns-remap": "daemon"}"#).unwrap();
    if let Err(error) = start(&mut bed) {
        // A kernel that cannot do it is no reason to fail, if the daemon says so and the file system is not one of those
        // that can.
        let refusal = format!("{error:#}");
        assert!(
            refusal.contains("userns-remap needs a kernel whose overlays take idmapped layers"),
            "{refusal}"
        );
        let system = bed.in_host(&format!("stat -f -c %T {}", bed.dirs.path().display()));
        assert!(!["ext2/ext3", "xfs", "btrfs"].contains(&system.as_str()), "{system}: {refusal}");
        eprintln!("skipped: files in {system} cannot be mounted idmapped by this kernel");
        fs::write(bed.dirs.config(), "{}").unwrap();
        return None;
    }
    bed.busybox();
    Some(bed)
}

/// Starts the daemon with files of its own in place of /etc/subuid and /etc/subgid.
fn start(bed: &mut Bed) -> anyhow::Result<()> {
    let identities = bed.dirs.path().join("identities");
    fs::write(&identities, format!("daemon:{FIRST}:65536\n")).unwrap();
    let daemon = Daemon::command(&binary(), &bed.topology.host, &bed.topology.instance, &bed.dirs);
    let script = format!(
        "mount --bind {0} /etc/subuid && mount --bind {0} /etc/subgid && exec \"$@\"",
        identities.display()
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "sh", "-c", &script, "sh"]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    bed.try_start_as(&mut command)
}

/// The owner of a file, as the host has it.
fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

#[test]
fn a_containers_root_is_nobody_on_the_host_and_sees_its_files_as_root() {
    let Some(bed) = bed() else { return };
    assert!(bed.docker_ok(&["info", "--format", "{{.SecurityOptions}}"]).contains("name=userns"));
    let (host, new) = (bed.dirs.path().join("host"), bed.dirs.path().join("new"));
    fs::create_dir(&host).unwrap();
    let bind = |path: &Path, to: &str| format!("{}:{to}", path.display());
    let (old, made) = (bind(&host, "/host"), bind(&new, "/made"));
    let run = [
        "run", "-d", "--name", "box", "-v", "vol:/vol", "-v", &old, "-v", &made, "--tmpfs", "/tmp", "busybox",
    ];
    bed.docker_ok(&[&run[..], &["sleep", "1000"]].concat());
    for exec in [Bed::docker_ok, Bed::beeline_ok] {
        let run = |script: &str| exec(&bed, &["exec", "box", "sh", "-c", script]);
        assert_eq!(run("id -u; id -g; tr -s ' ' < /proc/self/uid_map"), "0\n0\n 0 100000 65536");
        let owners = "stat -c %u:%g / /etc /bin/busybox /etc/hosts /vol /made /tmp /dev/shm";
        assert_eq!(run(owners), ["0:0"; 8].join("\n"));
        // What the host has is nobody's here, and closed as to anybody.
        assert_eq!(run("stat -c %u:%g /host; touch /host/x || echo closed"), "65534:65534\nclosed");
        assert_eq!(
            run("echo line >> /etc/hosts && ping -c 1 127.0.0.1 > /dev/null && echo pinged"),
            "pinged"
        );
    }
    let status = bed.inspect("box", "{{.State.Pid}}");
    assert_eq!(owner(&Path::new("/proc").join(&status)), (FIRST, FIRST));

    // Users of the container's, changed owners, and what the image had at the place.
    let script = "touch /new /vol/new && chown 33:34 /new /vol/new && chmod u+s /bin/busybox && stat -c %u:%g /new /vol/new";
    assert_eq!(bed.docker_ok(&["exec", "box", "sh", "-c", script]), "33:34\n33:34");
    assert_eq!(bed.docker_ok(&["exec", "-u", "1000:7", "box", "id", "-u"]), "1000");
    // On the disk all is as the container sees it, where nobody else can reach it.
    let volumes = bed.dirs.root().join("volumes");
    assert_eq!(owner(&volumes.join("vol/_data/new")), (33, 34));
    assert_eq!(fs::metadata(&volumes).unwrap().mode() & 0o777, 0o700);
    let id = bed.inspect("box", "{{.Id}}");
    assert_eq!(owner(&bed.dirs.root().join("containers").join(id).join("upper/new")), (33, 34));
}

#[test]
fn copies_and_images_have_the_owners_that_the_container_sees() {
    let Some(bed) = bed() else { return };
    bed.docker_ok(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let make = "mkdir /d && echo text > /d/file && chown -R 33:34 /d";
    bed.docker_ok(&["exec", "box", "sh", "-c", make]);
    let given = bed.dirs.path().join("given");
    fs::write(&given, "given").unwrap();
    let given = given.display().to_string();
    let owners = |archive: &str| {
        let listed =
            bed.in_host(&format!("{archive} | tar --numeric-owner -tv | awk '{{print $2, $6}}' | sort -u"));
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let docker = format!("docker -H {}", bed.dirs.docker_host());
    for state in ["running", "stopped"] {
        bed.docker_ok(&["cp", "-a", &given, &format!("box:/d/{state}")]);
        let copied = owners(&format!("{docker} cp box:/d -"));
        for line in ["33/34 d/", "33/34 d/file", "0/0 d/running"] {
            assert!(copied.iter().any(|copied| copied == line), "{state}: {line} in {copied:?}");
        }
        let exported = owners(&format!("{docker} export box"));
        assert!(exported.iter().any(|line| line == "33/34 d/file"), "{state}: {exported:?}");
        assert_eq!(bed.docker_ok(&["diff", "box"]).lines().next(), Some("A /d"));
        if state == "running" {
            let shown = bed.docker_ok(&["exec", "box", "stat", "-c", "%u:%g", "/d/running"]);
            assert_eq!(shown, "0:0");
            bed.docker_ok(&["kill", "box"]);
        }
    }
    bed.docker_ok(&["commit", "box", "made"]);
    for userns in [&[][..], &["--userns", "host"]] {
        let run =
            [&["run", "--rm"], userns, &["made", "stat", "-c", "%u:%g", "/d/file", "/d/stopped"]].concat();
        assert_eq!(bed.docker_ok(&run), "33:34\n0:0");
    }
    bed.docker_ok(&["start", "box"]);
    assert_eq!(bed.docker_ok(&["exec", "box", "stat", "-c", "%u:%g", "/d/stopped"]), "0:0");
}

#[test]
fn the_hosts_namespaces_are_refused_in_dockers_words_and_given_with_the_hosts_users() {
    let Some(bed) = bed() else { return };
    for (flag, part) in [
        (&["--privileged"][..], "privileged mode is incompatible with user namespaces"),
        (
            &["--network", "host"],
            "cannot share the host's network namespace when user namespaces are enabled",
        ),
        (&["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
        (&["--ipc", "host"], "cannot share the host IPC namespace when user namespaces are enabled"),
    ] {
        let refused = bed.docker(&[&["run", "--rm"], flag, &["busybox", "true"]].concat());
        assert!(refused.stderr.contains(part), "{flag:?}: {refused}");
        let run = [&["run", "--rm", "--userns", "host"], flag, &["busybox", "cat", "/proc/self/uid_map"]];
        let map = bed.docker_ok(&run.concat());
        assert!(map.ends_with(" 4294967295"), "{flag:?}: {map}");
    }

    // Namespaces are shared among containers whose users are the same.
    bed.docker_ok(&["run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "1000"]);
    let all = ["--network", "container:donor", "--pid", "container:donor", "--ipc", "container:donor"];
    let script =
        "[ $(readlink /proc/1/ns/user) = $(readlink /proc/self/ns/user) ] && touch /dev/shm/x && id -u";
    let run = [&["run", "--rm"], &all[..], &["busybox", "sh", "-c", script]];
    assert_eq!(bed.docker_ok(&run.concat()), "0");
    bed.docker_ok(&["run", "-d", "--name", "hosts", "--userns", "host", "busybox", "sleep", "1000"]);
    let refused = bed.docker(&["run", "--rm", "--network", "container:hosts", "busybox", "true"]);
    assert!(refused.stderr.contains("whose users are mapped otherwise"), "{refused}");
}

#[test]
fn a_container_serves_runs_on_without_its_daemon_and_loses_its_map_with_the_setting() {
    let Some(mut bed) = bed() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "-v", "vol:/vol", "beeline/whoami"]);
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "-v",
        "vol:/vol",
        "busybox",
        "sh",
        "-c",
        "touch /vol/x; exec sleep 1000",
    ]);
    let curl = format!("curl -sS --max-time 5 http://{}:8080/", beeline_testbed::HOST_ADDRESS);
    bed.in_client(&curl);
    bed.kill_daemon();
    bed.in_client(&curl);
    fs::write(bed.dirs.config(), "{}").unwrap();
    bed.start();
    // What runs keeps its users, an exec's too; what is started anew has the host's, and the same files.
    let map = ["exec", "box", "sh", "-c", "tr -s ' ' < /proc/self/uid_map; stat -c %u /vol/x"];
    assert_eq!(bed.docker_ok(&map), " 0 100000 65536\n0");
    let listed = format!("docker -H {} cp box:/vol/x - | tar --numeric-owner -tv", bed.dirs.docker_host());
    assert!(bed.in_host(&listed).contains(" 0/0 "));
    bed.docker_ok(&["restart", "-t", "0", "box"]);
    assert_eq!(bed.docker_ok(&map), " 0 0 4294967295\n0");
}
