//! After a restart: what runs is adopted, what has ended is recorded, what belongs to nobody is removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beeline_net::Keep;
use futures_util::future::join_all;

use crate::container::actor::{Actor, Found};
use crate::container::record::{Record, Runtime, containers_dir};
use crate::error::{Error, chain};
use crate::shared::Shared;
use crate::volume;

/// Brings records, kernel and files in line, and starts the containers' tasks.
pub(super) async fn reconcile(shared: &Arc<Shared>, stored: Vec<(Record, Runtime)>) -> Result<(), Error> {
    let mut running = Vec::new();
    let mut ended = Vec::new();
    let found = join_all(stored.into_iter().map(|(record, runtime)| adopt(shared, record, runtime))).await;
    for (actor, found) in found {
        match found {
            Found::Running => running.push(actor),
            Found::Ended => ended.push(actor),
        }
    }
    let keep = Keep {
        networks: shared
            .networks
            .all()
            .iter()
            .filter_map(|network| network.as_bridge().map(|bridge| bridge.spec.clone()))
            .collect(),
        endpoints: running.iter().flat_map(|actor| actor.endpoints().cloned()).collect(),
        publishes: running.iter().flat_map(Actor::publishes).collect(),
    };
    let lost = shared.net.reconcile(keep).await;
    for endpoint in lost.map_err(|error| Error::internal("bring the network in order", &error))? {
        tracing::error!(
            container = endpoint.id,
            "the container's network device is gone: restart the container"
        );
    }
    for network in shared.networks.all() {
        if let Err(error) = shared.serve_names(&network) {
            tracing::error!(
                network = network.name(),
                error = error.full(),
                "names on the network are not found"
            );
        }
    }
    for warning in crate::info::network_warnings(&shared.net) {
        tracing::warn!("{warning}");
    }
    shared.observe_only(&running.iter().map(Actor::cgroup_path).collect::<Vec<_>>());
    join_all(running.iter_mut().map(Actor::resume_names)).await;
    join_all(running.iter().map(Actor::keep_volumes)).await;
    volume::settle(shared).await;
    let count = running.len();
    for actor in running {
        tokio::spawn(actor.run());
    }
    let settled = join_all(ended.into_iter().map(|mut actor| async move {
        let removed = actor.settle().await;
        (!removed).then_some(actor)
    }));
    let settled = settled.await;
    tracing::info!(running = count, "containers adopted");
    // Before restart policies start any: what is swept must not be what they begin to use.
    sweep(shared).await;
    for actor in settled.into_iter().flatten() {
        tokio::spawn(actor.run());
    }
    Ok(())
}

async fn adopt(shared: &Arc<Shared>, record: Record, runtime: Runtime) -> (Actor, Found) {
    let layers =
        shared.images.resolve(&record.image_id).map(|image| image.layers.clone()).unwrap_or_default();
    // Two containers of one name cannot be stored.
    let _ = shared.directory.take_name(&record.name, &record.id);
    for mount in record.mounts().iter() {
        if let Some(name) = mount.volume() {
            shared.volumes.acquire(name, &record.id);
        }
    }
    let (mut actor, handle) = Actor::new(shared.clone(), record, runtime, layers);
    shared.directory.insert(handle);
    let found = actor.find().await;
    (actor, found)
}

/// Removes control groups and directories of containers that are not known, or do not run.
async fn sweep(shared: &Arc<Shared>) {
    let views = shared.directory.views();
    let known: BTreeSet<String> = views.iter().map(|view| view.id.to_string()).collect();
    let running: BTreeSet<String> =
        views.iter().filter(|view| view.status.state.is_running()).map(|view| view.id.to_string()).collect();
    let (shared, task) = (shared.clone(), "sweep");
    let swept = tokio::task::spawn_blocking(move || {
        let parent = format!("/beeline/{}", shared.instance);
        for name in groups(&shared, &parent).into_iter().filter(|name| !running.contains(name)) {
            let group = shared.hierarchy.cgroup(&format!("{parent}/{name}"));
            let removed = group.and_then(|group| {
                group.kill()?;
                group.remove()
            });
            report(&format!("control group {parent}/{name}"), removed.map_err(|error| chain(&error)));
        }
        for (directory, keep) in
            [(shared.config.run.join("containers"), &running), (containers_dir(&shared.config.root), &known)]
        {
            for path in entries(&directory).into_iter().filter(|path| !keep.contains(&name_of(path))) {
                report(
                    &path.display().to_string(),
                    std::fs::remove_dir_all(&path).map_err(|error| error.to_string()),
                );
            }
        }
    });
    if let Err(error) = swept.await {
        tracing::error!(%error, task, "not everything could be looked at");
    }
}

/// The names of the groups below the instance's, in every hierarchy.
fn groups(shared: &Shared, parent: &str) -> BTreeSet<String> {
    let Ok(parent) = shared.hierarchy.cgroup(parent) else { return BTreeSet::new() };
    let paths = parent.paths();
    let directories = paths.unified.into_iter().chain(paths.v1.into_values());
    directories
        .flat_map(|directory| entries(&directory))
        .filter(|path| path.is_dir())
        .map(|path| name_of(&path))
        .collect()
}

fn report(what: &str, removed: Result<(), String>) {
    match removed {
        Ok(()) => tracing::info!(what, "removed what an earlier daemon left"),
        Err(error) => tracing::warn!(what, error, "cannot remove what an earlier daemon left"),
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
