//! What all containers' tasks share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use beeline_metrics::Recorder;
use beeline_net::Net;
use beeline_net::dns::Resolver;
use beeline_spawn::Spawner;
use beeline_spawn::cgroup::Hierarchy;

use crate::container::config::ContainerConfig;
use crate::container::record::cgroup_path;
use crate::container::seccomp::SeccompFilters;
use crate::database::Database;
use crate::directory::Directory;
use crate::event::{EventSubject, Events};
use crate::exec::Execs;
use crate::flow::Flows;
use crate::identity::{ContainerId, ContainerName, InstanceId};
use crate::network::{Network, Networks};
use crate::settings::EngineConfig;
use crate::stats::Samplers;
use crate::volume::{Volume, Volumes};

/// What all containers' tasks share.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) instance: InstanceId,
    /// The random id of this root directory.
    pub(crate) id: String,
    pub(crate) cpus: usize,
    pub(crate) database: Database,
    pub(crate) images: Arc<beeline_image::Store>,
    pub(crate) net: Net,
    pub(crate) networks: Networks,
    pub(crate) volumes: Volumes,
    pub(crate) resolver: Resolver,
    pub(crate) spawner: Spawner,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) seccomp: SeccompFilters,
    pub(crate) directory: Directory,
    pub(crate) events: Events,
    pub(crate) flows: Flows,
    /// The daemon is about to end: nothing is started by itself any more.
    pub(crate) closing: AtomicBool,
    pub(crate) samplers: Samplers,
    pub(crate) recorder: Recorder,
    pub(crate) execs: Execs,
}

impl Shared {
    /// A container's directory for what need not survive a reboot.
    pub(crate) fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.config.run.join("containers").join(id.as_str())
    }

    /// A container's control group, below every hierarchy's root.
    pub(crate) fn cgroup_path(&self, id: &ContainerId, config: &ContainerConfig) -> String {
        cgroup_path(self.instance.as_str(), &config.host.cgroup_parent, id)
    }

    /// Tells listeners what happened to a volume.
    pub(crate) fn volume_event(
        &self,
        action: &str,
        volume: &Volume,
        mut attributes: BTreeMap<String, String>,
    ) {
        attributes.insert("driver".to_owned(), "local".to_owned());
        self.events.publish(EventSubject::Volume, action, volume.record.name.as_str(), attributes);
    }

    /// Tells listeners what happened to a container.
    pub(crate) fn container_event(
        &self,
        action: &str,
        id: &ContainerId,
        name: &ContainerName,
        config: &ContainerConfig,
        more: impl IntoIterator<Item = (String, String)>,
    ) {
        let mut attributes = config.labels.clone();
        attributes.insert("image".into(), config.image.clone());
        attributes.insert("name".into(), name.to_string());
        attributes.extend(more);
        self.events.publish(EventSubject::Container, action, id.as_str(), attributes);
    }

    /// Tells listeners what happened to a network.
    pub(crate) fn network_event(
        &self,
        action: &str,
        network: &Network,
        mut attributes: BTreeMap<String, String>,
    ) {
        attributes.insert("name".to_owned(), network.name().to_owned());
        attributes.insert("type".to_owned(), network.driver().to_owned());
        self.events.publish(EventSubject::Network, action, network.id.as_str(), attributes);
    }
}
