//! Attacks from inside of a container: each is tried, and where it must fail, something like it that must not is tried
//! beside it. What is confined how is in docs/security.md.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::bed::Bed;

/// Tries to open each path for writing. Nothing is ever written: these are the machine's own.
const OPEN: &str = "for path in $PATHS; do (: >> $path) 2>/dev/null && echo $path; done; true";

fn run(bed: &Bed, flags: &[&str], script: &str) -> String {
    bed.docker_ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
}

#[test]
fn the_kernels_switches_cannot_be_opened_for_writing() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let paths = "PATHS=/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \
                 /proc/sys/vm/panic_on_oom /sys/kernel/mm/transparent_hugepage/enabled";
    assert_eq!(run(&bed, &["-e", paths], OPEN), "");
    // Ownership of the whole system's files does not help, nor does a root file system that may be written to.
    assert_eq!(run(&bed, &["-e", paths, "--cap-add", "DAC_READ_SEARCH"], OPEN), "");
    // The paths are there for those who may.
    let privileged = run(&bed, &["-e", paths, "--privileged"], OPEN);
    assert!(privileged.contains("/proc/sys/kernel/core_pattern"), "{privileged}");
    let unconfined = run(&bed, &["-e", paths, "--security-opt", "systempaths=unconfined"], OPEN);
    assert!(unconfined.contains("/proc/sys/kernel/core_pattern"), "{unconfined}");
}

#[test]
fn what_is_masked_is_empty() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "for path in kcore keys timer_list sched_debug latency_stats interrupts; do \
                  [ ! -e /proc/$path ] || head -c 100 /proc/$path; done | wc -c; \
                  find /sys/firmware /proc/acpi /proc/scsi -mindepth 1 2>/dev/null | wc -l";
    assert_eq!(run(&bed, &[], script), "0\n0");
    assert_ne!(run(&bed, &["--privileged"], "head -c 100 /proc/interrupts | wc -c"), "0");
}

#[test]
fn nothing_can_be_mounted_and_no_namespace_be_made() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let script = "mkdir -p /m; try() { \"$@\" >/dev/null 2>&1 && echo \"$@\"; }
        try mount -t tmpfs x /m
        try mount -t cgroup -o memory x /m
        try mount -t cgroup2 x /m
        try mount -t proc x /m
        try mount --bind / /m
        try mount -o remount,rw,bind /proc/sys
        try umount /proc/sys
        try umount /proc/kcore
        try unshare -U true
        try unshare -m true
        try unshare -n true
        try chroot / unshare -U true
        for agent in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs); do
            try sh -c \": >> $agent\"
        done
        try mkdir /sys/fs/cgroup/own /sys/fs/cgroup/memory/own
        true";
    assert_eq!(run(&bed, &[], script), "");
    // The same programs can where it is allowed.
    let allowed = run(&bed, &["--privileged"], "mkdir /m; mount -t tmpfs x /m && unshare -m echo done");
    assert_eq!(allowed, "done");
}

#[test]
fn a_device_node_opens_only_what_the_container_was_given() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    // Making one is allowed, as in Docker; the control group refuses its use, whatever the capabilities.
    let script = "mknod /kmsg c 1 11 && mknod /mem c 1 1 && mknod /nil c 1 3 && \
                  for node in kmsg mem nil; do (: < /$node) 2>/dev/null && echo $node; done; true";
    let capable = ["--cap-add", "SYSLOG", "--cap-add", "SYS_RAWIO"];
    assert_eq!(run(&bed, &capable, script), "nil");
    let given = [&capable[..], &["--device", "/dev/kmsg:/dev/log-of-kernel:r"]].concat();
    let script =
        "(: < /dev/log-of-kernel) && echo read; (: >> /dev/log-of-kernel) 2>/dev/null || echo refused";
    assert_eq!(run(&bed, &given, script), "read\nrefused");
    assert_eq!(run(&bed, &["--privileged"], "(: < /dev/kmsg) && echo read"), "read");
}

/// What `/proc/1/status` says of a container, by its flags. The first row is what Docker documents.
#[test]
fn privileges_are_dockers() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    // Nobody can give what he does not have.
    let every = field(&own, "CapEff");
    let (docker, none) = ("00000000a80425fb", "0000000000000000");
    let user = ["-u", "33"];
    for (flags, effective, bounding, filter, gains) in [
        (&[][..], docker, docker, "2", "0"),
        (&user, none, docker, "2", "0"),
        (&["--cap-drop", "ALL"], none, none, "2", "0"),
        (&["--cap-drop", "ALL", "--cap-add", "CHOWN"], "0000000000000001", "0000000000000001", "2", "0"),
        (&["--cap-add", "ALL"], &every, &every, "2", "0"),
        (&["--security-opt", "seccomp=unconfined"], docker, docker, "0", "0"),
        (&["--security-opt", "no-new-privileges"], docker, docker, "2", "1"),
        (&["--privileged"], &every, &every, "0", "0"),
    ] {
        let status = run(&bed, flags, "cat /proc/1/status");
        assert_eq!(field(&status, "CapEff"), effective, "{flags:?}");
        assert_eq!(field(&status, "CapPrm"), effective, "{flags:?}");
        assert_eq!(field(&status, "CapBnd"), bounding, "{flags:?}");
        assert_eq!(field(&status, "CapInh"), none, "{flags:?}");
        assert_eq!(field(&status, "CapAmb"), none, "{flags:?}");
        assert_eq!(field(&status, "Seccomp"), filter, "{flags:?}");
        assert_eq!(field(&status, "NoNewPrivs"), gains, "{flags:?}");
    }
}

