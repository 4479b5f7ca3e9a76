//! `GET /page/live`: the page's figures, a sample a second, as server-sent events.
//!
//! One sampler serves all who look: it begins with the first and ends with the last.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use beeline_engine::Engine;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::sample::Sampler;

/// How many may look at a time: scrapes need connections, too.
const VIEWERS: usize = 32;

type Sender = watch::Sender<Option<Bytes>>;

/// What those who look share.
pub(super) struct Live {
    engine: Engine,
    shutdown: CancellationToken,
    viewers: Arc<Semaphore>,
    sampler: Mutex<Option<Arc<Sender>>>,
}

impl Live {
    pub(super) fn new(engine: Engine, shutdown: CancellationToken) -> Self {
        Self { engine, shutdown, viewers: Arc::new(Semaphore::new(VIEWERS)), sampler: Mutex::default() }
    }

    /// The samples from now on; begins to sample if nobody else looks.
    fn watch(self: &Arc<Self>) -> watch::Receiver<Option<Bytes>> {
        let mut sampler = self.lock();
        if let Some(sender) = &*sampler {
            let mut receiver = sender.subscribe();
            receiver.mark_changed();
            return receiver;
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        *sampler = Some(sender.clone());
        tokio::spawn(run(self.clone(), sender));
        receiver
    }

    /// Ends the sampler, unless somebody looks.
    fn end(&self, sender: &Sender) -> bool {
        let mut sampler = self.lock();
        let unseen = sender.receiver_count() == 0;
        if unseen {
            *sampler = None;
        }
        unseen
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Sender>>> {
        // No code that can panic runs while it is held.
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Samples until nobody looks.
async fn run(live: Arc<Live>, sender: Arc<Sender>) {
    tracing::debug!("somebody looks at the page");
    let mut sampler = Sampler::new(&live.engine).await;
    while !live.end(&sender) {
        let sample = sampler.next().await;
        sender.send_replace(Some(sample));
    }
    tracing::debug!("nobody looks at the page any more");
}

/// A sample a second until the client goes.
pub(super) async fn stream(State(live): State<Arc<Live>>) -> Response {
    let Ok(place) = live.viewers.clone().try_acquire_owned() else {
        let text = format!("{VIEWERS} look at the page already; close one, or scrape /metrics\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let shutdown = live.shutdown.clone();
    // One who reads slowly misses samples.
    let samples = stream::unfold((live.watch(), place), async |(mut receiver, place)| {
        loop {
            receiver.changed().await.ok()?;
            let sample = receiver.borrow_and_update().clone();
            if let Some(sample) = sample {
                return Some((Ok::<_, Infallible>(sample), (receiver, place)));
            }
        }
    });
    let body = Body::from_stream(samples.take_until(Box::pin(shutdown.cancelled_owned())));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], body).into_response()
}
