//! What the kernel's programs count of a container's sockets and processes: whom they count for, and what they have found.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use beeline_metrics::{Observed, ProgramRuns};
use beeline_net::{Connections, Group, Histogram};

use crate::container::view::ContainerView;
use crate::error::chain;
use crate::shared::Shared;

impl Shared {
    /// Counts from now on for a container, whose control group is made.
    pub(crate) fn observe(&self, cgroup_path: &str) {
        if let Some(group) = self.group(cgroup_path)
            && let Err(error) = self.net.observe(&group)
        {
            tracing::warn!(cgroup_path, error = chain(&error), "the container's sockets are not counted");
        }
    }

    /// Counts no more for a container, whose control group is about to be removed.
    pub(crate) fn stop_observing(&self, cgroup_path: &str) {
        if let Some(group) = self.group(cgroup_path)
            && let Err(error) = self.net.stop_observing(&group)
        {
            tracing::warn!(cgroup_path, error = chain(&error), "the container's counters stay");
        }
    }

    /// Counts for the containers with these control groups, and for no others: some may have ended unseen.
    pub(crate) fn observe_only(&self, cgroup_paths: &[String]) {
        let groups: Vec<Group> = cgroup_paths.iter().filter_map(|path| self.group(path)).collect();
        if let Err(error) = self.net.observe_only(&groups) {
            tracing::warn!(error = chain(&error), "not all containers' sockets are counted");
        }
    }

    /// What was counted of a container.
    pub(crate) fn observed(&self, view: &ContainerView) -> Observed {
        let group = self.group_number(&self.cgroup_path(&view.id, &view.config));
        let observed = group.and_then(|group| self.net.observed(group).ok()).unwrap_or_default();
        let mut connections = observed.connections.map(outcomes).unwrap_or_default();
        if let Some(connects) = &observed.connects {
            connections.push(("connected", connects.counts.iter().sum()));
        }
        Observed {
            round_trips: observed.round_trips.as_ref().map(in_seconds),
            connects: observed.connects.as_ref().map(in_seconds),
            connections,
            retransmits: observed.retransmits,
            resets_sent: observed.resets_sent,
            resets_received: observed.resets_received,
            window_probes: observed.window_probes,
            overflows: observed.overflows,
            execs: observed.execs,
            exits: observed.exits,
            run_queue: observed.run_queue.as_ref().map(in_seconds),
            block_io: observed.block_io.as_ref().map(in_seconds),
        }
    }

    /// How often the kernel's programs ran.
    pub(crate) fn program_runs(&self) -> Vec<ProgramRuns> {
        let programs = self.net.program_runs().unwrap_or_default().into_iter();
        let runs = programs.map(|program| ProgramRuns {
            program: program.name,
            runs: program.runs,
            seconds: program.run_time.as_secs_f64(),
        });
        runs.collect()
    }

    /// A control group as the kernel's programs know it.
    fn group(&self, cgroup_path: &str) -> Option<Group> {
        let paths = self.hierarchy.cgroup(cgroup_path).ok()?.paths();
        let number = inode(&paths.unified?)?;
        let block = paths.v1.get(BLOCK).and_then(|path| Some((block_hierarchy()?, inode(path)?)));
        Some(Group { number, block })
    }

    /// The number that the kernel has for a control group.
    fn group_number(&self, cgroup_path: &str) -> Option<u64> {
        inode(&self.hierarchy.cgroup(cgroup_path).ok()?.paths().unified?)
    }
}

/// The controller of block devices in version 1.
const BLOCK: &str = "blkio";

/// The number of a group is the inode of its directory.
fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// The number of the hierarchy that has version 1's controller of block devices.
fn block_hierarchy() -> Option<u32> {
    find_hierarchy(&std::fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// `NUMBER:CONTROLLERS:PATH`, a line for each hierarchy.
fn find_hierarchy(text: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (controllers, _) = rest.split_once(':')?;
        controllers.split(',').any(|controller| controller == BLOCK).then(|| number.parse().ok())?
    })
}

fn outcomes(connections: Connections) -> Vec<(&'static str, u64)> {
    let Connections { accepted, refused, failed, abandoned } = connections;
    vec![("accepted", accepted), ("refused", refused), ("failed", failed), ("abandoned", abandoned)]
}

fn in_seconds(histogram: &Histogram) -> beeline_metrics::Histogram {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let (longer, counts) = histogram.counts.split_last().unwrap_or((&0, &[]));
    beeline_metrics::Histogram {
        buckets: Histogram::bounds().map(seconds).zip(counts.iter().copied()).collect(),
        longer: *longer,
        sum: seconds(histogram.sum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_of_block_devices_is_found_by_its_controller() {
        let text = "12:memory:/\n4:cpu,blkio:/a:b\n1:name=blkio:/\n0::/\n";
        assert_eq!(find_hierarchy(text), Some(4));
        assert_eq!(find_hierarchy("0::/\n"), None, "version 2 alone");
    }

    #[test]
    fn a_histogram_of_the_kernels_is_told_in_seconds() {
        let mut histogram = Histogram::default();
        histogram.counts[Histogram::index(1000)] = 3;
        histogram.counts[Histogram::index(u64::MAX)] = 1;
        histogram.sum = 2_000_000;
        let told = in_seconds(&histogram);
        assert_eq!(told.buckets.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [&(0.001024, 3)]);
        assert_eq!((told.buckets[0].0, told.longer, told.sum), (0.000_016, 1, 2.0));
    }
}
