//! Commands of ours that get the terminal for a while.

use std::io::{self, BufRead};

use anyhow::{Context, Result};
use tokio::process::Command;

use super::keys::Program;
use crate::client::Client;
use crate::output;

/// How many lines of the log are shown at once.
const TAIL: &str = "200";

/// A shell if there is a better one than sh.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash || exec sh";

/// Runs a command to its end. What it said stays to be read unless the user ended it.
///
/// A process of its own: what it leaves unread of its input, or does to the terminal, ends with it.
pub(super) async fn run(client: &Client, program: Program, container: &str) -> Result<()> {
    let own = std::env::current_exe().context("find the file of this program")?;
    let arguments: &[&str] = match program {
        Program::Logs => &["logs", "--follow", "--tail", TAIL, container],
        Program::Shell => &["exec", "--interactive", "--tty", container, "sh", "-c", SHELL],
        Program::Inspect => &["inspect", container],
    };
    let status = Command::new(own)
        .arg("--host")
        .arg(client.host().to_string())
        .args(arguments)
        .status()
        .await
        .with_context(|| format!("run beeline {}", arguments[0]))?;
    let is_shell_that_ran = program == Program::Shell && !matches!(status.code(), Some(1 | 125..=127));
    // Ended by a signal: Ctrl-C.
    if status.code().is_none() || is_shell_that_ran {
        return Ok(());
    }
    output::bytes(b"\n[Enter goes back to the containers]")?;
    let line = tokio::task::spawn_blocking(|| io::stdin().lock().read_line(&mut String::new()));
    line.await?.context("read the terminal").map(drop)
}
