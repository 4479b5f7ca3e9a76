//! Bad input: each with its message, its exit code, and nothing left.

use std::fs;
use std::process::Command;

use beeline_testbed::Daemon;
use beeline_testbed::command;

use crate::bed::{Bed, binary, with_input};

#[test]
fn a_command_that_cannot_run_is_127_or_126() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    for run in [Bed::docker, Bed::beeline] {
        let missing = run(&bed, &["run", "--rm", "busybox", "/no/such/program"]);
        assert_eq!(missing.code(), 127, "{missing}");
        assert!(missing.stderr.contains("/no/such/program"), "{missing}");
        let plain = run(&bed, &["run", "--rm", "busybox", "/etc/passwd"]);
        assert_eq!(plain.code(), 126, "{plain}");
        assert!(plain.stderr.to_lowercase().contains("permission denied"), "{plain}");
    }
}

#[test]
fn an_unknown_image_is_named_with_the_way_out() {
    let Some(bed) = Bed::new() else { return };
    let ours = bed.beeline(&["run", "--rm", "nowhere/nothing"]);
    assert_eq!(ours.code(), 125, "{ours}");
    assert!(ours.stderr.contains("nowhere/nothing") && ours.stderr.contains("load"), "{ours}");
    let stock = bed.docker(&["run", "--rm", "nowhere/nothing"]);
    assert_eq!(stock.code(), 125, "{stock}");
    assert!(stock.stderr.contains("nowhere/nothing"), "{stock}");
}

#[test]
fn a_port_in_use_is_refused_and_leaves_nothing() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "first", "-p", "8080:80", "beeline/whoami"]);
    let second = bed.docker(&["run", "-d", "--name", "second", "-p", "8080:80", "beeline/whoami"]);
    assert_eq!(second.code(), 125, "{second}");
    assert!(second.stderr.contains("8080") && second.stderr.contains("already allocated"), "{second}");

    let mut server = bed.topology.host.command("busybox");
    let mut server = server.args(["nc", "-l", "-p", "9090"]).spawn().unwrap();
    bed.eventually("the host's own server listens", || {
        bed.in_host("ss -ltn").contains(":9090").then_some(())
    });
    let third = bed.beeline(&["run", "-d", "-p", "9090:80", "beeline/whoami"]);
    assert_eq!(third.code(), 125, "{third}");
    assert!(third.stderr.contains("9090"), "{third}");
    server.kill().unwrap();
    server.wait().unwrap();
    // The port is free again: a failed start reserved nothing.
    bed.docker_ok(&["run", "-d", "-p", "9090:80", "beeline/whoami"]);
}

#[test]
fn a_host_process_cannot_bind_a_published_port() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let line = "timeout 5 busybox nc -l -p 8080";
    let refused = crate::bed::shell(bed.topology.host.command("sh"), line);
    assert!(refused.stderr.contains("Address already in use"), "{refused}");
    bed.docker_ok(&["rm", "-f", "web"]);
    let free = crate::bed::shell(bed.topology.host.command("sh"), "timeout 1 busybox nc -l -p 8080");
    assert!(!free.stderr.contains("in use"), "{free}");
}

#[test]
fn a_broken_archive_is_refused_and_leaves_nothing() {
    let Some(bed) = Bed::new() else { return };
    let images = bed.docker_ok(&["images", "-q"]);
    for args in [["import", "-"], ["load", "-q"]] {
        for run in [Bed::docker_command, Bed::beeline_command] {
            let output = with_input(run(&bed, &args), &b"this is no archive".repeat(100));
            assert_eq!(output.code(), 1, "{args:?} {output}");
            assert!(output.stderr.contains("archive") || output.stderr.contains("tar"), "{args:?} {output}");
        }
    }
    let whole = fs::read(beeline_testbed::busybox_tar(&crate::bed::image_cache()).unwrap()).unwrap();
    let cut = with_input(bed.docker_command(&["import", "-", "cut"]), &whole[..whole.len() / 2]);
    assert_eq!(cut.code(), 1, "{cut}");
    assert_eq!(bed.docker_ok(&["images", "-q"]), images);
}

#[test]
fn a_memory_limit_below_the_minimum_is_refused() {
    let Some(bed) = Bed::new() else { return };
    for run in [Bed::docker, Bed::beeline] {
        let output = run(&bed, &["run", "--rm", "--memory", "1m", "beeline/whoami"]);
        assert_eq!(output.code(), 125, "{output}");
        assert!(output.stderr.contains("Minimum memory limit allowed is 6MB"), "{output}");
    }
}

