//! The daemon's figures as they come: one request for all containers.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use beeline_wire::overview::ContainerOverview;
use http::Method;
use tokio::sync::mpsc;

use crate::client::{self, Client, Lines};

/// How long after a failure the daemon is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// All containers at one moment.
pub(super) type Moment = Vec<ContainerOverview>;

/// What there is to tell of the daemon.
#[derive(Debug)]
pub(super) enum News {
    /// The next figures.
    Moment(Moment),
    /// It does not answer, and why; it is asked again.
    Lost(String),
}

/// A request that is being answered.
pub(super) struct Feed(Lines);

impl Feed {
    /// Asks the daemon.
    ///
    /// # Errors
    /// It does not answer, or is not Beeline's.
    pub(super) async fn open(client: &Client) -> Result<Self> {
        match client.open(Method::GET, "/beeline/stats").await {
            Ok(response) => Ok(Self(client::lines(response))),
            Err(error) if error.is_not_found() => Err(anyhow!(
                "the daemon at {} has no figures of all containers at once: `top` without a container needs \
                 Beeline's daemon, of this version or a newer one; use `beeline stats`",
                client.host()
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The next figures, about a second after those before.
    ///
    /// # Errors
    /// The daemon ends, or the connection breaks.
    pub(super) async fn next(&mut self) -> Result<Moment> {
        let line = self.0.next_line().await.context("read the figures")?;
        serde_json::from_str(&line.context("the daemon has ended")?).context("read the figures")
    }
}

/// Passes figures on for as long as somebody wants them; asks anew when the daemon has gone.
pub(super) async fn follow(client: Client, feed: Feed, news: mpsc::Sender<News>) {
    let mut feed = Ok(feed);
    loop {
        let moment = match &mut feed {
            Ok(feed) => feed.next().await,
            Err(error) => Err(std::mem::replace(error, anyhow!("the daemon has gone"))),
        };
        let is_lost = moment.is_err();
        let told = moment.map_or_else(|error| News::Lost(format!("{error:#}")), News::Moment);
        if news.send(told).await.is_err() {
            return;
        }
        if is_lost {
            tokio::time::sleep(RETRY).await;
            feed = Feed::open(&client).await;
        }
    }
}
