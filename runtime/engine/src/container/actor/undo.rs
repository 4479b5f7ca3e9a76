//! Taking back what was made for a run of the container.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beeline_spawn::cgroup::Hierarchy;
use beeline_spawn::fault::Point;

use super::Actor;
use crate::container::namespaces::unmount_shm;
use crate::container::timeline::Timeline;
use crate::error::{Error, chain, fault};
use crate::network::Network;

impl Actor {
    /// Withdraws ports, disconnects, and removes control groups and the run directory, whether they exist or not. One
    /// failure does not keep the rest; failures are logged, and what is left is found by the next reconciliation.
    /// The answer is the networks the container was connected to, of which listeners are to be told.
    pub(super) async fn undo(&mut self) -> Vec<Arc<Network>> {
        if !self.runtime.journalled {
            return Vec::new();
        }
        // A shim whose creator goes before the start gives up its container.
        self.link = None;
        let mut timeline = Timeline::start();
        let mut failures = Vec::new();
        let shared = self.shared.clone();
        let (disconnected, failed) = self.undo_network().await;
        failures.extend(failed);
        match fault(Point::EndVolumes) {
            Ok(()) => failures.extend(self.unmount_volumes().await),
            Err(error) => failures.push(error.full()),
        }
        timeline.step("network, volumes");
        let path = self.cgroup_path();
        shared.stop_observing(&path);
        let (hierarchy, run_dir) = (shared.hierarchy.clone(), self.run_dir());
        let config = self.record.config.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let mut failures = Vec::new();
            let groups = fault(Point::EndGroups).and_then(|()| remove_groups(&hierarchy, &path));
            failures.extend(groups.err().map(|error| error.full()));
            failures.extend(unmount_shm(&config.host, &run_dir).err().map(|error| error.full()));
            let directory = fault(Point::EndDirectory).and_then(|()| remove_dir(&run_dir));
            failures.extend(directory.err().map(|error| error.full()));
            failures
        });
        match removed.await {
            Ok(more) => failures.extend(more),
            Err(error) => failures.push(chain(&error)),
        }
        timeline.step("groups, directory");
        tracing::debug!(container = %self.record.id, %timeline, "taken back");
        for failure in &failures {
            tracing::error!(container = %self.record.id, failure, "not everything of the container could be removed");
        }
        self.runtime.journalled = !failures.is_empty();
        disconnected
    }

    /// Withdraws ports, and disconnects from every network; the addresses stay the container's own.
    async fn undo_network(&mut self) -> (Vec<Arc<Network>>, Vec<String>) {
        let shared = self.shared.clone();
        let began = Instant::now();
        let (mut disconnected, mut failures) = (Vec::new(), Vec::new());
        self.runtime.published.clear();
        for (id, connection) in &mut self.runtime.connections {
            let network = shared.networks.get(id);
            if let Some(endpoint) = &connection.endpoint {
                // Withdraws its ports as well.
                let detached = match fault(Point::EndNetwork) {
                    Ok(()) => shared.net.detach(endpoint).await.map_err(|error| chain(&error)),
                    Err(error) => Err(error.full()),
                };
                match detached {
                    Ok(()) => {
                        connection.endpoint = None;
                        disconnected.extend(network.clone());
                    }
                    // Kept, so that the next attempt knows what to take back.
                    Err(error) => failures.push(error),
                }
            }
            if let Some(bridge) = network.as_ref().and_then(|network| network.as_bridge()) {
                bridge.rest(&self.record.id);
            }
        }
        if !disconnected.is_empty() && failures.is_empty() {
            shared.recorder.network_action("release", began.elapsed());
        }
        (disconnected, failures)
    }
}

fn remove_groups(hierarchy: &Hierarchy, path: &str) -> Result<(), Error> {
    let removed = hierarchy.cgroup(path).and_then(|cgroup| {
        // Nothing runs in it any more unless the shim was killed.
        cgroup.kill()?;
        cgroup.remove()
    });
    removed.map_err(|error| Error::internal(format!("remove control group {path}"), &error))
}

/// How often a directory is emptied again in which something was made meanwhile, and the pause between.
const REMOVALS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Removes a directory with all it holds, if it is there. A shim that is about to end may still make files in it.
pub(super) fn remove_dir(path: &Path) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        match std::fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(source) if source.kind() == ErrorKind::NotFound && !path.exists() => return Ok(()),
            Err(source)
                if attempt < REMOVALS
                    && matches!(source.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) =>
            {
                attempt += 1;
                std::thread::sleep(PAUSE);
            }
            Err(source) => return Err(Error::File { operation: "remove", path: path.to_owned(), source }),
        }
    }
}
