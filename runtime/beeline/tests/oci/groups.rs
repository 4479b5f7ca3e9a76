//! Control groups: limits, where a group is, and that deletion removes what creation made.

use std::fs;
use std::path::PathBuf;

use beeline_spawn::cgroup::{Hierarchy, Mode};
use serde_json::{Value, json};

use crate::bed::{Bed, is_root};

/// The group's directories, in every hierarchy.
fn directories(path: &str) -> Vec<PathBuf> {
    let paths = Hierarchy::detect().unwrap().cgroup(path).unwrap().paths();
    paths.unified.into_iter().chain(paths.v1.into_values()).collect()
}

/// A control file of the group, as it is called on v2 or on v1.
pub(crate) fn read(path: &str, v2: &str, v1: (&str, &str)) -> String {
    let hierarchy = Hierarchy::detect().unwrap();
    let paths = hierarchy.cgroup(path).unwrap().paths();
    let file = if hierarchy.mode() == Mode::Unified {
        paths.unified.unwrap().join(v2)
    } else {
        let (controller, file) = v1;
        let of = |names: &str| names.split(',').any(|name| name == controller);
        paths.v1.into_iter().find(|(names, _)| of(names)).unwrap().1.join(file)
    };
    fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .trim_end()
        .to_owned()
}

/// Limits of every controller that all hosts have.
fn limits() -> Value {
    json!({
        "memory": { "limit": 50_593_792, "reservation": 33_554_432 },
        "cpu": { "shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 1000 },
    })
}

fn assert_limits(path: &str) {
    assert_eq!(read(path, "memory.max", ("memory", "memory.limit_in_bytes")), "50593792");
    assert_eq!(read(path, "memory.low", ("memory", "memory.soft_limit_in_bytes")), "33554432");
    assert_eq!(read(path, "cpuset.cpus", ("cpuset", "cpuset.cpus")), "0");
    assert_eq!(read(path, "cpuset.mems", ("cpuset", "cpuset.mems")), "0");
    assert_eq!(read(path, "pids.max", ("pids", "pids.max")), "1000");
    let quota = read(path, "cpu.max", ("cpu", "cpu.cfs_quota_us"));
    assert!(quota == "50000" || quota == "50000 100000", "{quota}");
}

#[test]
fn a_group_has_its_limits_below_an_absolute_path_and_below_a_relative_one() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    bed.configure(|config| config["linux"]["resources"] = limits());
    for path in [format!("/beeline-oci-{}", bed.id()), format!("beeline-oci-{}/below", bed.id())] {
        bed.configure(|config| config["linux"]["cgroupsPath"] = json!(path));
        bed.create();
        let path = format!("/{}", path.trim_start_matches('/'));
        assert_limits(&path);
        bed.succeed(&["delete", bed.id()]);
        for directory in directories(&path) {
            assert!(!directory.exists(), "{} is left", directory.display());
        }
    }
    Hierarchy::detect().unwrap().cgroup(&format!("/beeline-oci-{}", bed.id())).unwrap().remove().unwrap();
}

#[test]
fn a_group_that_the_runtime_has_not_made_is_left() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let above = format!("/beeline-oci-{}", bed.id());
    let (other, ours) = (format!("{above}/other"), format!("{above}/ours"));
    for directory in directories(&other) {
        fs::create_dir_all(directory).unwrap();
    }
    bed.configure(|config| config["linux"]["cgroupsPath"] = json!(ours));
    bed.create();
    bed.succeed(&["delete", bed.id()]);
    assert!(directories(&ours).iter().all(|directory| !directory.exists()));
    assert!(directories(&other).iter().all(|directory| directory.exists()));
    Hierarchy::detect().unwrap().cgroup(&above).unwrap().remove().unwrap();
}

#[test]
fn a_limit_that_the_host_does_not_have_is_refused() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    for (resources, message) in [
        (json!({ "hugepageLimits": [{ "pageSize": "3MB", "limit": 3_145_728 }] }), "huge"),
        (json!({ "network": { "classID": 255 } }), "resources.network is not supported"),
    ] {
        bed.configure(|config| config["linux"]["resources"] = resources);
        let said = bed.refuse();
        assert!(said.contains(message), "{said}");
    }
    let weights = Hierarchy::detect().unwrap().features().io_weight;
    bed.configure(|config| config["linux"]["resources"] = json!({ "blockIO": { "weight": 100 } }));
    if weights {
        bed.args(&["true"]);
        assert_eq!(bed.run().code, Some(0));
    } else {
        assert!(bed.refuse().contains("no weights of block I/O"));
    }
}
