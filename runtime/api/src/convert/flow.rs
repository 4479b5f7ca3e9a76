//! Flows to the API's form.

use beeline_engine::{FlowChange, FlowEnd, FlowEvent, Pair, Party, Phase, hint};
use beeline_wire::flow;

pub(crate) fn flow(event: &FlowEvent) -> flow::Flow {
    let is_drop = matches!(event.change, FlowChange::Dropped { .. });
    flow::Flow {
        time: event.time.to_string(),
        event: name(&event.change).to_owned(),
        verdict: if is_drop { "dropped" } else { "forwarded" }.to_owned(),
        protocol: event.protocol.clone(),
        peer: event.peer.map(|peer| peer.name().to_owned()).unwrap_or_default(),
        source: event.source.as_ref().map(end),
        destination: event.destination.as_ref().map(end),
        end: result(&event.change),
        drop: refusal(&event.change),
    }
}

fn name(change: &FlowChange) -> &'static str {
    match change {
        FlowChange::Began { is_found: false } => "begin",
        FlowChange::Began { is_found: true } => "found",
        FlowChange::Ended { .. } => "end",
        FlowChange::Dropped { .. } => "drop",
    }
}

fn end(end: &FlowEnd) -> flow::FlowEnd {
    let container = end.container.as_ref();
    flow::FlowEnd {
        address: end.address.ip().to_string(),
        port: end.address.port(),
        translated: end.translated.map(|address| address.to_string()).unwrap_or_default(),
        container_id: container.map(|container| container.id.to_string()).unwrap_or_default(),
        container_name: container.map(|container| container.name.to_string()).unwrap_or_default(),
        network: container.map(|container| container.network.clone()).unwrap_or_default(),
    }
}

fn result(change: &FlowChange) -> Option<flow::FlowResult> {
    let FlowChange::Ended { phase, duration, sent, received } = change else { return None };
    let outcome = match phase {
        Phase::Began | Phase::Found | Phase::Closed => "closed",
        Phase::Refused => "refused",
        Phase::Failed => "failed",
        Phase::Silent => "silent",
        Phase::Gone => "gone",
    };
    Some(flow::FlowResult {
        outcome: outcome.to_owned(),
        seconds: duration.as_secs_f64(),
        sent_bytes: sent.bytes,
        sent_packets: sent.packets,
        received_bytes: received.bytes,
        received_packets: received.packets,
    })
}

fn refusal(change: &FlowChange) -> Option<flow::FlowDrop> {
    let FlowChange::Dropped { reason, rule, length } = change else { return None };
    let source = rule.and_then(|rule| rule.source);
    Some(flow::FlowDrop {
        reason: reason.name().to_owned(),
        hint: hint(*reason).to_owned(),
        bytes: *length,
        rule_scope: rule.map(|rule| rule.scope.to_string()).unwrap_or_default(),
        rule_source: source.map(|source| source.to_string()).unwrap_or_default(),
    })
}

pub(crate) fn pair(pair: &Pair) -> flow::Pair {
    flow::Pair {
        source: party(&pair.source),
        destination: party(&pair.destination),
        flows: pair.flows,
        sent_bytes: pair.sent.bytes,
        sent_packets: pair.sent.packets,
        received_bytes: pair.received.bytes,
        received_packets: pair.received.packets,
    }
}

fn party(party: &Party) -> flow::Party {
    let of_kind = |kind: &str| flow::Party { kind: kind.to_owned(), ..flow::Party::default() };
    match party {
        Party::Container(container) => flow::Party {
            container_id: container.id.to_string(),
            container_name: container.name.to_string(),
            network: container.network.clone(),
            ..of_kind("container")
        },
        Party::Host => of_kind("host"),
        Party::Outside => of_kind("outside"),
    }
}
