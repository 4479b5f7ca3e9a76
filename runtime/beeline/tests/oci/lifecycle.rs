//! create, start, state, kill, delete and what they refuse; exec, ps, pause, resume, update, events, list, features.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, is_root, receive};

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sleep", "1000"]);
    bed.configure(|config| config["annotations"] = json!({ "a": "b" }));
    bed.succeed(&["create", "--bundle", &bed.text(""), "--pid-file", &bed.text("pid"), bed.id()]);
    let state = bed.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], bed.id());
    assert_eq!(state["annotations"], json!({ "a": "b" }));
    assert_eq!(state["bundle"], bed.text("").trim_end_matches('/'));
    assert_eq!(state["pid"].to_string(), bed.read("pid"));
    // The command is not executed yet, and the configuration's changes do not matter.
    bed.args(&["true"]);
    assert_eq!(bed.on("start").code, Some(0));
    assert_eq!(bed.status(), "running");
    assert!(bed.fail(&["start", bed.id()]).contains("it is running"));
    assert!(bed.fail(&["delete", bed.id()]).contains("it is running"));
    bed.succeed(&["kill", bed.id(), "KILL"]);
    bed.await_status("stopped");
    assert!(bed.fail(&["kill", bed.id(), "TERM"]).contains("container not running"));
    assert!(bed.fail(&["start", bed.id()]).contains("it is stopped"));
    assert_eq!(bed.on("delete").code, Some(0));
    assert!(bed.fail(&["state", bed.id()]).contains("does not exist"));
    assert!(bed.fail(&["delete", bed.id()]).contains("does not exist"));
    bed.succeed(&["delete", "--force", bed.id()]);
}

#[test]
fn an_id_is_taken_once_and_is_no_path() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.create();
    let again = bed.fail(&["create", "--bundle", &bed.text(""), bed.id()]);
    assert!(again.contains("exists already"), "{again}");
    assert_eq!(bed.status(), "created");
    assert!(bed.fail(&["create", "--bundle", &bed.text(""), "../x"]).contains("invalid container id"));
    assert_eq!(bed.call(&["create", "--bundle", &bed.text("")]).code, Some(1));
    // A container that was not started is deleted without force.
    assert_eq!(bed.on("delete").code, Some(0));
}

#[test]
fn run_returns_the_commands_code_and_says_why_there_is_none() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sh", "-c", "exit 7"]);
    assert_eq!(bed.run().code, Some(7));
    bed.args(&["sh", "-c", "kill -9 $$ & wait; kill -TERM 1; exit 3"]);
    assert_eq!(bed.run().code, Some(3));
    bed.args(&["nothere"]);
    assert!(bed.refuse().contains("exec \"nothere\": No such file or directory"));
    fs::write(bed.path("rootfs/plain"), "text").unwrap();
    bed.args(&["/plain"]);
    assert!(bed.refuse().contains("Permission denied"));
}

#[test]
fn a_command_that_is_not_there_is_told_by_create_and_in_the_log() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["nothere"]);
    let (log, bundle) = (bed.text("log"), bed.text(""));
    let flags = ["--log", &log, "--log-format", "json", "create", "--bundle", &bundle, bed.id()];
    assert!(bed.fail(&flags).contains("No such file or directory"));
    let line: Value = serde_json::from_str(bed.read("log").lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("No such file or directory"), "{line}");
    assert_eq!(bed.succeed(&["list", "--quiet"]), "");
}

#[test]
fn a_command_that_cannot_be_executed_is_told_by_start() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    fs::write(bed.path("rootfs/text"), "text").unwrap();
    fs::set_permissions(bed.path("rootfs/text"), fs::Permissions::from_mode(0o755)).unwrap();
    bed.args(&["/text"]);
    bed.create();
    assert!(bed.fail(&["start", bed.id()]).contains("Exec format error"));
    bed.await_status("stopped");
}

#[test]
fn a_further_process_is_in_the_containers_namespaces_with_its_limits() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sleep", "1000"]);
    bed.configure(|config| config["hostname"] = json!("inside"));
    bed.create();
    bed.succeed(&["start", bed.id()]);
    let mut exec = vec!["exec", "--env", "A=b", "--user", "5:6", "--cwd", "/tmp", bed.id()];
    exec.extend(["sh", "-c", "echo $A $(id -u):$(id -g) $(pwd) $(hostname) $(cat /proc/1/comm)"]);
    assert_eq!(bed.succeed(&exec), "b 5:6 /tmp inside sleep\n");
    assert_eq!(bed.call(&["exec", bed.id(), "sh", "-c", "exit 9"]).code, Some(9));
    let capabilities = |pid: &str| {
        let status = bed.succeed(&["exec", bed.id(), "cat", &format!("/proc/{pid}/status")]);
        status.lines().find(|line| line.starts_with("CapEff:")).unwrap().to_owned()
    };
    assert_eq!(capabilities("self"), capabilities("1"));
    let process = json!({ "user": { "uid": 0, "gid": 0 }, "args": ["cat", "/proc/self/cgroup"], "cwd": "/" });
    fs::write(bed.path("process.json"), process.to_string()).unwrap();
    let groups = bed.succeed(&["exec", "--process", &bed.text("process.json"), bed.id()]);
    assert!(groups.lines().all(|line| line.ends_with(":/")), "{groups}");
    bed.succeed(&["exec", "--detach", "--pid-file", &bed.text("pid"), bed.id(), "sleep", "1000"]);
    let processes: Vec<i32> =
        serde_json::from_str(&bed.succeed(&["ps", "--format", "json", bed.id()])).unwrap();
    assert_eq!(processes.len(), 2);
    assert!(processes.contains(&bed.read("pid").parse().unwrap()));
    assert!(bed.fail(&["exec", bed.id(), "nothere"]).contains("No such file"));
}

