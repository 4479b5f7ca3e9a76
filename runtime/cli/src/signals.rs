//! Signals to the client are signals to the container.

use anyhow::{Context, Result};
use http::Method;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::client::{Client, path, query};
use crate::terminal;

/// Passes on every signal that would otherwise end the client. Ends when it is dropped.
///
/// # Errors
/// When a handler cannot be installed.
pub(crate) fn proxy(client: &Client, container: &str) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for (kind, name) in [
        (SignalKind::interrupt(), "INT"),
        (SignalKind::terminate(), "TERM"),
        (SignalKind::hangup(), "HUP"),
        (SignalKind::quit(), "QUIT"),
        (SignalKind::user_defined1(), "USR1"),
        (SignalKind::user_defined2(), "USR2"),
    ] {
        let mut stream = signal(kind).with_context(|| format!("handle SIG{name}"))?;
        let client = client.clone();
        let kill = query(&path("/containers/{}/kill", container), &[("signal", name)]);
        tasks.spawn(async move {
            while stream.recv().await.is_some() {
                // A container that has just ended cannot be signalled; its exit code follows.
                let _ = client.call(Method::POST, &kill).await;
            }
        });
    }
    Ok(tasks)
}

/// Keeps a terminal as large as the user's, by posting to `resize`. Ends when it is dropped.
///
/// # Errors
/// When the handler cannot be installed.
pub(crate) fn follow_size(client: &Client, resize: String) -> Result<JoinSet<()>> {
    let mut changed = signal(SignalKind::window_change()).context("handle SIGWINCH")?;
    let client = client.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            if let Some((columns, rows)) = terminal::size() {
                let size = [("w", &*columns.to_string()), ("h", &*rows.to_string())];
                // What has just ended has no terminal.
                let _ = client.call(Method::POST, &query(&resize, &size)).await;
            }
            if changed.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(tasks)
}
