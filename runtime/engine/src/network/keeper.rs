//! The task that makes and removes networks, one at a time: two requests never choose the same subnet.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{NetworkConfig, create, remove};
use crate::container::handle::Reply;
use crate::error::Error;
use crate::shared::Shared;

/// How many requests wait before the next one has to.
const QUEUE: usize = 64;

/// What the task can be asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Make a network; the answer is its id.
    Create { config: Box<NetworkConfig>, reply: Reply<String> },
    /// Remove a network that no running container is on; the answer is its name.
    Remove { reference: String, reply: Reply<String> },
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
            Request::Create { config, reply } => {
                let _ = reply.send(create::create(&shared, *config).await);
            }
            Request::Remove { reference, reply } => {
                let _ = reply.send(remove::remove(&shared, &reference).await);
            }
        }
    }
}

impl super::Networks {
    /// Makes a network, and answers with its id.
    pub(crate) async fn create(&self, config: NetworkConfig) -> Result<String, Error> {
        let config = Box::new(config);
        self.ask(|reply| Request::Create { config, reply }).await
    }

    /// Removes a network, and answers with its name.
    pub(crate) async fn remove_named(&self, reference: &str) -> Result<String, Error> {
        let reference = reference.to_owned();
        self.ask(|reply| Request::Remove { reference, reply }).await
    }

    async fn ask(&self, request: impl FnOnce(Reply<String>) -> Request) -> Result<String, Error> {
        let gone = || Error::Unavailable("the daemon is shutting down".into());
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.keeper.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
