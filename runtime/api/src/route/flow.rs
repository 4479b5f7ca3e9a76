//! `GET /beeline/flows`, `GET /beeline/drops`, `GET /beeline/pairs`: what containers have to do with whom, as it happens.

use std::convert::Infallible;
use std::future::ready;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use beeline_engine::{DropReason, FlowChange, FlowEvent, FlowStream};
use beeline_wire::filters::Filters;
use beeline_wire::flow;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::app::App;
use crate::convert;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::reply;

/// What can be filtered by.
const FILTERS: [&str; 6] = ["container", "network", "port", "protocol", "reason", "verdict"];

/// From now on, until the client goes.
pub(crate) async fn flows(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let filters = filters(&params)?;
    let events = app.engine.flows();
    Ok(stream(app, filters, events, true))
}

/// The last ones, the oldest first; with `follow` also those to come.
pub(crate) async fn drops(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let filters = filters(&params)?;
    let events = app.engine.drops();
    Ok(stream(app, filters, events, params.flag("follow")))
}

/// Who has talked to whom since somebody began to ask.
pub(crate) async fn pairs(State(app): State<App>) -> Result<Json<Vec<flow::Pair>>, ApiError> {
    Ok(Json(app.engine.pairs()?.iter().map(convert::flow::pair).collect()))
}

fn filters(params: &Params) -> Result<Filters, ApiError> {
    let filters = params.filters(&FILTERS)?;
    check(&filters)?;
    Ok(filters)
}

/// Whether what is asked for can be: nothing would ever match what is mistyped.
fn check(filters: &Filters) -> Result<(), ApiError> {
    each(filters, "port", |port| port.parse::<u16>().is_ok(), "a number below 65536")?;
    each(filters, "protocol", is_protocol, "tcp, udp, sctp, icmp or a protocol's number")?;
    each(filters, "verdict", |verdict| matches!(verdict, "forwarded" | "dropped"), "forwarded or dropped")?;
    let reasons: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    each(filters, "reason", |reason| reasons.contains(&reason), &format!("one of {}", reasons.join(", ")))
}

fn each(filters: &Filters, name: &str, is_valid: impl Fn(&str) -> bool, valid: &str) -> Result<(), ApiError> {
    match filters.values(name).iter().find(|value| !is_valid(value)) {
        Some(value) => {
            Err(ApiError::bad_request(format!("invalid filter '{name}={value}': a {name} is {valid}")))
        }
        None => Ok(()),
    }
}

fn is_protocol(text: &str) -> bool {
    matches!(text, "tcp" | "udp" | "sctp" | "icmp") || text.parse::<u8>().is_ok()
}

fn stream(app: App, filters: Filters, events: FlowStream, follow: bool) -> Response {
    let events = futures_util::stream::unfold(events, move |mut events| async move {
        let event = if follow { events.next().await } else { events.next_past() }?;
        Some((event, events))
    });
    let lines = events
        .filter(move |event| ready(matches(event, &filters)))
        .map(|event| Ok::<Bytes, Infallible>(reply::line(&convert::flow::flow(&event))));
    let end = async move { app.shutdown.cancelled().await };
    reply::stream("application/json", Body::from_stream(lines.take_until(Box::pin(end))))
}

/// Whether an event passes every filter: values of one name are alternatives.
fn matches(event: &FlowEvent, filters: &Filters) -> bool {
    let any = |name: &str, test: &dyn Fn(&str) -> bool| {
        let values = filters.values(name);
        values.is_empty() || values.iter().any(|value| test(value))
    };
    let containers = || event.ends().filter_map(|end| end.container.as_ref());
    let is_drop = matches!(event.change, FlowChange::Dropped { .. });
    let reason = match event.change {
        FlowChange::Dropped { reason, .. } => reason.name(),
        _ => "",
    };
    any("container", &|value| {
        let name = value.trim_start_matches('/');
        containers()
            .any(|container| container.name.to_string() == name || container.id.as_str().starts_with(value))
    }) && any("network", &|value| containers().any(|container| container.network == value))
        && any("port", &|value| {
            let port = value.parse().unwrap_or(0);
            event.ends().any(|end| {
                end.address.port() == port || end.translated.is_some_and(|address| address.port() == port)
            })
        })
        && any("protocol", &|value| event.protocol == value)
        && any("reason", &|value| reason == value)
        && any("verdict", &|value| (value == "dropped") == is_drop)
}

#[cfg(test)]
mod tests {
    use beeline_engine::FlowEnd;
    use jiff::Timestamp;

    use super::*;

    fn event(change: FlowChange) -> FlowEvent {
        let end = |address: &str, translated: Option<&str>| FlowEnd {
            address: address.parse().unwrap(),
            translated: translated.map(|address| address.parse().unwrap()),
            container: None,
        };
        FlowEvent {
            time: Timestamp::UNIX_EPOCH,
            change,
            protocol: "tcp".to_owned(),
            source: Some(end("192.0.2.2:4000", None)),
            destination: Some(end("192.0.2.1:8080", Some("172.17.0.2:80"))),
            peer: None,
        }
    }

    #[test]
    fn an_event_must_pass_every_filter() {
        let drop = event(FlowChange::Dropped { reason: DropReason::Denied, rule: None, length: 60 });
        let begin = event(FlowChange::Began { is_found: false });
        let passes = |event: &FlowEvent, json: &str| matches(event, &Filters::parse(json).unwrap());
        assert!(passes(&begin, "") && passes(&drop, ""));
        for port in ["4000", "8080", "80"] {
            assert!(passes(&begin, &format!(r#"{{"port":["{port}"],"protocol":["udp","tcp"]}}"#)));
        }
        assert!(!passes(&begin, r#"{"port":["443"]}"#));
        assert!(!passes(&begin, r#"{"container":["web"]}"#));
        assert!(passes(&drop, r#"{"verdict":["dropped"],"reason":["denied"]}"#));
        assert!(!passes(&begin, r#"{"verdict":["dropped"]}"#));
        assert!(!passes(&drop, r#"{"verdict":["forwarded"]}"#));
    }

    #[test]
    fn what_is_mistyped_is_refused_and_what_there_is_named() {
        let checked =
            |json: &str| check(&Filters::parse(json).unwrap()).map_err(|error| format!("{error:?}"));
        assert_eq!(checked(r#"{"port":["80"],"protocol":["icmp","47"],"reason":["flow_quota"]}"#), Ok(()));
        for (json, named) in [
            (r#"{"port":["http"]}"#, "'port=http': a port is a number below 65536"),
            (r#"{"protocol":["tcp","tpc"]}"#, "'protocol=tpc'"),
            (r#"{"verdict":["allowed"]}"#, "'verdict=allowed': a verdict is forwarded or dropped"),
            (r#"{"reason":["deny"]}"#, "not_routed"),
        ] {
            assert!(checked(json).unwrap_err().contains(named), "{json}");
        }
    }
}
