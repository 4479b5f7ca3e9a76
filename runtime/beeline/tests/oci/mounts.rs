//! Mounts: how they propagate, and what is masked or read-only.

use std::fs;

use serde_json::json;

use crate::bed::{Bed, is_root};

/// The optional fields of a mount in the text of a mountinfo file.
fn tags<'a>(info: &'a str, place: &str) -> Vec<&'a str> {
    let line = info.lines().find(|line| line.split(' ').nth(4) == Some(place));
    let line = line.unwrap_or_else(|| panic!("nothing is mounted at {place}:\n{info}"));
    line.split(' ').skip(6).take_while(|field| *field != "-").collect()
}

/// Whether they are those of a propagation. One that is a slave of nobody is private.
fn is(tags: &[&str], propagation: &str) -> bool {
    match propagation.trim_start_matches('r') {
        "shared" => tags.iter().any(|tag| tag.starts_with("shared:")),
        "unbindable" => tags == ["unbindable"],
        _ => tags.iter().all(|tag| tag.starts_with("master:")),
    }
}

#[test]
fn the_root_propagates_as_it_shall() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    for propagation in ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate"] {
        bed.configure(|config| config["linux"]["rootfsPropagation"] = json!(propagation));
        let info = bed.sh("cat /proc/self/mountinfo");
        assert!(is(&tags(&info, "/"), propagation), "{propagation}:\n{info}");
    }
}

#[test]
fn each_mount_propagates_as_it_shall() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    fs::create_dir(bed.path("data")).unwrap();
    let kinds = ["shared", "slave", "private", "unbindable"];
    let recursive = ["rshared", "rslave", "rprivate", "runbindable"];
    bed.configure(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        for kind in kinds {
            let tmpfs = json!({ "destination": format!("/tmpfs/{kind}"), "type": "tmpfs", "source": "tmpfs", "options": [kind] });
            mounts.push(tmpfs);
        }
        for kind in kinds.into_iter().chain(recursive) {
            let bind = if kind.starts_with('r') { "rbind" } else { "bind" };
            let options = [bind, kind];
            mounts.push(json!({ "destination": format!("/bind/{kind}"), "source": bed.text("data"), "options": options }));
        }
    });
    let info = bed.sh("cat /proc/self/mountinfo");
    for kind in kinds {
        let place = format!("/tmpfs/{kind}");
        assert!(is(&tags(&info, &place), kind), "{place}:\n{info}");
    }
    for kind in kinds.into_iter().chain(recursive) {
        let place = format!("/bind/{kind}");
        assert!(is(&tags(&info, &place), kind), "{place}:\n{info}");
    }
}

#[test]
fn files_and_directories_are_masked_or_read_only_within_one_another() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    fs::create_dir_all(bed.path("rootfs/top/sub")).unwrap();
    for file in ["rootfs/file", "rootfs/top/file", "rootfs/top/sub/file"] {
        fs::write(bed.path(file), "secret\n").unwrap();
    }
    let paths = json!(["/top", "/file", "/top/sub", "/top/file", "/top/sub/file", "/nothere"]);
    bed.configure(|config| config["linux"]["readonlyPaths"] = paths.clone());
    let script = "for file in /file /top/file /top/sub/file /top/new /top/sub/new; do echo x > $file && exit 1; done; cat /top/sub/file";
    assert_eq!(bed.sh(script), "secret\n");
    bed.configure(|config| config["linux"]["maskedPaths"] = paths);
    assert_eq!(bed.sh("cat /file; ls /top"), "");
    for list in ["maskedPaths", "readonlyPaths"] {
        bed.configure(|config| config["linux"][list] = json!(["relative"]));
        let said = bed.refuse();
        assert!(said.contains(&format!("linux.{list} relative is not absolute")), "{said}");
        bed.configure(|config| config["linux"][list] = json!([]));
    }
}