#[test]
fn an_init_before_the_command_keeps_nobody_waiting_and_hands_signals_on() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sh", "-c", "trap 'exit 7' TERM; touch /ready; while :; do sleep 0.01; done"]);
    bed.configure(|config| config["annotations"] = json!({ "beeline.init": "true" }));
    bed.create();
    bed.succeed(&["start", bed.id()]);
    assert_eq!(bed.succeed(&["exec", bed.id(), "cat", "/proc/1/comm"]), "init\n");
    let held = format!("/proc/{}/fd", bed.state()["pid"]);
    assert_eq!(fs::read_dir(held).unwrap().count(), 3, "its streams alone");
    bed.succeed(&["exec", bed.id(), "sh", "-c", "until [ -e /ready ]; do sleep 0.01; done"]);
    bed.succeed(&["kill", bed.id(), "TERM"]);
    bed.await_status("stopped");
}

#[test]
fn a_paused_container_waits_and_a_limit_changes() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sleep", "1000"]);
    bed.create();
    bed.succeed(&["start", bed.id()]);
    bed.succeed(&["pause", bed.id()]);
    assert_eq!(bed.status(), "paused");
    assert!(bed.fail(&["exec", bed.id(), "true"]).contains("it is paused"));
    bed.succeed(&["resume", bed.id()]);
    assert_eq!(bed.status(), "running");
    bed.succeed(&["update", "--pids-limit", "77", bed.id()]);
    let event: Value = serde_json::from_str(&bed.succeed(&["events", "--stats", bed.id()])).unwrap();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["data"]["pids"], json!({ "current": 1, "limit": 77 }));
    assert!(event["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0);
    let refused = bed.fail(&["update", "--l3-cache-schema", "L3:0=f", bed.id()]);
    assert!(refused.contains("--l3-cache-schema is not supported"), "{refused}");
    bed.succeed(&["pause", bed.id()]);
    // What is frozen ends nevertheless.
    bed.succeed(&["delete", "--force", bed.id()]);
}

#[test]
fn a_terminal_is_sent_to_the_console_socket() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["sh", "-c", "tty; sleep 1000"]);
    bed.configure(|config| config["process"]["terminal"] = json!(true));
    let nowhere = bed.fail(&["create", "--bundle", &bed.text(""), bed.id()]);
    assert!(nowhere.contains("--console-socket"), "{nowhere}");
    let listener = UnixListener::bind(bed.path("console")).unwrap();
    let socket = bed.text("console");
    bed.succeed(&["create", "--bundle", &bed.text(""), "--console-socket", &socket, bed.id()]);
    let (connection, _) = listener.accept().unwrap();
    let (name, mut descriptors) = receive(&connection);
    assert_eq!(name, b"/dev/ptmx");
    let mut terminal = fs::File::from(descriptors.pop().unwrap());
    bed.succeed(&["start", bed.id()]);
    let mut output = [0; 64];
    let length = terminal.read(&mut output).unwrap();
    assert!(output[..length].starts_with(b"/dev/pts/0"), "{:?}", &output[..length]);
}

#[test]
fn the_runtime_tells_what_it_can() {
    let bed = Bed::new();
    let features: Value = serde_json::from_str(&bed.succeed(&["features"])).unwrap();
    assert_eq!(features["linux"]["intelRdt"]["enabled"], false);
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert!(features["hooks"].as_array().unwrap().contains(&json!("startContainer")));
    assert!(features["mountOptions"].as_array().unwrap().contains(&json!("rro")));
    assert!(bed.succeed(&["--version"]).contains("spec: 1."));
    let refused = bed.finish({
        let mut command = Command::new(env!("CARGO_BIN_EXE_beeline"));
        command.args(["oci", "--systemd-cgroup", "list"]);
        command
    });
    assert!(refused.stderr.contains("--systemd-cgroup is not supported"), "{}", refused.stderr);
}
