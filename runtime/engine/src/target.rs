//! What samplers need to know of a running container.

use std::time::SystemTime;

use beeline_metrics::{CgroupDirs, InterfaceCounters, Limits, Target};

use crate::container::mode::NetworkMode;
use crate::container::view::ContainerView;
use crate::shared::Shared;

impl Shared {
    /// A running container as the exporter sees it.
    pub(crate) fn target(&self, view: &ContainerView) -> Option<Target> {
        let host = &view.config.host;
        let (quota, period) = crate::container::quota(host).unzip();
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let started = view.status.started_at.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        Some(Target {
            id: view.id.to_string(),
            name: view.name.to_string(),
            image: view.config.image.clone(),
            labels: view.config.labels.clone(),
            cgroup: self.cgroup_dirs(view)?,
            started_at: started,
            limits: Limits {
                memory_bytes: positive(host.memory),
                cpu_quota_us: quota,
                cpu_period_us: period,
                cpu_shares: positive(host.cpu_shares),
                pids: host.pids_limit.and_then(positive),
            },
            interfaces: self.interfaces(view),
        })
    }

    /// Where a container's control groups are.
    pub(crate) fn cgroup_dirs(&self, view: &ContainerView) -> Option<CgroupDirs> {
        let path = self.cgroup_path(&view.id, &view.config);
        let paths = self.hierarchy.cgroup(&path).ok()?.paths();
        Some(CgroupDirs { path, unified: paths.unified, v1: paths.v1 })
    }

    /// A container's own interfaces.
    pub(crate) fn interfaces(&self, view: &ContainerView) -> Vec<InterfaceCounters> {
        let counted = view.net.iter().filter_map(|endpoint| {
            let counters = self.net.counters(endpoint).ok()?;
            Some(InterfaceCounters {
                interface: endpoint.ifname.clone(),
                rx_bytes: counters.rx_bytes,
                rx_packets: counters.rx_packets,
                rx_dropped: counters.rx_dropped,
                tx_bytes: counters.tx_bytes,
                tx_packets: counters.tx_packets,
                tx_dropped: counters.tx_dropped,
            })
        });
        counted.collect()
    }

    /// The interfaces a container sees: its own, or those of the one whose network it shares.
    pub(crate) fn visible_interfaces(&self, view: &ContainerView) -> Vec<InterfaceCounters> {
        match view.config.host.mode() {
            NetworkMode::Container(owner) => {
                self.directory.find(owner).map(|owner| self.interfaces(&owner.view())).unwrap_or_default()
            }
            _ => self.interfaces(view),
        }
    }
}
