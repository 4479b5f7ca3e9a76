//! The task that owns a container.
//!
//! ```text
//!              start                started                stop, kill
//!   created ----------> starting ------------> running ----------------> stopping
//!      ^  ^              ^ |  |                 | |  ^                       |
//!      |  \--------------+-/  |           pause | |  | unpause, stop         |
//!      |    the start    |    |                 v |  |                       |
//!      |    failed       |    |              paused  |                       |
//!      |    (never ran)  |    |                 | |                          |
//!      |         the wait|    |     init exits  | |  init exits              |
//!      |         is over |    |                 v v                          |
//!      |          restarting <+---------- (the restart policy?)              |
//!      |                 |    |                   | no                       |
//!      |     stop, kill  |    |                   v                          |
//!      |                 \----+---------------> exited <---------------------/
//!      |                                          |
//!      |      remove              remove          |  start: as from created; a new daemon: as from restarting, if
//!      \------------------> removing <------------/  the policy is always, or unless-stopped and nobody stopped it
//!                               |  \---> dead (the removal failed; it can be tried again)
//!                               v
//!                            (gone)
//! ```
//! A restart that fails is tried again like a run that failed, unless there is nothing to execute.
//!
//! Requests are taken one at a time. While the container runs, the task waits for requests, for its exit, and for the
//! moment a stop becomes a kill. Every change is stored, then shown in the view that readers see.

mod adopt;
mod attach;
mod attributes;
mod connect;
mod end;
mod files;
mod health;
mod network;
mod pause;
mod remove;
mod restart;
mod start;
mod stop;
mod undo;
mod update;
mod view;
mod volumes;

pub(crate) use adopt::Found;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use beeline_spawn::fault::Point;
use jiff::Timestamp;
use tokio::net::UnixStream;
use tokio::sync::{RwLock, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::attach::AttachOptions;
use crate::container::ahead::Ahead;
use crate::container::handle::{Command, Handle};
use crate::container::health::Monitor;
use crate::container::record::{Record, Runtime, paths};
use crate::container::restart::Backoff;
use crate::container::shim::ShimLink;
use crate::container::status::ContainerState;
use crate::container::view::ContainerView;
use crate::error::{Error, fault};
use crate::shared::Shared;

/// How many requests wait before the next one has to.
const QUEUE: usize = 64;

/// How long the kernel may take for a killed process; beyond that it hangs in a device or a file system.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A container and its task's state.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    record: Record,
    runtime: Runtime,
    queue: mpsc::Receiver<Command>,
    view: watch::Sender<Arc<ContainerView>>,
    /// The connection to the shim, while there is one.
    link: Option<ShimLink>,
    /// Clients that attached before the start.
    waiting: Vec<(AttachOptions, oneshot::Sender<UnixStream>)>,
    stopping: Option<stop::Stopping>,
    exits: Exits,
    /// When its restart policy starts it.
    restart_at: Option<Instant>,
    backoff: Backoff,
    /// Probes the container's health while it runs.
    monitor: Option<Monitor>,
    layers: Vec<PathBuf>,
    /// Its removal is to take the volumes along that nobody gave a name.
    with_volumes: bool,
    /// The network namespace of the first start.
    ahead: Option<Ahead>,
    /// Read by those who use the container's files: two of its mounts at once would disturb each other.
    files: Arc<RwLock<()>>,
}

/// The ends of runs since the daemon knows the container.
#[derive(Debug, Clone, Copy, Default)]
struct Exits {
    count: u64,
    /// The last one's code.
    last: i64,
}

/// What a running container's task waits for.
enum Next {
    Command(Option<Command>),
    Exit(Result<beeline_spawn::protocol::Exit, crate::container::shim::ShimError>),
    Deadline,
    Restart,
}

