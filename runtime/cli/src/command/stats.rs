//! `beeline stats`: one reader for each container, one table for all.

mod row;
mod template;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use beeline_wire::container::summary::ContainerSummary;
use beeline_wire::stats::ContainerStats;
use clap::Args;
use futures_util::future::join_all;
use http::Method;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::row::Row;
use self::template::Format;
use crate::client::{self, Client, path, query};
use crate::error::Outcome;
use crate::output;

/// How often the table is drawn, and containers that came and went are looked for.
const REFRESH: Duration = Duration::from_secs(1);
/// Samples that wait to be shown.
const QUEUE: usize = 256;

/// Flags of `beeline stats`.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Print one table and end
    #[arg(long)]
    no_stream: bool,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// How to print: table, json, or a template such as 'table {{.Name}}\t{{.CPUPerc}}'
    #[arg(long, default_value = "table")]
    format: Format,
    /// Names or ids; every running container if none is given
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Stats {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        if self.no_stream {
            let names = self.names(client).await?;
            let requests = names.iter().map(|name| once(client, name));
            let stats = join_all(requests).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            let rows: Vec<Row> = stats.iter().map(|stats| Row::new(stats, self.no_trunc)).collect();
            output::bytes(self.format.render(&rows).as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        self.watch(client).await
    }

    /// The containers asked for, else those there are.
    async fn names(&self, client: &Client) -> anyhow::Result<Vec<String>> {
        if !self.containers.is_empty() {
            return Ok(self.containers.clone());
        }
        let all = if self.all { "1" } else { "0" };
        let listed: Vec<ContainerSummary> = client.get(&query("/containers/json", &[("all", all)])).await?;
        Ok(listed.into_iter().map(|container| container.id).collect())
    }

    /// Draws the table until the user has seen enough, or a container that was named is gone.
    async fn watch(&self, client: &Client) -> Outcome {
        let (sender, mut samples) = mpsc::channel(QUEUE);
        let mut readers: HashMap<String, AbortHandle> = HashMap::new();
        let mut latest: HashMap<String, ContainerStats> = HashMap::new();
        let mut ticks = tokio::time::interval(REFRESH);
        let mut is_first = true;
        loop {
            ticks.tick().await;
            let names = self.names(client).await?;
            readers.retain(|name, reader| {
                let stays = names.contains(name);
                if !stays {
                    reader.abort();
                    latest.remove(name);
                }
                stays
            });
            for name in &names {
                if !readers.contains_key(name) {
                    let reader = tokio::spawn(read(client.clone(), name.clone(), sender.clone()));
                    readers.insert(name.clone(), reader.abort_handle());
                }
            }
            while let Ok((name, stats)) = samples.try_recv() {
                if let Some(stats) = stats? {
                    latest.insert(name, stats);
                } else if self.containers.contains(&name) {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            let shown = names.iter().filter_map(|name| latest.get(name));
            let rows: Vec<Row> = shown.map(|stats| Row::new(stats, self.no_trunc)).collect();
            self.draw(&rows, is_first)?;
            is_first = false;
        }
    }

    /// A terminal's screen is drawn over; anything else gets one table after the other.
    fn draw(&self, rows: &[Row], is_first: bool) -> anyhow::Result<()> {
        let text = self.format.render(rows);
        if !std::io::stdout().is_terminal() {
            return output::bytes(text.as_bytes());
        }
        let clear = if is_first { "\x1b[2J" } else { "" };
        // Each line clears what was to its right, the last one what was below.
        let lines = text.replace('\n', "\x1b[K\n");
        output::bytes(format!("{clear}\x1b[H{lines}\x1b[J").as_bytes())
    }
}

async fn once(client: &Client, name: &str) -> client::Result<ContainerStats> {
    client.get(&query(&path("/containers/{}/stats", name), &[("stream", "0")])).await
}

type Sample = (String, anyhow::Result<Option<ContainerStats>>);

/// Passes a container's samples on; at the end nothing, or why.
async fn read(client: Client, name: String, sender: mpsc::Sender<Sample>) {
    let end = follow(&client, &name, &sender).await.map(|()| None);
    // Whoever listened has gone, then nobody has to know.
    let _ = sender.send((name, end)).await;
}

async fn follow(client: &Client, name: &str, sender: &mpsc::Sender<Sample>) -> anyhow::Result<()> {
    let stats = query(&path("/containers/{}/stats", name), &[("stream", "1")]);
    let response = client.open(Method::GET, &stats).await?;
    let mut lines = client::lines(response);
    while let Some(line) = lines.next_line().await.context("read the figures")? {
        let stats = serde_json::from_str(&line).context("read the figures")?;
        sender.send((name.to_owned(), Ok(Some(stats)))).await?;
    }
    Ok(())
}
