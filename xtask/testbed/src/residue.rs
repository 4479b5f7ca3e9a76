//! Names whatever a daemon left behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{Directories, Topology, UPLINK};

/// Everything of this instance that is still there, one line each: links, pins, control groups, mounts, processes, and
/// container directories. Empty after the last container was removed and the daemon was stopped.
pub fn residue(topology: &Topology, dirs: &Directories) -> Vec<String> {
    let mut left = Vec::new();
    let expected = ["lo", UPLINK];
    match topology.host.links() {
        Ok(links) => left.extend(
            links.iter().filter(|link| !expected.contains(&link.as_str())).map(|link| format!("link {link}")),
        ),
        Err(error) => left.push(format!("links of the host namespace cannot be listed: {error:#}")),
    }
    let pins = Path::new("/sys/fs/bpf/beeline").join(&topology.instance);
    if pins.exists() {
        left.push(format!("pins {}", pins.display()));
    }
    left.extend(groups(&topology.instance).iter().map(|group| format!("control group {}", group.display())));
    left.extend(mounts_below(dirs.path()).iter().map(|mount| format!("mount {mount}")));
    left.extend(processes(topology).iter().map(|process| {
        let command = fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " ");
        format!("process {} {}", process.display(), command.trim_end())
    }));
    for directory in [dirs.root().join("containers"), dirs.run().join("containers")] {
        left.extend(entries(&directory).iter().map(|entry| format!("directory {}", entry.display())));
    }
    left
}

/// The instance's directories in every cgroup hierarchy.
pub(crate) fn groups(instance: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let hierarchy = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup").then(|| Path::new(path).join("beeline").join(instance))
    };
    mounts.lines().filter_map(hierarchy).filter(|group| group.exists()).collect()
}

pub(crate) fn mounts_below(dir: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let point = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    mounts.lines().filter_map(point).filter(|point| Path::new(point).starts_with(dir)).collect()
}

/// Processes in the host's namespace (daemon, spawner, shims) or in the instance's control groups (containers), as
/// their directories in /proc.
pub fn processes(topology: &Topology) -> Vec<PathBuf> {
    let namespace = fs::metadata(topology.host.path()).map(|file| file.ino()).unwrap_or(0);
    let group = format!("/beeline/{}", topology.instance);
    let is_left = |process: &PathBuf| {
        let in_namespace = fs::metadata(process.join("ns/net")).is_ok_and(|file| file.ino() == namespace);
        let in_group = fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(&group));
        in_namespace || in_group
    };
    let is_process = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    };
    entries(Path::new("/proc")).into_iter().filter(|path| is_process(path) && is_left(path)).collect()
}

pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}
