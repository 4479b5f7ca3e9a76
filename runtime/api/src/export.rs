//! Flows and the engine's events as JSON lines, to a file or to systemd's journal.

mod file;
mod journal;

use std::io;
use std::path::PathBuf;

use beeline_engine::{Engine, EventStream, FlowStream};
use beeline_wire::{event, flow};
use bytes::Bytes;
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::convert;
use crate::http::reply;
use file::Rotated;
use journal::Journal;

/// How many lines are written together at most.
const BATCH: usize = 256;

/// Where flows and events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// How large it gets, in bytes, before another one is begun.
        max_size: u64,
        /// How many there are at most, those of before with a number at their ends.
        max_files: u32,
    },
    /// systemd's journal.
    Journal,
}

/// An export that can be written to.
#[derive(Debug)]
pub struct Exporter {
    name: String,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    File(Rotated),
    Journal(Journal),
}

impl Sink {
    fn write(&mut self, lines: &[Bytes]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write(&lines.concat()),
            Self::Journal(journal) => lines.iter().try_for_each(|line| journal.send(line)),
        }
    }
}

/// What a line holds: one of the two, under its name.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Flow(&'a flow::Flow),
    Event(&'a event::Event),
}

impl Exporter {
    /// Opens the file, or the journal.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(export: Export) -> io::Result<Self> {
        Ok(match export {
            Export::File { path, max_size, max_files } => {
                let name = path.display().to_string();
                Self { name, sink: Sink::File(Rotated::open(path, max_size, max_files)?) }
            }
            Export::Journal => {
                Self { name: "the journal".to_owned(), sink: Sink::Journal(Journal::open(journal::SOCKET)?) }
            }
        })
    }

    /// Writes what happens until `stop`, and one batch of what waits then, beginning with the events since the engine's start.
    pub async fn run(self, engine: Engine, stop: CancellationToken) {
        let Self { name, mut sink } = self;
        let mut flows = engine.flows();
        let mut events = engine.events(Some(Timestamp::UNIX_EPOCH));
        let mut fails = false;
        while let Some(lines) = batch(&mut flows, &mut events, &stop).await {
            let count = lines.len() as u64;
            let written = tokio::task::spawn_blocking(move || {
                let outcome = sink.write(&lines);
                (sink, outcome)
            });
            let Ok((back, outcome)) = written.await else { return };
            sink = back;
            match outcome {
                Ok(()) if fails => tracing::info!(%name, "flows are exported again"),
                Ok(()) => {}
                Err(_) if fails => flows.lose(count),
                Err(ref error) => {
                    flows.lose(count);
                    tracing::error!(%name, %error, "flows cannot be exported, and are lost until they can");
                }
            }
            fails = outcome.is_err();
            if stop.is_cancelled() {
                return;
            }
        }
    }
}

/// What there is to be written, when there is something; at the end what there is at that moment.
async fn batch(
    flows: &mut FlowStream,
    events: &mut EventStream,
    stop: &CancellationToken,
) -> Option<Vec<Bytes>> {
    let first = tokio::select! {
        biased;
        line = next(flows, events) => line?,
        () = stop.cancelled() => return None,
    };
    let mut lines = vec![first];
    while lines.len() < BATCH
        && let Some(Some(line)) = next(flows, events).now_or_never()
    {
        lines.push(line);
    }
    Some(lines)
}

async fn next(flows: &mut FlowStream, events: &mut EventStream) -> Option<Bytes> {
    Some(tokio::select! {
        flow = flows.next() => reply::line(&Line::Flow(&convert::flow::flow(&*flow?))),
        event = events.next() => reply::line(&Line::Event(&convert::event::event(&*event?))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whether_it_is_a_flow_or_an_event() {
        let flow = flow::Flow { event: "begin".to_owned(), ..flow::Flow::default() };
        let text = reply::line(&Line::Flow(&flow));
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["flow"]["Event"], "begin");
        assert!(text.ends_with(b"\n") && !text[..text.len() - 1].contains(&b'\n'));
    }

    #[test]
    fn what_cannot_be_opened_is_found_out_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("absent/flows.jsonl");
        let failed = Exporter::open(Export::File { path: path.clone(), max_size: 1, max_files: 1 });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::create_dir(directory.path().join("absent")).unwrap();
        Exporter::open(Export::File { path, max_size: 1, max_files: 1 }).unwrap();
    }
}
