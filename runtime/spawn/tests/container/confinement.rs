//! What init has given up, who it is, and its terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;

use beeline_spawn::container::{self, NetNs, Stdio};
use beeline_spawn::seccomp::default_profile;
use oci_spec::runtime::{
    BoxBuilder, Capabilities, Capability, LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscallBuilder,
    PosixRlimitBuilder, PosixRlimitType,
};

use crate::sandbox::{Sandbox, is_root, wait, write};

/// Docker's 14 capabilities.
const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";

#[test]
fn capabilities_are_dockers() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let output = sandbox.output("grep Cap /proc/self/status | cat -");
    let line = |name: &str, value: &str| assert!(output.contains(&format!("{name}:\t{value}")), "{output}");
    line("CapInh", "0000000000000000");
    line("CapPrm", DEFAULT_CAPABILITIES);
    line("CapEff", DEFAULT_CAPABILITIES);
    line("CapBnd", DEFAULT_CAPABILITIES);
    line("CapAmb", "0000000000000000");
}

#[test]
fn another_user_has_no_capabilities_but_ambient_ones() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let bind: Capabilities = [Capability::NetBindService].into_iter().collect();
    sandbox.process(|process| {
        process.user_mut().set_uid(1234).set_gid(55).set_additional_gids(Some(vec![7, 8]));
        let mut sets = process.capabilities().clone().unwrap();
        sets.set_ambient(Some(bind.clone())).set_inheritable(Some(bind));
        process.set_capabilities(Some(sets));
    });
    let output = sandbox.output("id -u; id -g; id -G; grep -E 'CapEff|CapAmb' /proc/self/status; echo $HOME");
    let expected = "1234\n55\n55 7 8\nCapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n/\n";
    assert_eq!(output, expected);
}

#[test]
fn a_user_is_looked_up_in_the_containers_own_files() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    write(&sandbox.image("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:77:78::/home/ann:/bin/sh\n");
    write(&sandbox.image("etc/group"), "wheel:x:10:ann\n");
    sandbox.process(|process| {
        process.user_mut().set_username(Some("ann".into()));
    });
    assert_eq!(
        sandbox.output("id -u; id -G; echo $HOME; echo ok > /dev/stdout"),
        "77\n78 10\n/home/ann\nok\n"
    );
}

#[test]
fn a_link_in_place_of_passwd_does_not_lead_to_the_host() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "ann:x:77:78::/:\n").unwrap();
    symlink(outside.path(), sandbox.image("etc/passwd")).unwrap();
    sandbox.process(|process| {
        process.user_mut().set_username(Some("ann".into()));
    });
    let error = sandbox.create(&["true"]).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "unable to find user ann: no matching entries in passwd file");
}

#[test]
fn seccomp_filters_and_no_new_privs_is_an_option() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let status = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status";
    assert_eq!(sandbox.output(status), "NoNewPrivs:\t0\nSeccomp:\t2\n");
    sandbox.process(|process| {
        process.set_no_new_privileges(Some(true));
    });
    assert_eq!(sandbox.output(status), "NoNewPrivs:\t1\nSeccomp:\t2\n");
    sandbox.linux(|linux| {
        linux.set_seccomp(None);
    });
    assert_eq!(sandbox.output(status), "NoNewPrivs:\t1\nSeccomp:\t0\n");
}

#[test]
fn the_default_profile_blocks_what_the_capabilities_would_allow() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let admin: Capabilities = [Capability::SysAdmin].into_iter().collect();
    sandbox.process(|process| {
        let mut sets = process.capabilities().clone().unwrap();
        sets.set_bounding(Some(admin.clone()))
            .set_permitted(Some(admin.clone()))
            .set_effective(Some(admin.clone()));
        process.set_capabilities(Some(sets));
    });
    // The profile made for Docker's default capabilities lets nobody mount.
    let mount = "mount -t tmpfs none /tmp 2>&1";
    let outcome = sandbox.sh(mount);
    assert!(
        outcome.output.contains("Operation not permitted") || outcome.output.contains("permission denied"),
        "{}",
        outcome.output
    );
    sandbox.linux(|linux| {
        linux.set_seccomp(Some(default_profile(&admin)));
    });
    assert_eq!(sandbox.sh(mount).output, "");
}

