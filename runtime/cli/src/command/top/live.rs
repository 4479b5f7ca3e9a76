//! The loop of the live screen: keys and figures in, frames out.

use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use http::Method;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::app::{Action, App};
use super::feed::{self, Feed, News};
use super::keys::{self, Effect, Program};
use super::{program, screen};
use crate::client::{Client, path};
use crate::error::Outcome;

/// What waits to be shown.
const QUEUE: usize = 16;

/// What makes the screen another.
enum Change {
    Terminal(Option<io::Result<Event>>),
    News(News),
    Done(String),
    Signal,
}

/// Shows all containers until the user leaves.
pub(super) async fn run(client: &Client, feed: Feed, app: App) -> Outcome {
    let (sender, news) = mpsc::channel(QUEUE);
    let follower = tokio::spawn(feed::follow(client.clone(), feed, sender));
    let (done, outcomes) = mpsc::channel(QUEUE);
    // Ctrl-C in a log is for the log. Handlers, not SIG_IGN, which the log would inherit.
    let handle = |kind| signal(kind).context("handle signals");
    let (interrupt, terminate) = (handle(SignalKind::interrupt())?, handle(SignalKind::terminate())?);
    let terminal = ratatui::try_init().context("take the terminal over")?;
    let live = Live {
        client: client.clone(),
        app,
        terminal,
        keys: EventStream::new(),
        news,
        outcomes,
        done,
        _interrupt: interrupt,
        terminate,
    };
    let ended = live.run().await;
    ratatui::restore();
    follower.abort();
    ended.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}

struct Live {
    client: Client,
    app: App,
    terminal: DefaultTerminal,
    keys: EventStream,
    news: mpsc::Receiver<News>,
    outcomes: mpsc::Receiver<String>,
    done: mpsc::Sender<String>,
    _interrupt: Signal,
    terminate: Signal,
}

impl Live {
    async fn run(mut self) -> Result<()> {
        let style = screen::Style::of_environment();
        loop {
            let app = &self.app;
            self.terminal.draw(|frame| screen::draw(frame, app, style)).context("draw the screen")?;
            let effect = match self.change().await {
                Change::News(news) => {
                    self.app.hear(news);
                    None
                }
                Change::Done(message) => {
                    self.app.message = Some(message);
                    None
                }
                Change::Terminal(Some(Ok(Event::Key(key)))) if key.kind != KeyEventKind::Release => {
                    keys::press(&mut self.app, key)
                }
                // Another size, for one: it is drawn anew.
                Change::Terminal(Some(Ok(_))) => None,
                Change::Terminal(Some(Err(error))) => return Err(error).context("read the terminal"),
                Change::Terminal(None) | Change::Signal => Some(Effect::Quit),
            };
            match effect {
                None => {}
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Ask(action)) => self.ask(action),
                Some(Effect::Run(program, target)) => self.lend(program, &target.id).await?,
            }
        }
    }

    async fn change(&mut self) -> Change {
        tokio::select! {
            event = self.keys.next() => Change::Terminal(event),
            // Neither channel closes: a follower goes on for ever, and one sender is ours.
            Some(news) = self.news.recv() => Change::News(news),
            Some(message) = self.outcomes.recv() => Change::Done(message),
            _ = self.terminate.recv() => Change::Signal,
        }
    }

    /// Asks the daemon in the background: a stop takes as long as the container takes to stop.
    fn ask(&mut self, action: Action) {
        let Action { verb, container } = action;
        self.app.message = Some(format!("{} {} ...", verb.name(), container.name));
        let (client, done) = (self.client.clone(), self.done.clone());
        tokio::spawn(async move {
            let route = path(&format!("/containers/{{}}/{}", verb.name()), &container.id);
            let message = match client.call(Method::POST, &route).await {
                Ok(()) => format!("{} {}: done", verb.name(), container.name),
                Err(error) => format!("{} {}: {:#}", verb.name(), container.name, anyhow::Error::from(error)),
            };
            // Whoever asked may have left.
            let _ = done.send(message).await;
        });
    }

    /// Lends the terminal to a command of ours, and takes it back. Figures are taken in meanwhile.
    async fn lend(&mut self, program: Program, container: &str) -> Result<()> {
        // Whoever reads keys here must not take the command's.
        self.keys = EventStream::new();
        ratatui::try_restore().context("give the terminal back")?;
        let command = program::run(&self.client, program, container);
        tokio::pin!(command);
        let ended = loop {
            tokio::select! {
                ended = &mut command => break ended,
                Some(news) = self.news.recv() => self.app.hear(news),
            }
        };
        self.terminal = ratatui::try_init().context("take the terminal over")?;
        self.app.message = ended.err().map(|error| format!("{error:#}"));
        Ok(())
    }
}
