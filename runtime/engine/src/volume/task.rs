//! The task of a volume: what may take long, mounting and copying, one at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beeline_image::files::Root;
use tokio::sync::{mpsc, oneshot};

use super::options::Mounting;
use super::set::Volume;
use super::{copy, mount};
use crate::container::handle::Reply;
use crate::error::Error;
use crate::identity::ContainerId;

/// How many requests wait before the next one has to.
const QUEUE: usize = 16;

/// What the task can be asked.
#[derive(Debug)]
pub(super) enum Command {
    /// The container is about to use it. True if it did not do so before.
    Mount { container: ContainerId, reply: Reply<bool> },
    /// The container uses it no more. True if it did.
    Unmount { container: ContainerId, reply: Reply<bool> },
    /// Fill it, if it is empty, with what is at a path.
    Populate { image: Arc<Root>, path: PathBuf, reply: Reply<()> },
    /// Take off what nobody uses: an earlier daemon mounted it.
    Settle { reply: Reply<()> },
}

struct Task {
    data: PathBuf,
    mounting: Option<Mounting>,
    /// Containers that use it. It is mounted as long as there are any.
    users: BTreeSet<ContainerId>,
}

/// Starts the task. It ends when the queue's last sender is gone.
pub(super) fn spawn(data: PathBuf, mounting: Option<Mounting>) -> mpsc::Sender<Command> {
    let (sender, mut queue) = mpsc::channel(QUEUE);
    let mut task = Task { data, mounting, users: BTreeSet::new() };
    tokio::spawn(async move {
        while let Some(command) = queue.recv().await {
            task.handle(command).await;
        }
    });
    sender
}

impl Task {
    async fn handle(&mut self, command: Command) {
        // An answer nobody waits for any more is dropped.
        match command {
            Command::Mount { container, reply } => {
                let mounted = self.mount().await;
                let _ = reply.send(mounted.map(|()| self.users.insert(container)));
            }
            Command::Unmount { container, reply } => {
                let was = self.users.remove(&container);
                let _ = reply.send(if was { self.settle().await.map(|()| true) } else { Ok(false) });
            }
            Command::Populate { image, path, reply } => {
                let _ = reply.send(self.populate(image, path).await);
            }
            Command::Settle { reply } => {
                let _ = reply.send(self.settle().await);
            }
        }
    }

    async fn mount(&self) -> Result<(), Error> {
        let Some(mounting) = self.mounting.clone() else { return Ok(()) };
        self.blocking(move |data| mount::attach(&mounting, data)).await
    }

    async fn settle(&self) -> Result<(), Error> {
        if !self.users.is_empty() || self.mounting.is_none() {
            return Ok(());
        }
        self.blocking(mount::detach).await
    }

    async fn populate(&self, image: Arc<Root>, path: PathBuf) -> Result<(), Error> {
        self.mount().await?;
        let mounted = self.mounting.is_some();
        let copied = self
            .blocking(move |data| {
                let directory = data.parent().unwrap_or(data);
                copy::populate(directory, mounted, &image, &path)
            })
            .await;
        self.settle().await.and(copied)
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Path) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let data = self.data.clone();
        let done = tokio::task::spawn_blocking(move || work(&data)).await;
        done.map_err(|error| Error::internal("work on a volume", &error))?
    }
}

impl Volume {
    /// Mounts the volume for a container that starts. True if the container did not use it yet.
    pub(crate) async fn mount(&self, container: &ContainerId) -> Result<bool, Error> {
        let container = container.clone();
        self.ask(|reply| Command::Mount { container, reply }).await
    }

    /// Takes it off for a container that has ended, and off the host with the last one. True if the container used it.
    pub(crate) async fn unmount(&self, container: &ContainerId) -> Result<bool, Error> {
        let container = container.clone();
        self.ask(|reply| Command::Unmount { container, reply }).await
    }

    /// Fills the volume, if it is empty, with what is at `path` in `image`.
    pub(crate) async fn populate(&self, image: Arc<Root>, path: PathBuf) -> Result<(), Error> {
        self.ask(|reply| Command::Populate { image, path, reply }).await
    }

    /// Takes off what an earlier daemon mounted and nobody uses.
    pub(crate) async fn settle(&self) -> Result<(), Error> {
        self.ask(|reply| Command::Settle { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let gone = || Error::Unavailable(format!("the volume {} is closed", self.record.name));
        let (reply, answer) = oneshot::channel();
        self.queue.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
