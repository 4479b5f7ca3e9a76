//! An exec's process: its file, its start by the shim, its end.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beeline_spawn::fault::{self, Point};
use beeline_spawn::protocol::{EXEC_DIR, Event, Exec as Wanted, ExecExit, Request};
use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::registry::{self, Entry};
use super::{ExecConfig, ExecState, text};
use crate::container::plan;
use crate::container::shim::{self, ShimError};
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::shared::Shared;

/// Docker's code for a process that was killed by no one knows whom.
const KILLED: i64 = 137;

/// An exec's file: what its shim reads, and what the next daemon has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) config: ExecConfig,
    #[serde(default)]
    pub(super) pid: u32,
    /// What the shim executes; left out when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    /// More groups of its user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
}

/// A process that executes its command.
pub(crate) struct Started {
    pub(crate) stream: UnixStream,
    pub(crate) pid: u32,
}

/// Has the container's shim execute what `config` says.
pub(crate) async fn start(
    shared: &Shared,
    view: &ContainerView,
    config: &ExecConfig,
    wanted: Wanted,
) -> Result<Started, Error> {
    let process = plan::exec(view, config)?;
    let run_dir = shared.run_dir(&view.id);
    let id = wanted.id.clone();
    let path = file(&run_dir, &id);
    event(shared, view, &action("exec_start", config), &id, None);
    crate::error::fault(Point::ExecFile)?;
    let groups = view.config.host.group_add.clone();
    write(&path, Record { config: config.clone(), pid: 0, process: Some(process), groups }).await?;
    let asked = match fault::fail(Point::ExecAsk) {
        Ok(()) => shim::open(&run_dir, &Request::Exec(wanted)).await,
        Err(error) => Err(error.into()),
    };
    match asked {
        Ok((stream, Event::ExecStarted { pid })) => {
            fault::pass(Point::ExecStarted);
            Ok(Started { stream, pid })
        }
        answer => {
            forget_file(&run_dir, &id).await;
            Err(match answer {
                Err(error) if !error.is_gone() => text::error(config, &error),
                // It has ended since it was looked at.
                _ => Error::Conflict(format!("container {} is not running", view.id)),
            })
        }
    }
}

/// How the exec's process ended, when it has.
pub(crate) async fn exit_of(run_dir: &Path, id: &str) -> Result<ExecExit, ShimError> {
    match shim::ask(run_dir, &Request::ExecWait { id: id.to_owned() }).await? {
        Event::ExecExited(exit) => Ok(exit),
        _ => Err(ShimError::Gone),
    }
}

/// Waits for the end of a process that runs, and tells of it.
pub(super) async fn follow(shared: Arc<Shared>, view: Arc<ContainerView>, entry: Arc<Entry>, pid: u32) {
    let run_dir = shared.run_dir(&view.id);
    let record = Record { config: entry.config.clone(), pid, process: None, groups: Vec::new() };
    if let Err(error) = write(&file(&run_dir, &entry.id), record).await {
        tracing::debug!(
            exec = entry.id,
            error = error.full(),
            "the next daemon will not know the exec's pid"
        );
    }
    await_end(shared, view, entry, pid).await;
}

/// The same, when the file is as it shall be.
pub(super) async fn await_end(shared: Arc<Shared>, view: Arc<ContainerView>, entry: Arc<Entry>, pid: u32) {
    let run_dir = shared.run_dir(&view.id);
    // A shim that is gone took its container along.
    let exit = exit_of(&run_dir, &entry.id).await;
    fault::pass(Point::ExecEnded);
    let code = exit.map_or(KILLED, |exit| exit.exit.code.into());
    entry.set(ExecState::Ended(code), pid);
    died(&shared, &view, &entry.id, code);
    forget_file(&run_dir, &entry.id).await;
    let id = entry.id.clone();
    drop((view, entry));
    registry::forget_later(shared, id).await;
}

/// Removes an exec's file, if it is there.
pub(crate) async fn forget_file(run_dir: &Path, id: &str) {
    let path = file(run_dir, id);
    if let Err(error) = tokio::fs::remove_file(&path).await
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove an exec's file");
    }
}

async fn write(path: &Path, record: Record) -> Result<(), Error> {
    let failed = |source| Error::File { operation: "write", path: path.to_owned(), source };
    let text = serde_json::to_vec(&record).map_err(|source| failed(source.into()))?;
    let path_of_task = path.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        match std::fs::write(&path_of_task, &text) {
            // The first of its container. The run directory itself is not made again: it goes with the container.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let directory = path_of_task.parent().unwrap_or(Path::new("/"));
                std::fs::create_dir(directory).or_else(|error| match error.kind() {
                    ErrorKind::AlreadyExists => Ok(()),
                    _ => Err(error),
                })?;
                std::fs::write(&path_of_task, &text)
            }
            written => written,
        }
    });
    written.await.map_err(|error| Error::internal("write an exec's file", &error))?.map_err(failed)
}

fn file(run_dir: &Path, id: &str) -> PathBuf {
    run_dir.join(EXEC_DIR).join(format!("{id}.json"))
}

/// Tells listeners of a new exec.
pub(crate) fn created(shared: &Shared, view: &ContainerView, config: &ExecConfig, id: &str) {
    event(shared, view, &action("exec_create", config), id, None);
}

/// Tells listeners of an exec's end.
pub(crate) fn died(shared: &Shared, view: &ContainerView, id: &str, code: i64) {
    event(shared, view, "exec_die", id, Some(code));
}

/// `exec_start: ls -l`, as Docker's events say it.
fn action(what: &str, config: &ExecConfig) -> String {
    format!("{what}: {}", config.cmd.join(" "))
}

/// Tells listeners what happened to an exec.
pub(super) fn event(shared: &Shared, view: &ContainerView, action: &str, id: &str, code: Option<i64>) {
    let mut more = vec![("execID".to_owned(), id.to_owned())];
    more.extend(code.map(|code| ("exitCode".to_owned(), code.to_string())));
    shared.container_event(action, &view.id, &view.name, &view.config, more);
}
