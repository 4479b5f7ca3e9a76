//! `beeline top`: all containers live on the screen, or one container's processes.

mod app;
mod column;
mod feed;
mod keys;
mod live;
mod meter;
mod processes;
mod program;
mod screen;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use self::app::App;
use self::column::Column;
use self::feed::Feed;
use crate::client::Client;
use crate::error::Outcome;
use crate::output;

/// Flags of `beeline top`. They must not be options of ps.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print one table and end, as is done where standard output is no terminal
    #[arg(long, conflicts_with = "container")]
    once: bool,
    /// Also containers that do not run
    #[arg(long, conflicts_with = "container")]
    all: bool,
    /// The column to sort by
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "cpu", conflicts_with = "container")]
    sort_by: Column,
    /// Only containers with this in their name, image or state
    #[arg(long, value_name = "TEXT", conflicts_with = "container")]
    filter: Option<String>,
    /// List this container's processes instead: its name or id
    container: Option<String>,
    /// Options of ps, such as -o pid,comm [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

impl Top {
    pub(crate) async fn run(self, client: &Client) -> Outcome {
        if let Some(container) = &self.container {
            return processes::list(client, container, &self.options).await;
        }
        let mut feed = Feed::open(client).await?;
        let mut app = App::new(self.sort_by, self.all, self.filter.unwrap_or_default());
        if !self.once && std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            return live::run(client, feed, app).await;
        }
        // The second moment is the first that can be compared with one before.
        for _ in 0..2 {
            app.update(feed.next().await?);
        }
        output::bytes(output::aligned(&app.rows()).as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