#[test]
fn a_daemon_that_does_not_run_is_said_to() {
    let Some(bed) = Bed::without_daemon() else { return };
    let output = bed.beeline(&["ps"]);
    assert_eq!(output.code(), 1, "{output}");
    assert!(output.stderr.contains("beeline daemon"), "{output}");
}

#[test]
fn a_malformed_configuration_is_shown_with_line_and_key() {
    let Some(bed) = Bed::without_daemon() else { return };
    let start = |text: &str| {
        fs::write(bed.dirs.config(), text).unwrap();
        let mut daemon = Daemon::command(&binary(), &bed.topology.host, &bed.topology.instance, &bed.dirs);
        command::output(&mut daemon).unwrap()
    };
    let wrong_type = start("{\n  \"debug\": true,\n  \"metrics-addr\": 9323\n}\n");
    assert_eq!(wrong_type.code(), 1, "{wrong_type}");
    assert!(
        wrong_type.stderr.contains("line 3") && wrong_type.stderr.contains("metrics-addr"),
        "{wrong_type}"
    );
    let unknown = start("{\n  \"colour\": \"green\"\n}\n");
    assert_eq!(unknown.code(), 1, "{unknown}");
    assert!(unknown.stderr.contains("line 2") && unknown.stderr.contains("colour"), "{unknown}");
    let broken = start("{\n  \"debug\": true,\n");
    assert!(broken.stderr.contains("line"), "{broken}");
}

#[test]
fn not_root_is_said_to() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    // The binary may lie where nobody can read it.
    let copy = bed.dirs.path().join("beeline-copy");
    fs::copy(binary(), &copy).unwrap();
    fs::set_permissions(bed.dirs.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let as_nobody = |args: &[&str]| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy).args(args);
        command::output(setpriv.env("DOCKER_HOST", bed.dirs.docker_host())).unwrap()
    };
    let daemon = as_nobody(&["daemon", "--root", "/nonexistent/root"]);
    assert_eq!(daemon.code(), 1, "{daemon}");
    assert!(daemon.stderr.contains("root"), "{daemon}");
    bed.start();
    let copy = bed.dirs.path().join("beeline-copy");
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy).arg("ps");
    let client = command::output(setpriv.env("DOCKER_HOST", bed.dirs.docker_host())).unwrap();
    assert_eq!(client.code(), 1, "{client}");
    assert!(client.stderr.to_lowercase().contains("permission denied"), "{client}");
}

#[test]
fn wrong_arguments_are_explained() {
    let Some(bed) = Bed::new() else { return };
    let publish = bed.beeline(&["run", "-p", "99999:80", "beeline/whoami"]);
    assert_eq!(publish.code(), 125, "{publish}");
    assert!(publish.stderr.contains("99999"), "{publish}");
    let gone = bed.beeline(&["inspect", "nothing"]);
    assert_eq!(gone.code(), 1);
    assert!(gone.stderr.contains("nothing"), "{gone}");
    for verb in ["stop", "kill", "rm", "logs", "wait", "start"] {
        let stock = bed.docker(&[verb, "nothing"]);
        assert_eq!(stock.code(), 1, "{verb}: {stock}");
        assert!(stock.stderr.contains("No such container: nothing"), "{verb}: {stock}");
    }
}

#[test]
fn a_second_daemon_on_the_same_root_is_refused() {
    let Some(bed) = Bed::new() else { return };
    let mut second = Daemon::command(&binary(), &bed.topology.host, &bed.topology.instance, &bed.dirs);
    let output = command::output(&mut second).unwrap();
    assert_eq!(output.code(), 1, "{output}");
    assert!(output.stderr.contains(&bed.daemon_pid().to_string()), "the running daemon is named: {output}");
    bed.docker_ok(&["ps"]);
}

#[test]
fn a_kernel_without_btf_or_cgroup2_is_named() {
    let Some(bed) = Bed::without_daemon() else { return };
    // The nearest to such a kernel that can be had here: the files are hidden in a mount namespace of the daemon's own.
    for (hide, word) in [
        ("mount -t tmpfs none /sys/kernel/btf", "BTF"),
        ("grep ' cgroup2 ' /proc/mounts | cut -d' ' -f2 | xargs -n1 umount --lazy", "cgroup2"),
    ] {
        let daemon = Daemon::command(&binary(), &bed.topology.host, &bed.topology.instance, &bed.dirs);
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "sh", "-c", &format!("{hide} && exec \"$@\""), "sh"])
            .arg(daemon.get_program());
        let output = command::output(unshare.args(daemon.get_args())).unwrap();
        assert_eq!(output.code(), 1, "{word}: {output}");
        assert!(output.stderr.contains(word), "{word}: {output}");
    }
}
