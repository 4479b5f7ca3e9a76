//! The container's connections as readers see them.

use crate::container::mode::NetworkMode;
use crate::container::plan;
use crate::container::record::{Record, Runtime};
use crate::container::view::EndpointView;
use crate::network::{EndpointConfig, endpoint_view};
use crate::shared::Shared;

/// Every connection the container has, or shall have.
pub(super) fn endpoints(shared: &Shared, record: &Record, runtime: &Runtime) -> Vec<EndpointView> {
    let config = &record.config;
    match config.host.mode() {
        _ if config.network_disabled => Vec::new(),
        NetworkMode::Container(_) => Vec::new(),
        NetworkMode::Host => vec![endpoint(shared, record, runtime, "host", &EndpointConfig::default())],
        NetworkMode::None => vec![endpoint(shared, record, runtime, "none", &EndpointConfig::default())],
        NetworkMode::Networks(_) => {
            let all = record.networks.iter();
            all.map(|(name, config)| endpoint(shared, record, runtime, name, config)).collect()
        }
    }
}

fn endpoint(
    shared: &Shared,
    record: &Record,
    runtime: &Runtime,
    name: &str,
    config: &EndpointConfig,
) -> EndpointView {
    let Ok(network) = shared.networks.find(name) else {
        return EndpointView { network: name.to_owned(), config: config.clone(), ..EndpointView::default() };
    };
    let connection = runtime.connections.get(&network.id);
    let endpoint = connection.and_then(|connection| connection.endpoint.as_ref());
    endpoint_view(&network, &record.id, config, names(record, config), endpoint)
}

/// What the container is called on a network: Docker's order, each once.
fn names(record: &Record, config: &EndpointConfig) -> Vec<String> {
    let hostname = plan::hostname(&record.id, &record.config).to_owned();
    let own = [record.name.to_string()].into_iter();
    let all = own.chain(config.aliases.iter().cloned()).chain([record.id.short().to_owned(), hostname]);
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
