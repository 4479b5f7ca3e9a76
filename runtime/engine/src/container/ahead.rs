//! Network namespaces made ahead: between its making and its start, a container's client is on its way, and the kernel
//! takes some milliseconds for a namespace.

use std::os::fd::OwnedFd;
use std::time::Duration;

use beeline_net::{Net, Netns};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long a namespace waits for its container's start. The host's settings, which it was made with, may change.
const KEPT: Duration = Duration::from_secs(5);

/// As many may wait; the others are made at the start.
static WAITING: Semaphore = Semaphore::const_new(16);

/// A namespace that waits, or is being made. It ends with this value.
#[derive(Debug)]
pub(crate) struct Ahead(oneshot::Sender<oneshot::Sender<Netns>>);

impl Ahead {
    /// Has one made, unless many wait.
    pub(crate) fn begin() -> Option<Self> {
        Self::begin_for(KEPT)
    }

    fn begin_for(kept: Duration) -> Option<Self> {
        let permit = WAITING.try_acquire().ok()?;
        let (sender, asked) = oneshot::channel::<oneshot::Sender<Netns>>();
        tokio::spawn(async move {
            // What is wrong, the start will say.
            let Ok(netns) = Net::create_netns().await else { return };
            let answer = timeout(kept, asked).await;
            drop(permit);
            if let Ok(Ok(answer)) = answer {
                // The start may have been given up.
                let _ = answer.send(netns);
            }
        });
        Some(Self(sender))
    }

    /// The namespace; none if it could not be made, or has waited too long.
    pub(crate) async fn take(self) -> Option<Netns> {
        let (sender, netns) = oneshot::channel();
        self.0.send(sender).ok()?;
        netns.await.ok()
    }
}

/// How a start comes by its container's network namespace.
#[derive(Debug)]
pub(crate) enum Source {
    /// It was made together with a new user namespace, which owns it.
    Owned(OwnedFd),
    /// It was made ahead.
    Ahead(Ahead),
    /// It is yet to be made.
    New,
}

impl Source {
    /// The namespace, ready for devices.
    ///
    /// # Errors
    /// The kernel makes none.
    pub(crate) async fn netns(self) -> Result<Netns, beeline_net::Error> {
        match self {
            Self::Owned(net) => return Net::furnish_netns(net).await,
            Self::Ahead(ahead) => {
                if let Some(netns) = ahead.take().await {
                    return Ok(netns);
                }
            }
            Self::New => {}
        }
        Net::create_netns().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn some_are_made_ahead_and_given_while_they_are_fresh() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let all: Vec<Ahead> = (0..20).filter_map(|_| Ahead::begin()).collect();
        assert_eq!(all.len(), 16);
        for ahead in all {
            assert!(ahead.take().await.is_some());
        }
        let ahead = Ahead::begin_for(Duration::from_millis(1)).expect("those that were taken made room");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(ahead.take().await.is_none(), "it is no more");
    }
}
