//! Namespaces: new, shared and joined; users and clocks of their own.

use std::os::unix::fs::chown;

use serde_json::{Value, json};

use crate::bed::{Bed, is_root};

/// Gives the container users of its own, and them its root.
fn map_users(bed: &Bed) {
    give_root(bed);
    bed.configure(set_map);
}

fn give_root(bed: &Bed) {
    for directory in ["rootfs", "rootfs/bin", "rootfs/etc", "rootfs/tmp"] {
        chown(bed.path(directory), Some(100_000), Some(100_000)).unwrap();
    }
}

fn set_map(config: &mut Value) {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
}

/// Has the namespaces of `types` be those of a process.
fn join(config: &mut Value, pid: &Value, types: &[&str]) {
    for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
        let kind = namespace["type"].as_str().unwrap().to_owned();
        if types.contains(&kind.as_str()) {
            let file = if kind == "network" { "net" } else { &kind };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    }
    config.as_object_mut().unwrap().remove("hostname");
}

#[test]
fn root_of_a_user_namespace_is_nobody_on_the_host() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    map_users(&bed);
    let said = bed.sh("id -u; while read a b c; do echo $a $b $c; done < /proc/self/uid_map; touch /dev/x && echo null > /dev/null");
    assert_eq!(said, "0\n0 100000 65536\n");
    bed.configure(|config| config["linux"]["uidMappings"] = json!([]));
    bed.configure(|config| config["linux"]["gidMappings"] = json!([]));
    assert!(bed.refuse().contains("a new user namespace needs linux.uidMappings"));
}

#[test]
fn clocks_have_their_offsets() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.configure(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 86_400_000 } });
    });
    let uptime: f64 = bed.sh("read a b < /proc/uptime; echo $a").trim().parse().unwrap();
    assert!(uptime > 86_400_000.0, "{uptime}");
}

#[test]
fn a_container_joins_another_ones_namespaces() {
    if !is_root() {
        return;
    }
    for users in [false, true] {
        let (first, second) = (Bed::new(), Bed::new());
        first.args(&["sleep", "1000"]);
        if users {
            map_users(&first);
            give_root(&second);
        }
        first.create();
        first.succeed(&["start", first.id()]);
        let pid = first.state()["pid"].clone();
        second.configure(|config| {
            if users {
                config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            }
            join(config, &pid, &["pid", "ipc", "uts", "network", "user"]);
        });
        assert_eq!(second.sh("cat /proc/1/comm"), "sleep\n");
        let of = |kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        for (kind, link) in [("net", of("net")), ("ipc", of("ipc")), ("uts", of("uts"))] {
            let theirs = second.sh(&format!("readlink /proc/self/ns/{kind}"));
            assert_eq!(theirs.trim(), link.to_str().unwrap(), "{kind}");
        }
        assert_eq!(first.succeed(&["exec", first.id(), "cat", "/proc/1/comm"]), "sleep\n");
    }
}

#[test]
fn identities_of_a_mount_are_mapped() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    std::fs::create_dir_all(bed.path("data/part/of-it")).unwrap();
    bed.configure(|config| {
        let map = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
        for (destination, part) in [("/mnt", "X-mount.subdir=."), ("/part", "X-mount.subdir=part")] {
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": destination, "type": "bind", "source": bed.text("data"),
                "options": ["bind", "idmap", part], "uidMappings": map.clone(), "gidMappings": map,
            }));
        }
    });
    assert_eq!(
        bed.sh("stat -c %u:%g /mnt /part; ls /mnt /part"),
        "1000:1000\n1000:1000\n/mnt:\npart\n\n/part:\nof-it\n"
    );
}

/// The namespaces in /proc/self/ns, and the types that make new ones.
const KINDS: [(&str, &str); 5] =
    [("cgroup", "cgroup"), ("ipc", "ipc"), ("net", "network"), ("pid", "pid"), ("uts", "uts")];

#[test]
fn namespaces_are_new_where_they_are_named_and_otherwise_the_runtimes() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    for (kind, named) in KINDS {
        bed.configure(|config| {
            config.as_object_mut().unwrap().remove("hostname");
            config["linux"]["readonlyPaths"] = json!([]);
            config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": named }]);
        });
        let link = |other: &str| bed.sh(&format!("readlink /proc/self/ns/{other}")).trim_end().to_owned();
        for (other, _) in KINDS {
            let is_own = own(other).to_str() == Some(&link(other));
            assert_eq!(is_own, other != kind, "{other}, with a new namespace of type {named}");
        }
    }
}

#[test]
fn a_path_to_a_namespace_of_another_type_is_refused() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    for (kind, named) in KINDS {
        bed.configure(|config| {
            config.as_object_mut().unwrap().remove("hostname");
            let wrong = if kind == "ipc" { "uts" } else { "ipc" };
            let path = format!("/proc/self/ns/{wrong}");
            config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": named, "path": path }]);
        });
        let said = bed.refuse();
        assert!(said.contains("join the") && said.contains("Invalid argument"), "{named}: {said}");
    }
}
