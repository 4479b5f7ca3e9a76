//! Removes by force what a failed daemon left behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::eventually;
use crate::residue::{entries, groups, mounts_below, processes};
use crate::{Directories, Topology};

/// Removes all that [`residue`](crate::residue()) would name, whatever fails on the way, and so makes room after a
/// failure. What is still there afterwards shows in the residue. The links end with the namespaces.
pub fn sweep(topology: &Topology, dirs: &Directories) {
    // Killed again on each turn: a shim may have started something after it was listed.
    let _still_there = eventually("the processes end", Duration::from_secs(5), || {
        let left = processes(topology);
        for process in &left {
            let pid = process.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if let Some(pid) = pid.map(Pid::from_raw).filter(|&pid| pid != Pid::this()) {
                let _gone = kill(pid, Signal::SIGKILL);
            }
        }
        left.is_empty().then_some(())
    });
    for mount in mounts_below(dirs.path()) {
        let _busy = umount2(mount.as_str(), MntFlags::MNT_DETACH);
    }
    for group in groups(&topology.instance) {
        remove_group(&group);
    }
    let _absent = fs::remove_dir_all(Path::new("/sys/fs/bpf/beeline").join(&topology.instance));
}

/// A control group goes with rmdir alone, the innermost first; its files cannot be removed.
fn remove_group(group: &Path) {
    for inner in entries(group).iter().filter(|entry| entry.is_dir()) {
        remove_group(inner);
    }
    let _busy = fs::remove_dir(group);
}
