//! What happened, for whoever listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::broadcast;

/// How many past events a new listener can ask for, as in Docker.
const REMEMBERED: usize = 256;
/// How far a listener may fall behind before events are lost to it.
const BACKLOG: usize = 4096;

/// What kind of object an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSubject {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl EventSubject {
    /// Docker's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The kind of object.
    pub subject: EventSubject,
    /// What happened to it, in Docker's words: `create`, `start`, `die`, …
    pub action: String,
    /// The object's id.
    pub id: String,
    /// What else is known: `name`, `image`, `exitCode`, …, and a container's labels.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub time: Timestamp,
}

/// Where events go.
#[derive(Debug)]
pub(crate) struct Events {
    past: Mutex<VecDeque<Arc<Event>>>,
    live: broadcast::Sender<Arc<Event>>,
    published: AtomicU64,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { past: Mutex::default(), live: broadcast::channel(BACKLOG).0, published: AtomicU64::new(0) }
    }

    /// Tells everyone.
    pub(crate) fn publish(
        &self,
        subject: EventSubject,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) {
        let event =
            Event { subject, action: action.into(), id: id.into(), attributes, time: Timestamp::now() };
        let event = Arc::new(event);
        // Remembered and sent under one lock: a listener sees each event once, in order.
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(event.clone());
        self.published.fetch_add(1, Ordering::Relaxed);
        // Nobody listening is no error.
        let _ = self.live.send(event);
    }

    /// How many there have been.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Past events since `since` (none if not given), then the coming ones.
    pub(crate) fn subscribe(&self, since: Option<Timestamp>) -> EventStream {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |event: &&Arc<Event>| since.is_some_and(|since| event.time >= since);
        EventStream { past: past.iter().filter(wanted).cloned().collect(), live: self.live.subscribe() }
    }
}

/// One listener.
#[derive(Debug)]
pub struct EventStream {
    past: VecDeque<Arc<Event>>,
    live: broadcast::Receiver<Arc<Event>>,
}

impl EventStream {
    /// The next remembered event, without waiting.
    pub fn next_past(&mut self) -> Option<Arc<Event>> {
        self.past.pop_front()
    }

    /// The next event; `None` when the engine is gone. Events a slow listener missed are skipped.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.past.pop_front() {
            return Some(event);
        }
        loop {
            match self.live.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a listener for events is too slow");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_sees_the_past_it_asked_for_and_what_comes() {
        let events = Events::new();
        let before = Timestamp::now();
        events.publish(EventSubject::Container, "create", "a", BTreeMap::new());
        let mut without_past = events.subscribe(None);
        let mut with_past = events.subscribe(Some(before));
        events.publish(EventSubject::Container, "start", "a", BTreeMap::new());
        assert_eq!(without_past.next().await.unwrap().action, "start");
        assert_eq!(with_past.next().await.unwrap().action, "create");
        assert_eq!(with_past.next().await.unwrap().action, "start");
        drop(events);
        assert!(with_past.next().await.is_none());
    }

    #[test]
    fn the_past_is_bounded() {
        let events = Events::new();
        for number in 0..300 {
            events.publish(EventSubject::Image, "tag", number.to_string(), BTreeMap::new());
        }
        let mut listener = events.subscribe(Some(Timestamp::UNIX_EPOCH));
        assert_eq!(listener.next_past().unwrap().id, "44");
    }
}