/// An old profile of a user's own does not know the calls that init makes for itself.
#[test]
fn a_narrow_filter_does_not_keep_the_command_from_starting() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let refused = ["close_range", "dup3", "recvfrom", "sendto", "sendmsg", "umask", "fchdir", "openat2"];
    let rule = LinuxSyscallBuilder::default()
        .names(refused.map(str::to_owned).to_vec())
        .action(LinuxSeccompAction::ScmpActKillProcess)
        .build()
        .unwrap();
    let profile = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActAllow)
        .syscalls(vec![rule])
        .build()
        .unwrap();
    sandbox.linux(|linux| {
        linux.set_seccomp(Some(profile));
    });
    for no_new_privileges in [false, true] {
        sandbox.process(|process| {
            process.set_no_new_privileges(Some(no_new_privileges));
        });
        assert_eq!(sandbox.output("echo ok"), "ok\n");
        // SIGSYS.
        assert_eq!(sandbox.sh("umask").code, 128 + 31);
    }
}

#[test]
fn no_descriptor_is_leaked() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    // The fourth is the directory that ls reads.
    assert_eq!(sandbox.output("ls /proc/self/fd"), "0\n1\n2\n3\n");
}

#[test]
fn signals_have_their_default_dispositions() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    // Not by way of a shell, which sets its own.
    let output = sandbox.run(&["cat", "/proc/self/status"]).output;
    for name in ["SigBlk", "SigIgn"] {
        assert!(output.contains(&format!("{name}:\t0000000000000000")), "{output}");
    }
}

#[test]
fn limits_umask_and_score_are_set() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    sandbox.process(|process| {
        let limit =
            PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(321_u64).hard(654_u64);
        let limit = limit.build().unwrap();
        process.set_rlimits(Some(vec![limit])).set_oom_score_adj(Some(500));
    });
    assert_eq!(
        sandbox.output("ulimit -Sn; ulimit -Hn; umask; cat /proc/self/oom_score_adj"),
        "321\n654\n0022\n500\n"
    );
}

#[test]
fn a_terminal_is_the_containers_own() {
    if !is_root() {
        return;
    }
    let mut sandbox = Sandbox::new();
    let script = "tty; stty size; echo in $(readlink /proc/self/fd/0); stat -c %t:%T /dev/console; read line; echo got $line";
    symlink("busybox", sandbox.image("bin/stty")).unwrap();
    sandbox.process(|process| {
        let size = BoxBuilder::default().height(33_u64).width(99_u64).build().unwrap();
        process.set_terminal(Some(true)).set_console_size(Some(size));
        process.set_args(Some(["sh", "-c", script].map(str::to_owned).to_vec()));
    });
    let rootfs = sandbox.rootfs();
    let created =
        container::create(&sandbox.spec, &rootfs, Stdio::Terminal, NetNs::New, &sandbox.cgroup).unwrap();
    let running = created.start().unwrap();
    let mut console = fs::File::from(running.console.unwrap());
    console.write_all(b"honey\n").unwrap();
    let mut output = Vec::new();
    // When the last process has closed its end, reading fails with EIO.
    let _ = console.read_to_end(&mut output);
    assert_eq!(wait(&running.pidfd), 0);
    let output = String::from_utf8(output).unwrap();
    for expected in ["/dev/pts/0\r\n", "33 99\r\n", "in /dev/pts/0\r\n", "88:0\r\n", "got honey\r\n"] {
        assert!(output.contains(expected), "{expected} is missing in {output}");
    }
}