#[test]
fn an_exec_has_the_privileges_of_its_container_and_no_more() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let none = "0000000000000000";
    for flags in [
        &[][..],
        &["--cap-drop", "ALL", "--cap-add", "CHOWN"],
        &["--security-opt", "no-new-privileges"],
        &["--security-opt", "seccomp=unconfined"],
        &["-u", "33"],
    ] {
        bed.docker_ok(&[&["run", "-d", "--name", "box"], flags, &["busybox", "sleep", "1000"]].concat());
        let init = bed.docker_ok(&["exec", "box", "cat", "/proc/1/status"]);
        let exec = bed.docker_ok(&["exec", "box", "cat", "/proc/self/status"]);
        for name in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "Seccomp", "NoNewPrivs", "Uid", "Gid"]
        {
            assert_eq!(field(&exec, name), field(&init, name), "{name} with {flags:?}");
        }
        // Who is not root has none, also not by way of the next command it executes.
        let user = bed.docker_ok(&["exec", "-u", "34", "box", "sh", "-c", "cat /proc/self/status"]);
        for name in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(field(&user, name), none, "{name} with {flags:?}");
        }
        assert_eq!(field(&user, "CapBnd"), field(&init, "CapBnd"), "with {flags:?}");
        bed.docker_ok(&["rm", "-f", "box"]);
    }
}

fn field(status: &str, name: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
}

/// What the filter answers to calls, by their numbers on x86_64: errors that dockerd's default profile gives.
#[cfg(target_arch = "x86_64")]
#[test]
fn system_calls_are_refused_as_dockerd_refuses_them() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("perl", &["perl-base"]);
    // All with arguments that do nothing where the call is allowed.
    const CALLS: [(&str, u32, u32); 18] = [
        ("add_key", 248, 1),
        ("request_key", 249, 1),
        ("keyctl", 250, 1),
        ("bpf", 321, 1),
        ("userfaultfd", 323, 1),
        ("io_uring_setup", 425, 1),
        ("perf_event_open", 298, 1),
        ("open_by_handle_at", 304, 1),
        ("setns", 308, 1),
        ("unshare", 272, 1),
        ("mount", 165, 1),
        ("umount2", 166, 1),
        ("pivot_root", 155, 1),
        ("fsopen", 430, 1),
        ("init_module", 175, 1),
        ("iopl", 172, 1),
        // Unknown, so that the C library takes clone instead.
        ("clone3", 435, 38),
        // Allowed: answers to the arguments, not to the call.
        ("ptrace", 101, 3),
    ];
    let calls = CALLS.map(|(_, number, _)| number.to_string()).join(",");
    // ptrace: PTRACE_CONT of a process that is not traced. Zeros are null pointers and bad descriptors elsewhere.
    let script = format!(
        "for ({calls}) {{ $! = 0; syscall($_, $_ == 101 ? 7 : $_ == 272 ? 0x10000000 : 0, $_ == 101 ? 1 : 0, 0, 0, 0); \
         print $_, ' ', $!+0, \"\\n\" }}"
    );
    let answers = bed.docker_ok(&["run", "--rm", "perl", "perl", "-e", &script]);
    let expected = CALLS.map(|(_, number, errno)| format!("{number} {errno}")).join("\n");
    assert_eq!(answers, expected, "{CALLS:?}");

    // Each container has a session keyring of its own, which shows where the filter does not hide it.
    let keyring = "print syscall(250, 0, -3, 0)";
    let args = ["run", "--rm", "--security-opt", "seccomp=unconfined", "perl", "perl", "-e", keyring];
    let (one, other) = (bed.docker_ok(&args), bed.docker_ok(&args));
    assert!(one.parse::<i64>().unwrap() > 0, "{one}");
    assert_ne!(one, other);
}

