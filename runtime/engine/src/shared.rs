//! What all containers' tasks share.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use beeline_net::Net;
use beeline_spawn::Spawner;
use beeline_spawn::cgroup::Hierarchy;

use crate::container::ports::{HostPorts, PublishRequest, Published};
use crate::container::record::cgroup_path;
use crate::database::Database;
use crate::directory::Directory;
use crate::error::chain;
use crate::event::Events;
use crate::identity::{ContainerId, InstanceId};
use crate::network::{DefaultNetwork, to_net};
use crate::settings::EngineConfig;

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
    pub(crate) network: DefaultNetwork,
    pub(crate) spawner: Spawner,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) directory: Directory,
    pub(crate) events: Events,
}

impl Shared {
    /// A container's directory for what need not survive a reboot.
    pub(crate) fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.config.run.join("containers").join(id.as_str())
    }

    /// A container's control group, below every hierarchy's root.
    pub(crate) fn cgroup_path(&self, id: &ContainerId) -> String {
        cgroup_path(self.instance.as_str(), id)
    }

    /// Publishes ports of the container at `address`, all or none. The error is the reason, as Docker words it.
    pub(crate) async fn publish(
        &self,
        requests: &[PublishRequest],
        address: Ipv4Addr,
    ) -> Result<Vec<Published>, String> {
        // What names its ports first, so that a free choice does not take them.
        let (one_of, others): (Vec<_>, Vec<_>) =
            requests.iter().partition(|request| matches!(request.host, HostPorts::OneOf { .. }));
        let mut wanted: Vec<Published> = others.into_iter().filter_map(fixed).collect();
        wanted.sort_by_key(|publish| publish.host_first == 0);
        let mut published = self.publish_all(&wanted, address).await?;
        for request in one_of {
            match self.publish_one_of(request, address).await {
                Ok(publish) => published.push(publish),
                Err(reason) => {
                    let undo: Vec<_> = published.iter().map(|publish| to_net(publish, address)).collect();
                    if let Err(error) = self.net.unpublish(&undo).await {
                        tracing::error!(error = chain(&error), "ports stay published");
                    }
                    return Err(reason);
                }
            }
        }
        Ok(published)
    }

    async fn publish_all(&self, wanted: &[Published], address: Ipv4Addr) -> Result<Vec<Published>, String> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let publishes: Vec<_> = wanted.iter().map(|publish| to_net(publish, address)).collect();
        let done = self.net.publish(&publishes).await.map_err(|error| reason(&error))?;
        Ok(done.into_iter().map(from_net).collect())
    }

    /// Tries the ports of a range one by one.
    async fn publish_one_of(&self, request: &PublishRequest, address: Ipv4Addr) -> Result<Published, String> {
        let HostPorts::OneOf { first, last } = request.host else { return Err("no range of ports".into()) };
        let mut failure = String::new();
        for port in first..=last {
            let publish = Published {
                protocol: request.protocol,
                host_ip: request.host_ip,
                host_first: port,
                host_last: port,
                container_first: request.container_first,
            };
            match self.net.publish(&[to_net(&publish, address)]).await {
                Ok(_) => return Ok(publish),
                Err(error) if error.kind() == beeline_net::ErrorKind::Conflict => failure = reason(&error),
                Err(error) => return Err(reason(&error)),
            }
        }
        Err(failure)
    }
}

/// A request that names its host ports or leaves the choice to the network, which is written as port 0.
fn fixed(request: &PublishRequest) -> Option<Published> {
    let (host_first, host_last) = match request.host {
        HostPorts::Fixed { first, last } => (first, last),
        HostPorts::Any => (0, 0),
        HostPorts::OneOf { .. } => return None,
    };
    let (protocol, host_ip, container_first) = (request.protocol, request.host_ip, request.container_first);
    Some(Published { protocol, host_ip, host_first, host_last, container_first })
}

fn from_net(publish: beeline_net::Publish) -> Published {
    Published {
        protocol: publish.protocol.into(),
        host_ip: publish.host_ip,
        host_first: publish.host_first,
        host_last: publish.host_last,
        container_first: publish.container_first,
    }
}

/// Docker's words for a port that is taken, followed by who has it; any other failure as it is.
fn reason(error: &beeline_net::Error) -> String {
    let detail = chain(error);
    let taken = |publish: &beeline_net::Publish, port: u16| {
        format!("Bind for {}:{port} failed: port is already allocated ({detail})", publish.host_ip)
    };
    match error {
        beeline_net::Error::PortInUse { publish, port, .. } => taken(publish, *port),
        beeline_net::Error::PortPublished { wanted, .. } => taken(wanted, wanted.host_first),
        _ => detail,
    }
}
