//! What the page is told each second.

use std::time::{Duration, Instant};

use beeline_engine::{ContainerView, Engine, Overview, Refused, Talk, Talker, Usage};
use beeline_wire::overview::ContainerOverview;
use beeline_wire::ports::PublishedPort;
use bytes::Bytes;
use serde::Serialize;

use crate::VERSION;
use crate::convert;

/// How many lines of who talks to whom are told, the busiest first.
const TALKS: usize = 100;

/// How much longer than it took to read the table of connections it is not read again: a full one takes its time.
const REST: u32 = 50;

/// One moment.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sample<'a> {
    host: &'a Host,
    containers: Vec<ContainerOverview>,
    ports: Vec<PublishedPort>,
    drops: Vec<Drops>,
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

/// Two that have connections.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TalkLine {
    from: Party,
    to: Party,
    protocol: String,
    port: u16,
    connections: u64,
}

/// One who talks.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Party {
    /// `container`, `host` or `outside`.
    kind: &'static str,
    /// The container's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
}

impl From<Talker> for Party {
    fn from(talker: Talker) -> Self {
        match talker {
            Talker::Container(name) => Self { kind: "container", name: name.to_string() },
            Talker::Host => Self { kind: "host", name: String::new() },
            Talker::Outside => Self { kind: "outside", name: String::new() },
        }
    }
}

impl From<Talk> for TalkLine {
    fn from(talk: Talk) -> Self {
        let Talk { from, to, protocol, port, connections } = talk;
        Self { from: from.into(), to: to.into(), protocol, port, connections }
    }
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
        let mut talks = engine.talks().unwrap_or_else(|error| {
            tracing::warn!(error = error.full(), "the page does not tell who talks to whom");
            Vec::new()
        });
        self.left_out = talks.len().saturating_sub(TALKS);
        talks.truncate(TALKS);
        self.lines = talks.into_iter().map(TalkLine::from).collect();
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
        talks: &talks.lines,
        talks_left_out: talks.left_out,
    };
    // Maps with strings for keys, and numbers: nothing that JSON has no form for.
    let json = serde_json::to_string(&sample).unwrap_or_default();
    Bytes::from(format!("data: {json}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_began_and_with_whom() {
        let talk = Talk {
            from: Talker::Outside,
            to: Talker::Container("web".parse().unwrap()),
            protocol: "tcp".into(),
            port: 80,
            connections: 3,
        };
        let line = serde_json::to_value(TalkLine::from(talk)).unwrap();
        let expected = serde_json::json!({
            "From": { "Kind": "outside" }, "To": { "Kind": "container", "Name": "web" },
            "Protocol": "tcp", "Port": 80, "Connections": 3,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn what_takes_long_is_done_seldom() {
        assert_eq!(rest(Duration::from_millis(100)), Duration::from_secs(5));
        assert!(rest(Duration::from_millis(10)) < Duration::from_secs(1), "each second");
    }
}