impl Actor {
    /// Makes the task of a container that is stored, and its handle.
    pub(crate) fn new(
        shared: Arc<Shared>,
        record: Record,
        runtime: Runtime,
        layers: Vec<PathBuf>,
    ) -> (Self, Handle) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let first = Arc::new(view_of(&shared, &record, &runtime, &layers, Exits::default(), false));
        let (view, views) = watch::channel(first);
        let handle = Handle { id: record.id.clone(), queue: sender, views };
        let actor = Self {
            shared,
            record,
            runtime,
            queue,
            view,
            link: None,
            waiting: Vec::new(),
            stopping: None,
            exits: Exits::default(),
            restart_at: None,
            backoff: Backoff::default(),
            monitor: None,
            layers,
            with_volumes: false,
            ahead: None,
            files: Arc::default(),
        };
        (actor, handle)
    }

    /// Serves requests until the container is removed.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Command(Some(command)) => {
                    if self.handle(command).await.is_break() {
                        return;
                    }
                }
                // The engine is gone; the container stays as it is.
                Next::Command(None) => return,
                Next::Exit(exit) => {
                    if self.exited(exit).await.is_break() {
                        return;
                    }
                }
                Next::Deadline => self.stop_deadline().await,
                Next::Restart => self.restart().await,
            }
        }
    }

    async fn next(&mut self) -> Next {
        let deadline = self.stopping.as_ref().and_then(|stopping| stopping.deadline);
        let link = &mut self.link;
        let exit = async {
            match link {
                Some(link) => link.exited().await,
                None => std::future::pending().await,
            }
        };
        let restart_at = self.restart_at;
        tokio::select! {
            biased;
            exit = exit => Next::Exit(exit),
            command = self.queue.recv() => Next::Command(command),
            () = moment(deadline) => Next::Deadline,
            () = moment(restart_at) => Next::Restart,
        }
    }

    async fn handle(&mut self, command: Command) -> std::ops::ControlFlow<()> {
        // An answer nobody waits for any more is dropped.
        match command {
            Command::Start { again, reply } => {
                let result = self.start(again).await;
                let removed = result.is_err() && self.remove_failed_start().await;
                let _ = reply.send(result);
                if removed {
                    return std::ops::ControlFlow::Break(());
                }
            }
            Command::Stop { request, reply } => self.stop(request, reply).await,
            Command::Kill { signal, reply } => self.kill(signal, reply).await,
            Command::Pause { reply } => {
                let _ = reply.send(self.pause().await);
            }
            Command::Unpause { reply } => {
                let _ = reply.send(self.unpause().await);
            }
            Command::Remove { force, volumes, reply } => {
                self.with_volumes = volumes;
                let result = self.remove(force).await;
                let removed = result.is_ok();
                let _ = reply.send(result);
                if removed {
                    return std::ops::ControlFlow::Break(());
                }
            }
            Command::Files { alone, reply } => {
                let _ = reply.send(self.open_files(alone).await);
            }
            Command::Rename { name, reply } => {
                let _ = reply.send(self.rename(name).await);
            }
            Command::Update { wanted, reply } => {
                let _ = reply.send(self.update(&wanted).await);
            }
            Command::Attach { options, reply } => {
                let _ = reply.send(self.attach(options).await);
            }
            Command::Connect { network, config, reply } => {
                let _ = reply.send(self.connect(network, *config).await);
            }
            Command::Disconnect { network, reply } => {
                let _ = reply.send(self.disconnect(&network).await);
            }
            Command::Probed { started, age, probe, reply } => {
                self.probed(started, age, probe).await;
                let _ = reply.send(Ok(()));
            }
            Command::Resize { width, height, reply } => {
                let _ = reply.send(self.resize(width, height).await);
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    async fn rename(&mut self, name: crate::identity::ContainerName) -> Result<(), Error> {
        if name == self.record.name {
            return Err(Error::Invalid("Renaming a container with the same name as its current name".into()));
        }
        self.shared.directory.take_name(&name, &self.record.id)?;
        let old = std::mem::replace(&mut self.record.name, name);
        if let Err(error) = self.shared.database.put(&self.record, &self.runtime).await {
            let name = std::mem::replace(&mut self.record.name, old);
            self.shared.directory.release_name(&name, &self.record.id);
            return Err(error);
        }
        self.shared.directory.release_name(&old, &self.record.id);
        self.show();
        self.event("rename", [("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Where in its life the container is.
    fn state(&self) -> ContainerState {
        self.runtime.status.state
    }

    fn set_state(&mut self, state: ContainerState) {
        self.runtime.status.state = state;
        self.show();
    }

    /// Shows readers what is now.
    fn show(&self) {
        let view = view_of(&self.shared, &self.record, &self.runtime, &self.layers, self.exits, false);
        self.replace_view(view);
    }

    /// Names are told before readers see them.
    fn replace_view(&self, view: ContainerView) {
        let old = self.view.borrow().clone();
        if old.endpoints != view.endpoints {
            self.shared.tell_names(&old, &view);
        }
        self.view.send_replace(Arc::new(view));
    }

    /// Stores what was observed. A failure is reported and survived: the container goes on without its database.
    async fn store(&self) {
        let stored = async {
            fault(Point::StoreStatus)?;
            self.shared.database.put_runtime(&self.record.id, &self.runtime).await
        };
        if let Err(error) = stored.await {
            tracing::error!(container = %self.record.id, error = error.full(), "the container's state is not stored");
        }
    }

    fn run_dir(&self) -> PathBuf {
        self.shared.run_dir(&self.record.id)
    }
}

/// The view of a container.
fn view_of(
    shared: &Shared,
    record: &Record,
    runtime: &Runtime,
    layers: &[PathBuf],
    exits: Exits,
    removed: bool,
) -> ContainerView {
    let running = runtime.status.state.is_running();
    let user_mounts = record.mounts();
    let published: &[_] = if running { &runtime.published } else { &[] };
    ContainerView {
        id: record.id.clone(),
        name: record.name.clone(),
        created: record.created,
        config: record.config.clone(),
        image_id: record.image_id.clone(),
        platform: record.os.clone(),
        argv: crate::container::merge::argv(&record.config),
        status: runtime.status.clone(),
        restart_count: runtime.restart_count,
        exits: exits.count,
        last_exit: exits.last,
        removed,
        endpoints: view::endpoints(shared, record, runtime),
        ports: crate::container::ports::mappings(&record.config, published),
        mounts: crate::container::mounts::views(&record.config, &user_mounts, shared.volumes.directory()),
        user_mounts,
        paths: paths(&shared.config.root, record, layers.to_vec()),
        net: runtime.endpoints().cloned().collect(),
    }
}

/// Waits for a moment, for ever if there is none.
async fn moment(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Now, as stored and shown.
fn now() -> Option<Timestamp> {
    Some(Timestamp::now())
}
