//! What the page is told each second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use beeline_engine::{ContainerView, Engine, Overview, Pair, Party, Refused, Usage};
use beeline_wire::flow::Flow;
use beeline_wire::overview::ContainerOverview;
use beeline_wire::ports::PublishedPort;
use bytes::Bytes;
use serde::Serialize;

use crate::VERSION;
use crate::convert;

/// How many lines of who talks to whom are told, the busiest first.
const TALKS: usize = 100;

/// How many refusals are told one by one, the last ones first.
const RECENT: usize = 50;

/// How much longer than it took to read who talks to whom it is not read again: a full one takes its time.
const REST: u32 = 50;

/// One moment.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sample<'a> {
    host: &'a Host,
    containers: Vec<ContainerOverview>,
    ports: Vec<PublishedPort>,
    drops: Vec<Drops>,
    recent: Vec<Flow>,
    talks: &'a [TalkLine],
    /// How many lines there are of who talks to whom beside those that are told.
    talks_left_out: usize,
}

/// The machine.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Host {
    name: String,
    version: &'static str,
    cpus: usize,
    memory: u64,
}

/// Packets that were refused for a reason.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Drops {
    reason: &'static str,
    hint: &'static str,
    packets: u64,
}

impl From<Refused> for Drops {
    fn from(refused: Refused) -> Self {
        let Refused { reason, hint, packets } = refused;
        Self { reason, hint, packets }
    }
}

/// Two that talk, and how much since somebody began to look.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TalkLine {
    from: Talker,
    to: Talker,
    connections: u64,
    /// Bytes from the one who began.
    sent: u64,
    /// Bytes to it.
    received: u64,
}

/// One who talks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Talker {
    /// `container`, `host` or `outside`.
    kind: &'static str,
    /// The container's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
}

impl From<Party> for Talker {
    fn from(party: Party) -> Self {
        match party {
            Party::Container(container) => Self { kind: "container", name: container.name.to_string() },
            Party::Host => Self { kind: "host", name: String::new() },
            Party::Outside => Self { kind: "outside", name: String::new() },
        }
    }
}

/// A line for each two; those that meet on several networks have one, too. The busiest first.
fn lines(pairs: Vec<Pair>) -> Vec<TalkLine> {
    let mut lines: BTreeMap<(Talker, Talker), TalkLine> = BTreeMap::new();
    for pair in pairs {
        let (from, to) = (Talker::from(pair.source), Talker::from(pair.destination));
        let line = lines.entry((from.clone(), to.clone())).or_insert(TalkLine {
            from,
            to,
            connections: 0,
            sent: 0,
            received: 0,
        });
        line.connections += pair.flows;
        line.sent += pair.sent.bytes;
        line.received += pair.received.bytes;
    }
    let mut lines: Vec<_> = lines.into_values().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.sent + line.received));
    lines
}

/// Takes a sample a second.
pub(super) struct Sampler {
    engine: Engine,
    host: Host,
    overview: Overview,
    talks: Talks,
}

/// Who talked to whom when it was read last.
#[derive(Clone, Default)]
struct Talks {
    lines: Vec<TalkLine>,
    left_out: usize,
    /// When it is read again.
    due: Option<Instant>,
}

impl Talks {
    fn read(&mut self, engine: &Engine) {
        let began = Instant::now();
        if self.due.is_some_and(|due| began < due) {
            return;
        }
        let pairs = engine.pairs().unwrap_or_else(|error| {
            tracing::warn!(error = error.full(), "the page does not tell who talks to whom");
            Vec::new()
        });
        self.lines = lines(pairs);
        self.left_out = self.lines.len().saturating_sub(TALKS);
        self.lines.truncate(TALKS);
        self.due = Some(began + rest(began.elapsed()));
    }
}

/// How long what took so long is not done again.
fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST)
}

impl Sampler {
    pub(super) async fn new(engine: &Engine) -> Self {
        let info = engine.info().await.ok();
        let host = Host {
            name: info.as_ref().map(|info| info.hostname.clone()).unwrap_or_default(),
            version: VERSION,
            cpus: info.as_ref().map_or(1, |info| info.cpus),
            memory: info.as_ref().map_or(0, |info| info.memory),
        };
        Self { engine: engine.clone(), host, overview: engine.overview(), talks: Talks::default() }
    }

    /// The next moment, as an event of a stream.
    pub(super) async fn next(&mut self) -> Bytes {
        let containers = self.overview.next().await;
        let (engine, host, mut talks) = (self.engine.clone(), self.host.clone(), self.talks.clone());
        let read = move || {
            talks.read(&engine);
            (event(&engine, &host, &containers, &talks), talks)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok((event, talks)) => {
                self.talks = talks;
                event
            }
            Err(error) => {
                tracing::error!(%error, "take a sample for the page");
                Bytes::new()
            }
        }
    }
}

fn event(
    engine: &Engine,
    host: &Host,
    containers: &[(std::sync::Arc<ContainerView>, Option<Usage>)],
    talks: &Talks,
) -> Bytes {
    let drops = engine.refused().unwrap_or_else(|error| {
        tracing::warn!(error = error.full(), "the page does not tell what is refused");
        Vec::new()
    });
    let drops = drops.into_iter().filter(|drops| drops.packets > 0);
    let sample = Sample {
        host,
        containers: containers
            .iter()
            .map(|(view, used)| convert::overview::container(view, used.as_ref()))
            .collect(),
        ports: engine.ports().iter().map(convert::network::published_port).collect(),
        drops: drops.map(Drops::from).collect(),
        recent: recent(engine),
        talks: &talks.lines,
        talks_left_out: talks.left_out,
    };
    // Maps with strings for keys, and numbers: nothing that JSON has no form for.
    let json = serde_json::to_string(&sample).unwrap_or_default();
    Bytes::from(format!("data: {json}\n\n"))
}

/// What was refused last.
fn recent(engine: &Engine) -> Vec<Flow> {
    let drops = engine.recent_drops();
    drops.iter().rev().take(RECENT).map(|event| convert::flow::flow(event)).collect()
}

#[cfg(test)]
mod tests {
    use beeline_engine::{ContainerId, FlowContainer, Volume};

    use super::*;

    #[test]
    fn a_line_says_who_began_and_sums_what_two_have_on_all_networks() {
        let on = |network: &str, bytes| {
            let name = "web".parse().unwrap();
            let id = ContainerId::try_from("0".repeat(64)).unwrap();
            let web = Party::Container(FlowContainer { id, name, network: network.into() });
            let volume = |bytes| Volume { bytes, packets: 1 };
            let (sent, received) = (volume(bytes), volume(2 * bytes));
            Pair { source: Party::Outside, destination: web, flows: 1, sent, received }
        };
        let told = serde_json::to_value(lines(vec![on("shop", 5), on("bridge", 1)])).unwrap();
        let expected = serde_json::json!([{
            "From": { "Kind": "outside" }, "To": { "Kind": "container", "Name": "web" },
            "Connections": 2, "Sent": 6, "Received": 12,
        }]);
        assert_eq!(told, expected);
    }

    #[test]
    fn what_takes_long_is_done_seldom() {
        assert_eq!(rest(Duration::from_millis(100)), Duration::from_secs(5));
        assert!(rest(Duration::from_millis(10)) < Duration::from_secs(1), "each second");
    }
}
