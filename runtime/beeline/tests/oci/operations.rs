//! What operations refuse, and that what they refuse changes nothing.

use std::fs;

use crate::bed::{Bed, is_root};

/// A signal with what a shell calls it.
const SIGNALS: [(&str, &str); 8] = [
    ("HUP", "HUP"),
    ("SIGINT", "INT"),
    ("QUIT", "QUIT"),
    ("SIGUSR1", "USR1"),
    ("USR2", "USR2"),
    ("15", "TERM"),
    ("SIGWINCH", "WINCH"),
    ("CONT", "CONT"),
];

#[test]
fn an_operation_needs_an_id_and_a_container() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    for operation in ["start", "state", "kill", "delete", "pause", "resume", "ps", "exec", "update"] {
        assert_ne!(bed.call(&[operation]).code, Some(0), "{operation} without an id");
        let mut call = vec![operation, "nobody"];
        call.extend((operation == "exec").then_some("true"));
        let said = bed.fail(&call);
        assert!(said.contains("nobody does not exist"), "{operation}: {said}");
    }
}

#[test]
fn the_command_is_executed_once_and_by_start_alone() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sh", "-c", "echo called >> /output"]);
    bed.create();
    assert!(!bed.path("rootfs/output").exists());
    bed.succeed(&["start", bed.id()]);
    bed.await_status("stopped");
    assert!(bed.fail(&["start", bed.id()]).contains("it is stopped"));
    assert_eq!(bed.read("rootfs/output"), "called\n");
}

#[test]
fn a_container_without_a_process_is_refused() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.configure(|config| {
        config.as_object_mut().unwrap().remove("process");
    });
    assert!(bed.refuse().contains("process is missing"));
}

#[test]
fn a_container_that_runs_is_not_deleted_and_one_that_has_ended_not_killed() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sleep", "1000"]);
    bed.create();
    bed.succeed(&["start", bed.id()]);
    let running = bed.state();
    assert!(bed.fail(&["delete", bed.id()]).contains("it is running"));
    assert_eq!(bed.state(), running);
    bed.succeed(&["kill", bed.id(), "KILL"]);
    bed.await_status("stopped");
    let stopped = bed.state();
    assert!(bed.fail(&["kill", bed.id(), "KILL"]).contains("container not running"));
    assert_eq!(bed.state(), stopped);
}

#[test]
fn a_container_that_waits_for_its_start_can_be_killed() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.create();
    bed.succeed(&["kill", bed.id(), "KILL"]);
    bed.await_status("stopped");
    assert!(bed.fail(&["start", bed.id()]).contains("it is stopped"));
}

#[test]
fn every_signal_reaches_the_command_by_name_and_by_number() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let traps: String =
        SIGNALS.iter().map(|(_, name)| format!("trap 'echo {name} >> /got' {name}; ")).collect();
    bed.args(&["sh", "-c", &format!("{traps} touch /ready; while :; do sleep 0.01; done")]);
    bed.create();
    bed.succeed(&["start", bed.id()]);
    bed.eventually("it listens", || bed.path("rootfs/ready").exists());
    for (given, name) in SIGNALS {
        bed.succeed(&["kill", bed.id(), given]);
        let got = || fs::read_to_string(bed.path("rootfs/got")).unwrap_or_default();
        bed.eventually(name, || got().lines().last() == Some(name));
    }
    assert!(bed.fail(&["kill", bed.id(), "NOSUCH"]).contains("NOSUCH"));
}
