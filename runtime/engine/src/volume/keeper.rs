//! The task that makes and removes volumes, one at a time: two requests never make the same one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::set::{Volume, Volumes};
use super::{ANONYMOUS, VolumeConfig, VolumeRecord, check_driver, check_name, check_options, remove};
use crate::container::handle::Reply;
use crate::container::prepare::make_dir;
use crate::error::Error;
use crate::identity::ContainerId;
use crate::shared::Shared;

/// How many requests wait before the next one has to.
const QUEUE: usize = 64;

/// What the task can be asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Make a volume, or answer with the one of that name. With a container, it is that container's alone until it is
    /// kept.
    Create { config: Box<VolumeConfig>, pending: Option<ContainerId>, reply: Reply<Arc<Volume>> },
    /// Whose the volume is from now on: a container's that is being removed, or everyone's.
    Mark { name: String, pending: Option<ContainerId>, reply: Reply<()> },
    /// Take a volume that no container has out of the set; the answer is where its files are.
    Remove { name: String, reply: Reply<PathBuf> },
}

/// The queue, for the engine and for the task.
pub(crate) fn queue() -> (mpsc::Sender<Request>, mpsc::Receiver<Request>) {
    mpsc::channel(QUEUE)
}

/// Serves requests until the engine is gone.
pub(crate) async fn keep(shared: Arc<Shared>, mut queue: mpsc::Receiver<Request>) {
    while let Some(request) = queue.recv().await {
        // An answer nobody waits for any more is dropped.
        match request {
            Request::Create { config, pending, reply } => {
                let _ = reply.send(create(&shared, *config, pending).await);
            }
            Request::Mark { name, pending, reply } => {
                let _ = reply.send(mark(&shared, &name, pending).await);
            }
            Request::Remove { name, reply } => {
                let _ = reply.send(remove::take(&shared, &name).await);
            }
        }
    }
}

/// The directory comes first, then the record: a daemon that dies in between leaves an empty directory that nobody knows.
async fn create(
    shared: &Shared,
    mut config: VolumeConfig,
    pending: Option<ContainerId>,
) -> Result<Arc<Volume>, Error> {
    if config.name.is_empty() {
        config.name = ContainerId::random()?.to_string();
        config.labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    check_driver(&config.driver)?;
    if let Some(volume) = shared.volumes.get(&config.name) {
        return Ok(volume);
    }
    check_name(&config.name).and_then(|()| check_options(&config.options)).map_err(|error| match error {
        Error::Invalid(reason) => Error::Invalid(format!("create {}: {reason}", config.name)),
        other => other,
    })?;
    let directory = shared.volumes.directory().join(&config.name);
    let made = directory.clone();
    let prepared = tokio::task::spawn_blocking(move || {
        make_dir(&made, 0o701).and_then(|()| make_dir(&made.join("_data"), 0o755))
    });
    prepared.await.map_err(|error| Error::internal("make a volume's directory", &error))??;
    let record = VolumeRecord {
        name: config.name,
        created: Timestamp::now(),
        options: config.options,
        labels: config.labels,
        pending,
    };
    if let Err(error) = shared.database.put_volume(&record).await {
        let _ = fs::remove_dir(directory.join("_data")).and_then(|()| fs::remove_dir(&directory));
        return Err(error);
    }
    let volume = shared.volumes.insert(record)?;
    shared.volume_event("create", &volume, Default::default());
    Ok(volume)
}

async fn mark(shared: &Shared, name: &str, pending: Option<ContainerId>) -> Result<(), Error> {
    let Some(volume) = shared.volumes.get(name) else { return Ok(()) };
    let record = VolumeRecord { pending, ..volume.record.clone() };
    shared.database.put_volume(&record).await?;
    shared.volumes.replace(&volume, record);
    Ok(())
}

impl Volumes {
    /// Makes a volume, or finds the one of that name.
    pub(crate) async fn create(
        &self,
        config: VolumeConfig,
        pending: Option<ContainerId>,
    ) -> Result<Arc<Volume>, Error> {
        let config = Box::new(config);
        self.ask(|reply| Request::Create { config, pending, reply }).await
    }

    /// Says whose a volume is: this container's, with which it goes, or everyone's.
    pub(crate) async fn mark(&self, name: &str, pending: Option<ContainerId>) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask(|reply| Request::Mark { name, pending, reply }).await
    }

    pub(super) async fn take(&self, name: &str) -> Result<PathBuf, Error> {
        let name = name.to_owned();
        self.ask(|reply| Request::Remove { name, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let gone = || Error::Unavailable("the daemon is shutting down".into());
        let (reply, answer) = oneshot::channel();
        self.keeper.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
