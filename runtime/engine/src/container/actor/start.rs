//! From a request to a running process.
//!
//! ```text
//!   journal -> files of the container -+
//!              network namespace ------+-> veth, address, routes -+
//!                                      \-> shim builds the root --+-> publish -> attach -> start
//! ```
//! Whatever fails, everything that was made is undone, and the container is as it was before, with the reason.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use beeline_net::Netns;
use beeline_spawn::clock;
use beeline_spawn::fault::{self, Point};
use beeline_spawn::protocol::{Event, Request};
use beeline_spawn::{Network, ShimRequest, container::Rootfs};

use super::network::{Joined, Plan};
use super::{Actor, now};
use crate::container::ahead::Source;
use crate::container::config::ContainerConfig;
use crate::container::log;
use crate::container::namespaces::{self, Held, Shares};
use crate::container::policy::Policy;
use crate::container::ports::{self, PublishRequest, Published};
use crate::container::prepare::Preparation;
use crate::container::shim::{ShimError, ShimLink};
use crate::container::status::{ContainerState, ContainerStatus};
use crate::container::timeline::Timeline;
use crate::container::view::{ContainerView, EndpointView};
use crate::error::{Error, chain, fault};
use crate::network::{DEFAULT, Network as NamedNetwork};
use crate::publish::PublishError;

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
    pub(super) async fn start(&mut self, again: bool) -> Result<(), Error> {
        match self.state() {
            ContainerState::Running | ContainerState::Stopping | ContainerState::Restarting => {
                return Err(Error::NotModified(format!("container {} is already started", self.record.id)));
            }
            ContainerState::Paused => {
                return Err(Error::Conflict("cannot start a paused container, try unpause instead".into()));
            }
            ContainerState::Removing | ContainerState::Dead => {
                return Err(Error::Conflict("container is marked for removal and cannot be started".into()));
            }
            ContainerState::Created | ContainerState::Starting | ContainerState::Exited => {}
        }
        self.wait_for_files().await?;
        self.forget_restarts();
        self.begin().await?;
        if again {
            self.event("restart", []);
        }
        Ok(())
    }

    /// From a container that does not run to one that does.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        // What could not be taken back of the last run.
        self.undo().await;
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
                    began: Some(clock::uptime()),
                    finished_at: before.finished_at,
                    health: self.first_health(),
                    ..ContainerStatus::default()
                };
                self.show();
                self.event("start", []);
                self.monitor();
                self.store().await;
                Ok(())
            }
            Err(error) => {
                for network in self.undo().await {
                    self.network_event("disconnect", &network);
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
        let plan = self.plan_network()?;
        let mut timeline = Timeline::start();
        self.runtime.journalled = true;
        self.lease(plan.joined())?;
        fault(Point::StartJournal)?;
        shared.database.put_runtime(&self.record.id, &self.runtime).await?;

        fault(Point::StartVolumes)?;
        self.mount_volumes().await?;
        timeline.step("journal, volumes");
        let mut held = Held::open(&shared, &self.record.config.host)?;
        let source = match (held.take_net(), self.ahead.take()) {
            (Some(net), _) => Source::Owned(net),
            (None, Some(ahead)) => Source::Ahead(ahead),
            (None, None) => Source::New,
        };
        let netns = self.prepare(&plan, held.shares(), source).await?;
        timeline.step("files, namespace");
        let (attached, created) =
            tokio::join!(self.join(netns.as_ref(), plan.joined()), self.create(netns.as_ref()));
        // The container holds it now; while we do, its devices would not go with it.
        drop(netns);
        drop(held);
        let (endpoints, attached) = attached;
        for (network, endpoint) in endpoints {
            self.runtime.connections.entry(network).or_default().endpoint = Some(endpoint);
        }
        attached?;
        let (link, pid) = created?;
        self.link = Some(link);
        shared.observe(&self.cgroup_path());
        timeline.step("network, root");
        for joined in plan.joined() {
            self.network_event("connect", &joined.network);
        }
        let policy = Policy::of(&self.record.config.labels)?;
        fault(Point::StartPublish)?;
        let published = self.publish_ports(&requests, &policy).await;
        self.runtime.published = published.map_err(|failure| self.publish_error(failure))?;
        // Its names are known before its command can ask for them.
        self.show();
        fault(Point::StartRecord)?;
        // Before the start: whoever connects to the port or asks the daemon after it finds all of it.
        shared.database.put_runtime(&self.record.id, &self.runtime).await?;
        timeline.step("publish, journal");
        self.attach_waiting().await;
        fault(Point::StartRelease)?;
        self.release().await?;
        fault::pass(Point::StartDone);
        timeline.step("attach, exec");
        timeline.record(&shared.recorder);
        tracing::debug!(container = %self.record.id, %timeline, "started");
        Ok(pid)
    }

    /// Publishes the container's ports: when its restart policy starts it, those of its last run, if they are free.
    async fn publish_ports(
        &mut self,
        requests: &[PublishRequest],
        policy: &Policy,
    ) -> Result<Vec<Published>, PublishError> {
        let (targets, reserved) = (self.targets(), std::mem::take(&mut self.runtime.reserved));
        let fits = |port: &Published| targets.of(port.container_ip) == Some(port.container_ip);
        if !reserved.is_empty()
            && reserved.iter().all(fits)
            && let Ok(published) = self.shared.publish_again(&reserved, policy).await
        {
            return Ok(published);
        }
        self.shared.publish(requests, targets, policy).await
    }

    /// Writes the container's files and makes or opens its network namespace, side by side.
    async fn prepare(&self, plan: &Plan, shares: Shares, source: Source) -> Result<Option<Netns>, Error> {
        let default = self.shared.networks.find(DEFAULT)?;
        let mut paths =
            crate::container::record::paths(&self.shared.config.root, &self.record, self.layers.clone());
        if let Plan::Shared(other) = plan {
            paths.hosts.clone_from(&other.paths.hosts);
            paths.hostname.clone_from(&other.paths.hostname);
            paths.resolv_conf.clone_from(&other.paths.resolv_conf);
        }
        let preparation = Preparation {
            record: self.record.clone(),
            paths,
            run_dir: self.run_dir(),
            cgroup: self.cgroup_path(),
            volumes: self.shared.volumes.directory().to_owned(),
            addresses: plan.joined().iter().flat_map(|one| self.lease_on(&one.network).addresses()).collect(),
            gateway: default
                .as_bridge()
                .map(|bridge| bridge.spec.ranges().map(|(_, gateway)| gateway).collect())
                .unwrap_or_default(),
            links: self.linked(&default)?,
            servers: plan.servers(&self.record.config),
            shares_network: matches!(plan, Plan::Shared(_)),
            shares,
            seccomp: self.shared.seccomp.clone(),
        };
        let files = tokio::task::spawn_blocking(move || preparation.write());
        let failed = |error| Error::internal(format!("start container {}", self.record.id), &error);
        let netns = async {
            match plan {
                Plan::Plain => Ok(None),
                Plan::Networks(_) => {
                    fault(Point::StartNamespace)?;
                    source.netns().await.map(Some).map_err(failed)
                }
                Plan::Shared(other) => self.namespace_of(other).map(Some),
            }
        };
        let (files, netns) = tokio::join!(files, netns);
        files.map_err(|error| Error::internal("write the container's files", &error))??;
        netns
    }

    /// The network namespace of another container that runs.
    fn namespace_of(&self, other: &ContainerView) -> Result<Netns, Error> {
        namespaces::network(&self.shared, other).ok_or_else(|| {
            Error::Conflict(format!("cannot join network of a non running container: {}", other.id))
        })
    }

    /// Connects the namespace with networks.
    async fn join(
        &self,
        netns: Option<&Netns>,
        joined: &[Joined],
    ) -> (BTreeMap<String, beeline_net::Endpoint>, Result<(), Error>) {
        let Some(netns) = netns else { return (BTreeMap::new(), Ok(())) };
        if let Err(error) = fault(Point::StartConnect) {
            return (BTreeMap::new(), Err(error));
        }
        let began = Instant::now();
        let (made, attached) = self.attach_all(netns, joined).await;
        if attached.is_ok() && !joined.is_empty() {
            self.shared.recorder.network_action("allocate", began.elapsed());
        }
        let connected = joined.iter().filter_map(|one| Some((one, made.get(&one.network.id)?)));
        let led = match attached {
            Ok(()) => self.lead_questions(netns, connected).await,
            Err(error) => Err(error),
        };
        (made, led)
    }

    /// The names that links on the default network give to others, with their addresses.
    fn linked(&self, default: &NamedNetwork) -> Result<Vec<(String, String)>, Error> {
        let mut lines = Vec::new();
        for link in &self.record.config.host.links {
            let (name, reference) = crate::network::parse_link(link);
            let other = self.shared.directory.find(&reference)?.view();
            let endpoint = other.endpoints.iter().find(|endpoint| endpoint.network_id == default.id);
            let mut addresses = endpoint.into_iter().flat_map(EndpointView::addresses).peekable();
            if addresses.peek().is_none() {
                return Err(Error::Invalid(format!(
                    "Cannot link to a non running container: /{} AS /{}/{name}",
                    other.name, self.record.name
                )));
            }
            let names = format!("{name} {} {}", other.id.short(), other.name);
            lines.extend(addresses.map(|address| (names.clone(), address.to_string())));
        }
        Ok(lines)
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
            log: log::plan(&self.record, paths.log)?,
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
            fault(Point::StartSpawn)?;
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

    /// A failure to publish, as Docker's clients know it.
    pub(super) fn publish_error(&self, failure: PublishError) -> Error {
        match failure {
            PublishError::Invalid(reason) => Error::Invalid(reason),
            PublishError::Failed(reason) => {
                Error::Publish { name: self.record.name.to_string(), id: self.record.id.to_string(), reason }
            }
        }
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
