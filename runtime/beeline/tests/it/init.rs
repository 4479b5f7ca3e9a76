//! `--init`: a small first process that hands signals on, reaps, and gives nothing of the host away.

use std::fs;

use crate::bed::Bed;

#[test]
fn it_reaps_hands_signals_on_and_ends_with_the_command() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let run = |script: &str| bed.docker(&["run", "--rm", "--init", "busybox", "sh", "-c", script]);
    // An orphan that has ended is gone, not a zombie.
    let output = run("echo $$; cat /proc/1/comm; (sleep 0.1 &); sleep 0.5; grep -l sleep /proc/[0-9]*/comm");
    assert!(!output.text().starts_with("1\n") && output.text().contains("\ninit"), "{output}");
    assert!(!output.text().contains("/proc/"), "{output}");
    assert_eq!(run("exit 42").code(), 42);
    assert_eq!(run("kill -9 $$").code(), 137);
    assert_eq!(bed.beeline(&["run", "--rm", "--init", "busybox", "/nowhere"]).code(), 127);
    assert_eq!(bed.docker(&["run", "--rm", "--init", "busybox", "/etc/passwd"]).code(), 126);

    // Without it, sleep would be the first process, which the kernel spares.
    bed.docker_ok(&["run", "-d", "--init", "--name", "sleeps", "busybox", "sleep", "1000"]);
    let init = bed.inspect("sleeps", "{{.State.Pid}}");
    let rollup = fs::read_to_string(format!("/proc/{init}/smaps_rollup")).unwrap();
    let own = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    let own: u32 = own.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(own < 512, "{own} kB of memory of its own");
    bed.docker_ok(&["stop", "-t", "60", "sleeps"]);
    assert_eq!(bed.inspect("sleeps", "{{.State.ExitCode}}"), "143");
}

#[test]
fn a_terminal_and_its_signals_are_the_commands() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let host = bed.dirs.docker_host();
    let line = format!(
        "DOCKER_HOST={host} script --quiet --return --command \
         'docker run --rm --init -it busybox sh -c \"read x < /dev/tty; echo got \\$x; exit 7\"' /dev/null"
    );
    let mut shell = bed.topology.host.command("sh");
    shell.args(["-c", &line]);
    let output = crate::bed::with_input(shell, b"line\n");
    assert_eq!(output.code(), 7, "{output}");
    assert!(output.text().contains("got line"), "{output}");
}

/// CVE-2019-5736, tried from inside.
#[test]
fn neither_the_hosts_binary_nor_inits_memory_is_within_reach() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let binary = crate::bed::binary();
    let before = fs::read(&binary).unwrap();
    let attack = "cat /proc/1/mem; cat /proc/1/environ; cat /proc/1/exe; : > /proc/1/exe; echo x >> /proc/1/exe; \
                  cat /proc/1/map_files/*; ls /proc/1/fd/";
    for privilege in ["--init", "--privileged"] {
        let output = bed.docker(&["run", "--rm", "--init", privilege, "busybox", "sh", "-c", attack]);
        if privilege == "--init" {
            assert_eq!(output.text(), "", "nothing can be read");
        }
        assert!(fs::read(&binary).unwrap() == before, "{privilege}: the binary has changed");
    }
}
