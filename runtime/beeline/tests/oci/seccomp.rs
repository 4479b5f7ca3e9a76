//! Filters: their actions, and the supervisor that one asks.

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::bed::{Bed, is_root, receive};

fn filter(action: &str, errno: Option<u32>, args: &Value) -> Value {
    let mut call = json!({ "names": ["mkdir", "mkdirat"], "action": action, "args": args });
    if let Some(errno) = errno {
        call["errnoRet"] = json!(errno);
    }
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [call] })
}

#[test]
fn a_filter_refuses_with_its_error_or_ends_the_process() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let script = "/bin/busybox mkdir /made 2>&1; echo $?";
    bed.configure(|config| config["linux"]["seccomp"] = filter("SCMP_ACT_ERRNO", Some(95), &json!([])));
    assert!(bed.sh(script).contains("not supported"), "{}", bed.sh(script));
    bed.configure(|config| config["linux"]["seccomp"] = filter("SCMP_ACT_KILL_PROCESS", None, &json!([])));
    assert_eq!(bed.sh(script), "Bad system call\n159\n");
    for privileges in [false, true] {
        bed.configure(|config| {
            config["process"]["noNewPrivileges"] = json!(privileges);
            config["linux"]["seccomp"] = filter("SCMP_ACT_LOG", None, &json!([]));
        });
        assert_eq!(
            bed.sh("cat /proc/self/status").lines().find(|line| line.starts_with("Seccomp:")),
            Some("Seccomp:\t2")
        );
    }
    bed.configure(|config| config["linux"]["seccomp"] = filter("SCMP_ACT_NOTIFY", None, &json!([])));
    assert!(bed.refuse().contains("no listenerPath"));
}

#[test]
fn a_supervisor_gets_the_descriptor_at_which_a_filter_asks() {
    if !is_root() {
        return;
    }
    for privileges in [false, true] {
        let bed = Bed::new();
        let listener = UnixListener::bind(bed.path("listener")).unwrap();
        bed.args(&["true"]);
        bed.configure(|config| {
            config["process"]["noNewPrivileges"] = json!(privileges);
            config["linux"]["seccomp"] = filter("SCMP_ACT_NOTIFY", None, &json!([]));
            config["linux"]["seccomp"]["listenerPath"] = json!(bed.text("listener"));
            config["linux"]["seccomp"]["listenerMetadata"] = json!("meta");
        });
        bed.create();
        let (connection, _) = listener.accept().unwrap();
        let (text, descriptors) = receive(&connection);
        assert_eq!(descriptors.len(), 1);
        let told: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "meta");
        assert_eq!(told["state"]["id"], bed.id());
        assert_eq!(told["pid"], bed.state()["pid"]);
        bed.succeed(&["start", bed.id()]);
    }
}
