//! Events.

use beeline_engine::{Event, EventSubject};
use beeline_wire::event;

/// The engine's event as a line of the stream, with the fields clients before 1.22 read.
pub(crate) fn event(event: &Event) -> event::Event {
    let legacy = matches!(event.subject, EventSubject::Container | EventSubject::Image);
    let time_nano = i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX);
    let from = match event.subject {
        EventSubject::Container => event.attributes.get("image").cloned().unwrap_or_default(),
        _ => String::new(),
    };
    event::Event {
        status: if legacy { event.action.clone() } else { String::new() },
        id: if legacy { event.id.clone() } else { String::new() },
        from,
        kind: event.subject.as_str().to_owned(),
        action: event.action.clone(),
        actor: event::Actor { id: event.id.clone(), attributes: event.attributes.clone() },
        scope: "local".to_owned(),
        time: event.time.as_second(),
        time_nano,
    }
}
