//! From a request to a running process.
//!
//! ```text
//!   journal -> files of the container -+
//!              network namespace ------+-> veth, address, routes -+
//!                                      \-> shim builds the root --+-> publish -> attach -> start
//! ```
//! Whatever fails, everything that was made is undone, and the container is as it was before, with the reason.

use std::os::fd::AsFd as _;
use std::time::Duration;

use beeline_net::{Net, Netns};
use beeline_spawn::protocol::{Event, Request};
use beeline_spawn::{JsonFileLog, LogConfig, Network, ShimRequest, container::Rootfs};

use super::{Actor, now};
use crate::container::config::ContainerConfig;
use crate::container::ports::{self, Published};
use crate::container::prepare::Preparation;
use crate::container::shim::{ShimError, ShimLink};
use crate::container::status::{ContainerState, ContainerStatus};
use crate::container::timeline::Timeline;
use crate::error::{Error, chain};

/// How long the shim may take for the root file system: beyond it, a disk hangs.
const CREATE_LIMIT: Duration = Duration::from_secs(130);

/// How long a shim may take to clean up after a command that could not be executed.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(5);

/// How often a container is asked for while spawners die.
const ATTEMPTS: u32 = 3;

/// How long the kernel may take for exec.
const EXEC_LIMIT: Duration = Duration::from_secs(60);

