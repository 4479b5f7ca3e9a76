//! Hooks of all kinds, their order, input, failures and time limits.

use serde_json::{Value, json};

use crate::bed::{Bed, is_root};

/// Appends the hook's kind and its input to a file.
fn hook(bed: &Bed, kind: &str) -> Value {
    let script = format!("echo {kind} $X $(cat) >> {}", bed.text("hooks.log"));
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["X=x", "PATH=/bin:/usr/bin"], "timeout": 20 }])
}

#[test]
fn hooks_run_in_their_order_with_the_state_for_input() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["true"]);
    bed.configure(|config| {
        for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            config["hooks"][kind] = hook(&bed, kind);
        }
        let script = "echo startContainer x $(cat) > /inside.log";
        config["hooks"]["startContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }]);
    });
    bed.create();
    bed.succeed(&["start", bed.id()]);
    bed.await_status("stopped");
    bed.succeed(&["delete", bed.id()]);
    let text = bed.read("hooks.log");
    let told: Vec<(&str, Value)> = text
        .lines()
        .map(|line| {
            let (kind, state) = line.split_once(" x ").unwrap();
            (kind, serde_json::from_str(state).unwrap())
        })
        .collect();
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]);
    for (kind, state) in &told {
        assert_eq!(state["id"], bed.id(), "{kind}");
        assert_eq!(state["bundle"], bed.text("").trim_end_matches('/'), "{kind}");
    }
    let status = |number: usize| told[number].1["status"].as_str().unwrap();
    assert_eq!([status(0), status(1), status(2), status(4)], ["creating", "creating", "creating", "stopped"]);
    assert!(told[0].1["pid"].as_i64().unwrap() > 0);
    // This one was executed in the container, from its own root.
    let inside = bed.read("rootfs/inside.log");
    let state: Value = serde_json::from_str(inside.strip_prefix("startContainer x ").unwrap()).unwrap();
    assert_eq!(state["status"], "created");
}

#[test]
fn a_hook_that_fails_or_takes_too_long_ends_the_container() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        bed.configure(|config| {
            config["hooks"] = json!({ kind: [{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }] });
        });
        let called = bed.run();
        assert_eq!(called.code, Some(1), "{kind}");
        assert!(called.stderr.contains(kind) && called.stderr.contains("exit status"), "{}", called.stderr);
        assert_eq!(bed.succeed(&["list", "--quiet"]), "", "{kind}");
    }
    for kind in ["createRuntime", "createContainer"] {
        bed.configure(|config| {
            config["hooks"] =
                json!({ kind: [{ "path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1 }] });
        });
        let message = bed.refuse();
        assert!(message.contains("timed out") || message.contains("more than 1 s"), "{message}");
    }
}

#[test]
fn a_poststop_hook_that_fails_is_told_and_the_others_run() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.args(&["true"]);
    bed.configure(|config| {
        let fails = json!({ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] });
        let others = hook(&bed, "poststop");
        config["hooks"] = json!({ "poststop": [fails, others[0]] });
    });
    bed.create();
    bed.succeed(&["start", bed.id()]);
    bed.await_status("stopped");
    let deleted = bed.on("delete");
    assert_eq!(deleted.code, Some(0), "{}", deleted.stderr);
    assert!(deleted.stderr.contains("poststop"), "{}", deleted.stderr);
    assert!(bed.read("hooks.log").starts_with("poststop x "));
}
