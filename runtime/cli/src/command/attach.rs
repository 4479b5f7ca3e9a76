//! `beeline attach`: the terminal's streams, joined to a running container's.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use beeline_wire::container::inspect::ContainerInspect;
use beeline_wire::container::wait::WaitResponse;
use clap::Args;
use http::Method;

use crate::attach::{self, Ended, Streams};
use crate::client::{Client, path, query};
use crate::error::Outcome;
use crate::signals;
use crate::terminal::{self, RawMode};

/// Flags of `beeline attach`.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals to the client on to the container
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    sig_proxy: bool,
    /// The keys that leave the container running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS", value_parser = attach::parse_keys)]
    detach_keys: Option<String>,
    /// Its name or id
    container: String,
}

impl Attach {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        let container: ContainerInspect = client.get(&path("/containers/{}/json", &self.container)).await?;
        if !container.state.running {
            return Err(anyhow!("You cannot attach to a stopped container, start it first").into());
        }
        let (id, tty) = (container.id, container.config.tty);
        let stdin = container.config.open_stdin && !self.no_stdin;
        let flag = if stdin { "1" } else { "0" };
        let wanted = [("stream", "1"), ("stdin", flag), ("stdout", "1"), ("stderr", "1")];
        let attached = client.hijack(&query(&path("/containers/{}/attach", &id), &wanted)).await?;
        let wait = client.open(Method::POST, &path("/containers/{}/wait", &id)).await?;

        let raw = (tty && stdin && terminal::is_interactive()).then(RawMode::enter).transpose()?;
        let resize = path("/containers/{}/resize", &id);
        let _size = tty.then(|| signals::follow_size(client, resize)).transpose()?;
        let _signals = (self.sig_proxy && raw.is_none()).then(|| signals::proxy(client, &id)).transpose()?;
        let keys = attach::keys(self.detach_keys.as_deref());
        let ended = attach::shuttle(attached, Streams { stdin, tty }, keys).await;
        drop(raw);
        if ended.context("attached to the container")? == Ended::Detached {
            return Ok(ExitCode::SUCCESS);
        }
        let answer: WaitResponse = client.json(wait).await?;
        Ok(ExitCode::from(u8::try_from(answer.status_code & 0xff).unwrap_or(1)))
    }
}