impl Actor {
    /// Starts the container.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        match self.state() {
            ContainerState::Running | ContainerState::Stopping => {
                return Err(Error::NotModified(format!("container {} is already started", self.record.id)));
            }
            ContainerState::Removing | ContainerState::Dead => {
                return Err(Error::Conflict("container is marked for removal and cannot be started".into()));
            }
            ContainerState::Created | ContainerState::Starting | ContainerState::Exited => {}
        }
        let before = std::mem::take(&mut self.runtime.status);
        self.runtime.status.state = ContainerState::Starting;
        self.runtime.status.started_at = before.started_at;
        self.runtime.status.finished_at = before.finished_at;
        self.show();
        match self.bring_up().await {
            Ok(pid) => {
                self.runtime.status = ContainerStatus {
                    state: ContainerState::Running,
                    pid,
                    started_at: now(),
                    finished_at: before.finished_at,
                    ..ContainerStatus::default()
                };
                self.show();
                self.event("start", []);
                self.store().await;
                Ok(())
            }
            Err(error) => {
                if self.undo().await {
                    self.network_event("disconnect");
                }
                self.waiting.clear();
                let never_ran = before.started_at.is_none();
                let code = if let Error::Start { code, .. } = &error { i64::from(*code) } else { 128 };
                self.runtime.status = ContainerStatus {
                    state: if never_ran { ContainerState::Created } else { ContainerState::Exited },
                    exit_code: code,
                    error: error.full(),
                    started_at: before.started_at,
                    finished_at: before.finished_at,
                    ..ContainerStatus::default()
                };
                self.store().await;
                self.show();
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self) -> Result<u32, Error> {
        let shared = self.shared.clone();
        let image = shared.images.resolve(&self.record.image_id)?;
        self.layers.clone_from(&image.layers);
        let requests = ports::requests(&self.record.config, shared.config.publish_address)?;
        self.check_network()?;
        let bridged = shared.network.is_default(&self.record.config);
        let mut timeline = Timeline::start();
        if bridged {
            self.runtime.lease = Some(shared.network.lease(&self.record.id, self.runtime.lease)?);
        }
        self.runtime.journalled = true;
        shared.database.put_runtime(&self.record.id, &self.runtime).await?;

        timeline.step("journal");
        let netns = self.prepare(bridged).await?;
        timeline.step("files, namespace");
        let (attached, created) = tokio::join!(self.connect(netns.as_ref()), self.create(netns.as_ref()));
        // The container holds it now; while we do, its devices would not go with it.
        drop(netns);
        self.runtime.endpoint = attached?;
        let (link, pid) = created?;
        self.link = Some(link);
        timeline.step("network, root");
        if self.runtime.endpoint.is_some() {
            self.network_event("connect");
            self.runtime.published = self.publish(&requests).await?;
        }
        // Before the start: whoever connects to the port or asks the daemon after it finds all of it.
        shared.database.put_runtime(&self.record.id, &self.runtime).await?;
        timeline.step("publish, journal");
        self.attach_waiting().await;
        self.release().await?;
        timeline.step("attach, exec");
        tracing::debug!(container = %self.record.id, %timeline, "started");
        Ok(pid)
    }

    fn check_network(&self) -> Result<(), Error> {
        let config = &self.record.config;
        if config.network_disabled || self.shared.network.of_mode(config).is_some() {
            return Ok(());
        }
        Err(Error::NoSuchNetwork { reference: config.host.network_mode.clone() })
    }

    /// Writes the container's files and makes its network namespace, side by side.
    async fn prepare(&self, bridged: bool) -> Result<Option<Netns>, Error> {
        let preparation = Preparation {
            record: self.record.clone(),
            paths: crate::container::record::paths(
                &self.shared.config.root,
                &self.record,
                self.layers.clone(),
            ),
            run_dir: self.run_dir(),
            cgroup: self.shared.cgroup_path(&self.record.id),
            address: self.runtime.lease.filter(|_| bridged),
            gateway: self.shared.network.gateway(),
        };
        let files = tokio::task::spawn_blocking(move || preparation.write());
        let netns = async {
            if !bridged {
                return Ok(None);
            }
            let made = Net::create_netns().await.map(Some);
            made.map_err(|error| Error::internal(format!("start container {}", self.record.id), &error))
        };
        let (files, netns) = tokio::join!(files, netns);
        files.map_err(|error| Error::internal("write the container's files", &error))??;
        netns
    }

    /// Connects the namespace with the default network.
    async fn connect(&self, netns: Option<&Netns>) -> Result<Option<beeline_net::Endpoint>, Error> {
        let (Some(netns), Some(ip)) = (netns, self.runtime.lease) else { return Ok(None) };
        let spec = self.shared.network.endpoint_spec(&self.record.id, ip);
        let attached = self.shared.net.attach(netns.as_fd(), spec).await;
        attached.map(Some).map_err(|error| {
            Error::internal(format!("failed to set up container networking for {}", self.record.name), &error)
        })
    }

    /// Has a shim build the container.
    async fn create(&self, netns: Option<&Netns>) -> Result<(ShimLink, u32), Error> {
        let id = self.record.id.as_str();
        let paths = crate::container::record::paths(&self.shared.config.root, &self.record, Vec::new());
        let config = &self.record.config;
        let request = ShimRequest {
            id: id.to_owned(),
            bundle: paths.directory.clone(),
            rootfs: Rootfs::Overlay {
                lower: self.layers.iter().rev().cloned().collect(),
                upper: paths.upper,
                work: paths.work,
            },
            log: log_config(config, paths.log),
            run_dir: self.run_dir(),
            exit_file: paths.directory.join("exit.json"),
            network: network_of(config, netns.is_some()),
            open_stdin: config.open_stdin,
            stdin_once: config.stdin_once,
        };
        let failed = |error: &(dyn std::error::Error + 'static)| Error::Start {
            message: format!("failed to create container {id}: {}", chain(error)),
            code: 125,
        };
        for attempt in 1.. {
            let spawned = self.shared.spawner.create(&request, netns.map(Netns::as_fd));
            let stream = spawned.map_err(|error| failed(&error))?;
            let mut link = ShimLink::new(stream).map_err(|error| failed(&error))?;
            match tokio::time::timeout(CREATE_LIMIT, link.created()).await {
                Ok(Ok(pid)) => return Ok((link, pid)),
                // The request went down with its spawner, which the next one replaces.
                Ok(Err(ShimError::Gone)) if !link.is_greeted() && attempt < ATTEMPTS => {}
                Ok(Err(error)) => return Err(self.start_error(&error)),
                Err(elapsed) => return Err(failed(&elapsed)),
            }
        }
        Err(failed(&ShimError::Gone))
    }

    /// Publishes what the user asked for, all or nothing.
    async fn publish(&self, requests: &[ports::PublishRequest]) -> Result<Vec<Published>, Error> {
        let Some(address) = self.runtime.lease else { return Ok(Vec::new()) };
        self.shared.publish(requests, address).await.map_err(|reason| Error::Publish {
            name: self.record.name.to_string(),
            id: self.record.id.to_string(),
            reason,
        })
    }

    /// Opens the fence: init executes its command.
    async fn release(&mut self) -> Result<(), Error> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match tokio::time::timeout(EXEC_LIMIT, link.ask(&Request::Start)).await {
            Ok(Ok(Event::Started { .. })) => Ok(()),
            Ok(Ok(_)) => Err(self.start_error(&ShimError::Gone)),
            Ok(Err(error)) => {
                // The shim is about to give up what it holds, and says so with the exit.
                if tokio::time::timeout(GIVE_UP_LIMIT, link.exited()).await.is_err() {
                    tracing::warn!(container = %self.record.id, "the shim of a failed start does not end");
                }
                Err(self.start_error(&error))
            }
            Err(elapsed) => Err(Error::internal(format!("start container {}", self.record.id), &elapsed)),
        }
    }

    /// A failure of the shim's as Docker's clients understand it: they tell the exit code by the text.
    fn start_error(&self, error: &ShimError) -> Error {
        let argv = crate::container::merge::argv(&self.record.config);
        let program = argv.first().map_or("", String::as_str);
        let code = error.exit_code();
        let errno = if let ShimError::Failed(failure) = error { failure.errno } else { None };
        let reason = match (code, errno) {
            (127, _) if program.contains('/') => {
                format!("exec: \"{program}\": stat {program}: no such file or directory")
            }
            (127, _) => format!("exec: \"{program}\": executable file not found in $PATH"),
            (126, Some(errno)) => {
                let text = nix::errno::Errno::from_raw(errno).desc().to_lowercase();
                format!("exec: \"{program}\": {text}")
            }
            _ => chain(error),
        };
        Error::Start {
            message: format!("failed to start container {}: {reason}", self.record.id.short()),
            code,
        }
    }
}

fn network_of(config: &ContainerConfig, has_namespace: bool) -> Network {
    if has_namespace {
        Network::Fd
    } else if config.host.network_mode == "host" {
        Network::Host
    } else {
        Network::New
    }
}

/// The log driver with the user's options; malformed ones were refused when the container was created.
fn log_config(config: &ContainerConfig, path: std::path::PathBuf) -> LogConfig {
    if config.host.log.driver == "none" {
        return LogConfig::None;
    }
    let mut log = JsonFileLog::new(path);
    let options = &config.host.log.options;
    if let Some(size) = options.get("max-size").and_then(|size| crate::container::size::parse(size)) {
        log.max_size = size;
    }
    if let Some(files) = options.get("max-file").and_then(|files| files.parse().ok()) {
        log.max_file = files;
    }
    LogConfig::JsonFile(log)
}
