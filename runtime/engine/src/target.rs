//! What samplers need to know of a running container.

use std::path::Path;
use std::time::SystemTime;

use beeline_metrics::{CgroupDirs, HealthState, Host, InterfaceCounters, Limits, Target, Volume};
use beeline_net::{Direction, PeerScope, Traffic, TrafficClass, TrafficKind};

use crate::container::health::HealthStatus;
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
            restarts: view.restart_count,
            layer: view.paths.upper.clone(),
            limits: Limits {
                memory_bytes: positive(host.memory),
                memory_reservation_bytes: positive(host.memory_reservation),
                memory_swap_bytes: positive(host.memory_swap),
                cpu_quota_us: quota,
                cpu_period_us: period,
                cpu_shares: positive(host.cpu_shares),
                pids: host.pids_limit.and_then(positive),
            },
            interfaces: self.interfaces(view),
            observed: self.observed(view),
            health: health(view),
            traffic: self.traffic(view),
        })
    }

    /// The host as a whole.
    pub(crate) fn host(&self) -> Host {
        // The hierarchies' roots are the parents of any group at their top.
        let groups = self.hierarchy.cgroup("/beeline").map(|group| group.paths());
        let root = |path: &Path| path.parent().map(Path::to_owned);
        let cgroup = groups.map_or_else(
            |_| CgroupDirs::default(),
            |groups| CgroupDirs {
                path: "/".to_owned(),
                unified: groups.unified.as_deref().and_then(root),
                v1: groups.v1.iter().filter_map(|(name, path)| Some((name.clone(), root(path)?))).collect(),
            },
        );
        Host { cgroup, interfaces: host_interfaces() }
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

    /// A container's traffic by protocol and peer, on all its networks together.
    fn traffic(&self, view: &ContainerView) -> Vec<Volume> {
        let mut sum = Traffic::default();
        for endpoint in &view.net {
            if let Ok(Some(traffic)) = self.net.traffic(endpoint) {
                sum += traffic;
            }
        }
        volumes(&sum)
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

fn health(view: &ContainerView) -> HealthState {
    match view.status.health.as_ref().map(|health| health.status) {
        None => HealthState::Unchecked,
        Some(HealthStatus::Healthy) => HealthState::Healthy,
        Some(HealthStatus::Starting | HealthStatus::Unhealthy) => HealthState::Unhealthy,
    }
}

/// Of each kind there is any traffic of, how much.
fn volumes(traffic: &Traffic) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for (direction, name) in [(Direction::Out, "sent"), (Direction::In, "received")] {
        for class in TrafficClass::ALL {
            for peer in PeerScope::ALL {
                let volume = traffic.volume(direction, TrafficKind::new(class, peer));
                if volume.packets > 0 {
                    let (protocol, peer) = (class.name(), peer.name());
                    let (bytes, packets) = (volume.bytes, volume.packets);
                    volumes.push(Volume { direction: name, protocol, peer, bytes, packets });
                }
            }
        }
    }
    volumes
}

/// The host's interfaces without the loopback and those that lead to containers.
fn host_interfaces() -> Vec<InterfaceCounters> {
    parse_interfaces(&std::fs::read_to_string("/proc/net/dev").unwrap_or_default())
}

/// `eth0: BYTES PACKETS ERRORS DROPPED …`: eight columns received, eight sent.
fn parse_interfaces(text: &str) -> Vec<InterfaceCounters> {
    let interface = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let figures: Vec<u64> = figures.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let figure = |at: usize| figures.get(at).copied();
        Some(InterfaceCounters {
            interface: name.trim().to_owned(),
            rx_bytes: figure(0)?,
            rx_packets: figure(1)?,
            rx_dropped: figure(3)?,
            tx_bytes: figure(8)?,
            tx_packets: figure(9)?,
            tx_dropped: figure(11)?,
        })
    };
    let is_hosts = |interface: &InterfaceCounters| {
        let name = &interface.interface;
        name != "lo" && !["bl-", "bv", "veth"].iter().any(|others| name.starts_with(others))
    };
    text.lines().filter_map(interface).filter(is_hosts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_interfaces_are_neither_the_loopback_nor_containers() {
        let text = "Inter-|   Receive\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
                    eth0: 10 2 0 3 0 0 0 0 40 5 0 6 0 0 0 0\nbl-0-1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n";
        let interfaces = parse_interfaces(text);
        let expected = InterfaceCounters {
            interface: "eth0".into(),
            rx_bytes: 10,
            rx_packets: 2,
            rx_dropped: 3,
            tx_bytes: 40,
            tx_packets: 5,
            tx_dropped: 6,
        };
        assert_eq!(interfaces, [expected]);
    }
}