#[test]
fn a_setuid_program_gains_no_more_than_the_container_has() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("perl", &["perl-base"]);
    let script = "system('cp /bin/cat /tmp/cat') || chmod 04755, '/tmp/cat' or die; \
                  $) = $( = 33; $> = $< = 33; exec '/tmp/cat', '/proc/self/status'";
    // The real, the effective and the saved user, and what it can do.
    let tried = |flags: &[&str]| {
        let args = [&["run", "--rm"], flags, &["perl", "perl", "-e", script]].concat();
        let status = bed.docker_ok(&args);
        (field(&status, "Uid"), field(&status, "CapEff"))
    };
    let pair = |uid: &str, capabilities: &str| (uid.to_owned(), capabilities.to_owned());
    assert_eq!(tried(&[]), pair("33\t0\t0\t0", "00000000a80425fb"));
    assert_eq!(tried(&["--security-opt", "no-new-privileges"]), pair("33\t33\t33\t33", "0000000000000000"));
    let few = ["--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID"];
    assert_eq!(tried(&few), pair("33\t0\t0\t0", "00000000000000c0"));
}

#[test]
fn descriptors_end_at_the_limit() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("perl", &["perl-base"]);
    let bomb =
        "while (open my $file, '<', '/dev/null') { push @files, $file } print scalar(@files), ' ', $!+0";
    let args = ["run", "--rm", "--ulimit", "nofile=64:64", "perl", "perl", "-e", bomb];
    let answer = bed.docker_ok(&args);
    let (count, errno) = answer.split_once(' ').unwrap();
    assert!((50..64).contains(&count.parse().unwrap()) && errno == "24", "{answer}");
    // Nobody asked: as many as is good for programs that walk through all of them, and room for those that need more.
    bed.busybox();
    let limits = run(&bed, &[], "ulimit -n; ulimit -Hn");
    let (soft, hard) = limits.split_once('\n').unwrap();
    assert_eq!(soft, "1024");
    assert!(hard.parse::<u64>().unwrap() <= 524_288, "{limits}");
}

#[test]
fn neither_shim_nor_host_can_be_traced_from_a_container() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("perl", &["perl-base"]);
    bed.docker_ok(&["run", "-d", "--name", "other", "perl", "sleep", "1000"]);
    let init = bed.inspect("other", "{{.State.Pid}}");
    let shim = field(&fs::read_to_string(format!("/proc/{init}/status")).unwrap(), "PPid");
    let daemon = bed.daemon_pid().to_string();
    // PTRACE_SEIZE, which does not stop its target; and the target's memory and root by way of /proc.
    let script = "for my $pid (@ARGV) { $! = 0; syscall(101, 0x4206, $pid + 0, 0, 0); print $!+0, ' '; \
                  $! = 0; open(my $f, '<', \"/proc/$pid/mem\"); print $!+0, ' '; \
                  $! = 0; readlink(\"/proc/$pid/root\"); print $!+0, ' ' }";
    let tried = |flags: &[&str]| {
        let args = [&["run", "--rm"], flags, &["perl", "perl", "-e", script, &shim, &daemon]].concat();
        bed.docker_ok(&args)
    };
    // Without the numbers there is nobody: ESRCH and ENOENT.
    assert_eq!(tried(&[]), "3 2 2 3 2 2");
    assert_eq!(tried(&["--cap-add", "SYS_PTRACE"]), "3 2 2 3 2 2");
    // With them it takes capabilities: EPERM and EACCES.
    assert_eq!(tried(&["--pid", "host"]), "1 13 13 1 13 13");
    let name = fs::read_to_string(format!("/proc/{shim}/comm")).unwrap();
    assert_eq!(name.trim(), "beeline-shim");
}

#[test]
fn no_abstract_socket_leads_to_the_daemon_or_a_shim() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "other", "busybox", "sleep", "1000"]);
    // The bed's network namespace is the daemon's and the shims' own.
    let sockets = run(&bed, &["--network", "host"], "cat /proc/net/unix");
    assert!(sockets.contains("beeline.sock"), "{sockets}");
    assert!(!sockets.contains('@'), "{sockets}");
}

#[test]
fn sockets_and_directories_are_closed_to_the_machines_users() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let id = bed.docker_ok(&["run", "-d", "busybox", "sleep", "1000"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = bed.dirs.socket();
    assert_eq!(mode(&socket), 0o660);
    let groups = fs::read_to_string("/etc/group").unwrap();
    let group = |name: &str| {
        let entry = groups.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        entry.split(':').nth(1)?.parse::<u32>().ok()
    };
    let expected = group("docker").or_else(|| group("beeline")).unwrap_or(0);
    let found = fs::metadata(&socket).unwrap();
    assert_eq!((found.uid(), found.gid()), (0, expected));
    assert_eq!(mode(&bed.dirs.run().join("containers")), 0o700);
    assert_eq!(mode(&bed.dirs.run().join("containers").join(&id).join("shim.sock")), 0o600);
    assert_eq!(mode(&bed.dirs.run().join("seccomp")), 0o700);
    assert_eq!(mode(&bed.dirs.root().join("containers")), 0o700);
}
