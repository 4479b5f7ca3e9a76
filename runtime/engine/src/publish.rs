//! Publishing a container's ports: each request for every family that it and the container have.

use std::net::IpAddr;

use beeline_net::Net;

use crate::container::policy::Policy;
use crate::container::ports::{HostPorts, PublishRequest, Published, Targets};
use crate::error::chain;
use crate::shared::Shared;

/// How often a free port of one family is looked for that is free in the other, too.
const ATTEMPTS: u32 = 32;

/// Why ports could not be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// The request cannot be had with this container.
    Invalid(String),
    /// As Docker words it.
    Failed(String),
}

/// A publish of a container's, as the network has it.
pub(crate) fn to_net(publish: &Published) -> beeline_net::Publish {
    beeline_net::Publish {
        protocol: publish.protocol.into(),
        host_ip: publish.host_ip,
        host_first: publish.host_first,
        host_last: publish.host_last,
        container_ip: publish.container_ip,
        container_first: publish.container_first,
    }
}

/// The same with the rules for its port.
pub(crate) fn to_spec(publish: &Published, policy: &Policy) -> beeline_net::PublishSpec {
    let rules = policy.rules(publish.protocol, publish.container_first).clone();
    beeline_net::PublishSpec { publish: to_net(publish), rules }
}

fn from_net(publish: beeline_net::Publish) -> Published {
    Published {
        protocol: publish.protocol.into(),
        host_ip: publish.host_ip,
        host_first: publish.host_first,
        host_last: publish.host_last,
        container_ip: publish.container_ip,
        container_first: publish.container_first,
    }
}

impl Shared {
    /// Publishes ports of the container that has the `targets`, all or none. A container without any is reached by nobody:
    /// it has no way outside.
    pub(crate) async fn publish(
        &self,
        requests: &[PublishRequest],
        targets: Targets,
        policy: &Policy,
    ) -> Result<Vec<Published>, PublishError> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        // What names its ports first, so that a free choice does not take them.
        let (mut fixed, mut chosen, mut searched) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            let pairs = targets.pairs(request.host_ip).map_err(PublishError::Invalid)?;
            match (request.host, pairs.as_slice()) {
                (_, []) => {}
                (HostPorts::Fixed { first, last }, _) => {
                    fixed.extend(published(request, &pairs, first, last));
                }
                (HostPorts::Any, [_]) => chosen.extend(published(request, &pairs, 0, 0)),
                _ => searched.push((request, pairs)),
            }
        }
        fixed.extend(chosen);
        let mut done = self.publish_again(&fixed, policy).await?;
        for (request, pairs) in searched {
            match search(&self.net, request, &pairs, policy).await {
                Ok(more) => done.extend(more),
                Err(error) => {
                    self.withdraw(&done).await;
                    return Err(error);
                }
            }
        }
        Ok(done)
    }

    /// Publishes just these, all or none; port 0 is a free one.
    pub(crate) async fn publish_again(
        &self,
        wanted: &[Published],
        policy: &Policy,
    ) -> Result<Vec<Published>, PublishError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let publishes: Vec<_> = wanted.iter().map(|publish| to_spec(publish, policy)).collect();
        let done =
            self.net.publish(&publishes).await.map_err(|error| PublishError::Failed(reason(&error)))?;
        Ok(done.into_iter().map(from_net).collect())
    }

    async fn withdraw(&self, published: &[Published]) {
        let publishes: Vec<_> = published.iter().map(to_net).collect();
        if let Err(error) = self.net.unpublish(&publishes).await {
            tracing::error!(error = chain(&error), "ports stay published");
        }
    }
}

/// A request at each of the pairs of addresses.
fn published(request: &PublishRequest, pairs: &[(IpAddr, IpAddr)], first: u16, last: u16) -> Vec<Published> {
    let one = |(host_ip, container_ip): &(IpAddr, IpAddr)| Published {
        protocol: request.protocol,
        host_ip: *host_ip,
        host_first: first,
        host_last: last,
        container_ip: *container_ip,
        container_first: request.container_first,
    };
    pairs.iter().map(one).collect()
}

/// Looks for a port that is free at every host address: one of a range, or one that the network chooses at the first.
async fn search(
    net: &Net,
    request: &PublishRequest,
    pairs: &[(IpAddr, IpAddr)],
    policy: &Policy,
) -> Result<Vec<Published>, PublishError> {
    let mut failure = String::new();
    let candidates: Vec<u16> = match request.host {
        HostPorts::OneOf { first, last } | HostPorts::Fixed { first, last } => (first..=last).collect(),
        HostPorts::Any => vec![0; ATTEMPTS as usize],
    };
    for port in candidates {
        match publish_at(net, request, pairs, port, policy).await {
            Ok(done) => return Ok(done),
            Err(error) if error.kind() == beeline_net::ErrorKind::Conflict => failure = reason(&error),
            Err(error) => return Err(PublishError::Failed(reason(&error))),
        }
    }
    Err(PublishError::Failed(failure))
}

async fn publish_at(
    net: &Net,
    request: &PublishRequest,
    pairs: &[(IpAddr, IpAddr)],
    port: u16,
    policy: &Policy,
) -> Result<Vec<Published>, beeline_net::Error> {
    let all = |port: u16| -> Vec<_> {
        published(request, pairs, port, port).iter().map(|publish| to_spec(publish, policy)).collect()
    };
    let first: Vec<_> = all(port).into_iter().take(1).collect();
    let chosen = net.publish(&first).await?;
    let port = chosen.first().map_or(port, |publish| publish.host_first);
    // The first is there already, and left alone.
    let done = net.publish(&all(port)).await;
    if done.is_err()
        && let Err(error) = net.unpublish(&chosen).await
    {
        tracing::error!(error = chain(&error), "a port stays published");
    }
    Ok(done?.into_iter().map(from_net).collect())
}

/// Docker's words for a port that is taken, followed by who has it; any other failure as it is.
fn reason(error: &beeline_net::Error) -> String {
    let detail = chain(error);
    let taken = |publish: &beeline_net::Publish, port: u16| {
        let address = match publish.host_ip {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        format!("Bind for {address}:{port} failed: port is already allocated ({detail})")
    };
    match error {
        beeline_net::Error::PortInUse { publish, port, .. } => taken(publish, *port),
        beeline_net::Error::PortPublished { wanted, .. } => taken(wanted, wanted.host_first),
        _ => detail,
    }
}
