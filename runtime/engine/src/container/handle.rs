//! How the rest of the engine reaches a container's task.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::attach::AttachOptions;
use crate::container::config::HostConfig;
use crate::container::health::Probe;
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::files::ContainerFiles;
use crate::identity::{ContainerId, ContainerName};
use crate::network::{EndpointConfig, Network};

/// Where the answer to a request goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a container's task can be asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// With `again`, after a stop to that end.
    Start {
        again: bool,
        reply: Reply<()>,
    },
    Stop {
        request: StopRequest,
        reply: Reply<()>,
    },
    Kill {
        signal: i32,
        reply: Reply<()>,
    },
    Pause {
        reply: Reply<()>,
    },
    Unpause {
        reply: Reply<()>,
    },
    Remove {
        force: bool,
        volumes: bool,
        reply: Reply<()>,
    },
    Files {
        alone: bool,
        reply: Reply<ContainerFiles>,
    },
    Rename {
        name: ContainerName,
        reply: Reply<()>,
    },
    Update {
        wanted: Box<HostConfig>,
        reply: Reply<Vec<String>>,
    },
    Attach {
        options: AttachOptions,
        reply: Reply<oneshot::Receiver<UnixStream>>,
    },
    Resize {
        width: u16,
        height: u16,
        reply: Reply<()>,
    },
    Connect {
        network: Arc<Network>,
        config: Box<EndpointConfig>,
        reply: Reply<()>,
    },
    Disconnect {
        network: String,
        reply: Reply<()>,
    },
    /// The result of a probe of the run that began at `started`, which then was so old.
    Probed {
        started: Timestamp,
        age: Duration,
        probe: Probe,
        reply: Reply<()>,
    },
}

/// How a container is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StopRequest {
    /// The signal that asks it; its own if not given.
    pub(crate) signal: Option<i32>,
    /// Seconds until SIGKILL; negative is for ever; its own if not given.
    pub(crate) timeout: Option<i64>,
    /// Do not remove it although it says so: it is to be started again.
    pub(crate) keep: bool,
}

/// A container's address. The task ends when the container is removed.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) id: ContainerId,
    pub(crate) queue: mpsc::Sender<Command>,
    pub(crate) views: watch::Receiver<Arc<ContainerView>>,
}

impl Handle {
    /// The container as it is now.
    pub(crate) fn view(&self) -> Arc<ContainerView> {
        self.views.borrow().clone()
    }

    /// Has the task do something, and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let gone = || Error::NoSuchContainer { reference: self.id.to_string() };
        let (reply, answer) = oneshot::channel();
        self.queue.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
