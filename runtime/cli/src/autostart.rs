//! `beeline run` with no daemon: root need not start one first.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use nix::unistd::geteuid;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Error};
use crate::output;

/// How long a daemon may take to answer: it loads programs and installs the embedded image on its first start.
const DEADLINE: Duration = Duration::from_secs(30);

/// Makes sure that a daemon answers. On the default socket, root gets one started in the background.
///
/// # Errors
/// When none answers and none can be started.
pub(crate) async fn ensure(client: &Client) -> Result<()> {
    let ping = || client.call(Method::GET, "/_ping");
    let refusal = match ping().await {
        Err(error @ Error::NotRunning { .. }) => error,
        other => return Ok(other?),
    };
    let Some(socket) = client.host().as_default().filter(|_| geteuid().is_root()) else {
        return Err(refusal.into());
    };
    let log = socket.with_file_name("daemon.log");
    let mut daemon = start(&log)?;
    output::complain(&format!(
        "beeline: no daemon was running; started one in the background (pid {}, log {})",
        daemon.id(),
        log.display()
    ));
    let end = Instant::now() + DEADLINE;
    loop {
        match ping().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= end => {
                return Err(error)
                    .with_context(|| format!("the daemon does not answer; see {}", log.display()));
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        if let Some(status) = daemon.try_wait()? {
            let text = fs::read_to_string(&log).unwrap_or_default();
            bail!("the daemon ended with {status}:\n{}", text.trim_end());
        }
    }
}

/// Starts our own executable as a daemon, apart from this terminal's process group.
fn start(log: &Path) -> Result<std::process::Child> {
    let directory = log.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let exe = env::current_exe().context("find Beeline's own executable")?;
    Command::new(exe)
        .arg("daemon")
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("share the log file")?)
        .stderr(file)
        .current_dir("/")
        .process_group(0)
        .spawn()
        .context("start the daemon")
}
