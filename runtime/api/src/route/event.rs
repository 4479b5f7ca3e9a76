//! `GET /events`: what happens, as it happens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use beeline_engine::{Event, EventStream, EventSubject};
use beeline_wire::filters::Filters;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::Either;
use jiff::Timestamp;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

const FILTERS: [&str; 15] = [
    "config",
    "container",
    "daemon",
    "event",
    "id",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

pub(crate) async fn events(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let filters = params.filters(&FILTERS)?;
    let since = params.time("since")?;
    let until = params.time("until")?;
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(ApiError::bad_request("`since` time cannot be after `until` time"));
    }
    let events = app.engine.events(since);
    let end = async move {
        let Some(until) = until else { return app.shutdown.cancelled().await };
        let left = until.duration_since(Timestamp::now()).max(jiff::SignedDuration::ZERO);
        tokio::select! {
            () = tokio::time::sleep(left.unsigned_abs()) => {}
            () = app.shutdown.cancelled() => {}
        }
    };
    let lines = all(events, until).filter(move |event| std::future::ready(matches(event, &filters)));
    let lines = lines.map(|event| Ok::<Bytes, Infallible>(reply::line(&convert::event::event(&event))));
    let body = if until.is_some_and(|until| until <= Timestamp::now()) {
        Either::Left(lines)
    } else {
        Either::Right(lines.take_until(Box::pin(end)))
    };
    Ok(reply::stream("application/json", Body::from_stream(body)))
}

/// Past events, then coming ones; the past ones alone if `until` is over.
fn all(events: EventStream, until: Option<Timestamp>) -> impl futures_util::Stream<Item = Arc<Event>> + Send {
    let past_only = until.is_some_and(|until| until <= Timestamp::now());
    futures_util::stream::unfold(events, move |mut events| async move {
        let event = if past_only { events.next_past() } else { events.next().await }?;
        Some((event, events))
    })
    // Not the end: where the clock was set back, earlier ones follow.
    .filter(move |event| std::future::ready(until.is_none_or(|until| event.time <= until)))
}

/// Whether an event passes every filter.
fn matches(event: &Event, filters: &Filters) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let any = |name: &str, test: &dyn Fn(&str) -> bool| {
        let values = filters.values(name);
        values.is_empty() || values.iter().any(|value| test(value))
    };
    let subject = |name: &str, kind: EventSubject| {
        any(name, &|value| {
            event.subject == kind
                && (event.id == value || attribute("name") == Some(value) || starts(&event.id, value))
        })
    };
    any("type", &|value| event.subject.as_str() == value)
        // `exec_start: ls` is found by `exec_start`.
        && any("event", &|value| event.action == value || event.action.split(':').next() == Some(value))
        && any("scope", &|value| value == "local")
        && subject("container", EventSubject::Container)
        && subject("network", EventSubject::Network)
        && subject("volume", EventSubject::Volume)
        && any("image", &|value| {
            let image = if event.subject == EventSubject::Image { Some(event.id.as_str()) } else { attribute("image") };
            image.is_some_and(|image| image == value || untagged(image) == value) || attribute("name") == Some(value)
        })
        && filters.values("label").iter().all(|label| match label.split_once('=') {
            Some((name, value)) => attribute(name) == Some(value),
            None => event.attributes.contains_key(label),
        })
        && any("daemon", &|_| false)
}

fn starts(id: &str, prefix: &str) -> bool {
    prefix.len() >= 12 && id.starts_with(prefix)
}

/// A name without its tag: the colon after the last slash.
fn untagged(image: &str) -> &str {
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    image[name..].rfind(':').map_or(image, |colon| &image[..name + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Event {
        let attributes = [("name", "web"), ("image", "debian:12"), ("tier", "front")];
        Event {
            subject: EventSubject::Container,
            action: "start".to_owned(),
            id: "ab".repeat(32),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_event_must_pass_every_filter() {
        let passes = |json: &str| matches(&started(), &Filters::parse(json).unwrap());
        assert!(passes(""));
        assert!(passes(r#"{"container":["web"],"event":["die","start"]}"#));
        assert!(passes(r#"{"container":["abababababab"]}"#));
        assert!(passes(r#"{"image":["debian"]}"#));
        assert!(passes(r#"{"label":["tier=front","tier"]}"#));
        assert!(!passes(r#"{"label":["tier=front","tier=back"]}"#));
        assert!(!passes(r#"{"container":["web"],"type":["image"]}"#));
        assert!(!passes(r#"{"network":["web"]}"#));
    }

    #[test]
    fn a_registry_s_port_is_no_tag() {
        assert_eq!(untagged("host:5000/app"), "host:5000/app");
        assert_eq!(untagged("host:5000/app:1"), "host:5000/app");
    }
}
