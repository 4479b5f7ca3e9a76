//! Further processes in containers that run ("exec").
//!
//! An exec is created, then started once, and forgotten some time after its end. Its container's shim runs it: it goes
//! on when this daemon is gone, and the next one finds it by its file in the container's run directory.

mod adopt;
mod process;
mod registry;
mod text;

use std::future::Future;

use beeline_spawn::protocol::{Exec as Wanted, Request};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::container::view::ContainerView;
use crate::engine::Engine;
use crate::error::Error;
use crate::identity::ContainerId;

pub(crate) use adopt::adopt;
pub(crate) use process::{Started, created, died, exit_of, forget_file, start};
pub(crate) use registry::Execs;
use registry::{Entry, Progress};

/// What is to be executed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecConfig {
    /// The command and its arguments.
    pub cmd: Vec<String>,
    /// `KEY=value`, beside the container's own; a bare `KEY` removes one.
    pub env: Vec<String>,
    /// The working directory; the container's if empty.
    pub working_dir: String,
    /// `user[:group]`; the container's if empty.
    pub user: String,
    /// Standard streams are a terminal.
    pub tty: bool,
    /// Every capability.
    pub privileged: bool,
    /// Attach to standard input.
    pub stdin: bool,
    /// Attach to standard output.
    pub stdout: bool,
    /// Attach to standard error.
    pub stderr: bool,
    /// The keys that detach a client, as bytes.
    pub detach_keys: Vec<u8>,
    /// Rows and columns of the terminal at start.
    pub console_size: Option<(u16, u16)>,
}

/// Where in its life an exec is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecState {
    /// It was not started.
    Created,
    /// It is being started.
    Starting,
    /// Its process runs.
    Running,
    /// It has ended, or could not be started; with an exit code.
    Ended(i64),
}

/// An exec at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecView {
    /// The id, 64 hexadecimal digits.
    pub id: String,
    /// The container it runs in.
    pub container: ContainerId,
    /// What was asked for.
    pub config: ExecConfig,
    /// Where in its life it is.
    pub state: ExecState,
    /// Its process id on the host; 0 before it runs.
    pub pid: u32,
}

/// A started exec's streams.
#[derive(Debug)]
pub struct ExecStream {
    /// As after an attach: what is read is output, in frames without a terminal; what is written is input.
    pub stream: UnixStream,
    /// Whether the output is a terminal's.
    pub tty: bool,
    ended: tokio::sync::watch::Receiver<Progress>,
}

impl ExecStream {
    /// The streams, and a wait until the exec's end can be seen by everyone: whoever has read the last of the output may
    /// ask for the exit code.
    pub fn into_parts(self) -> (UnixStream, impl Future<Output = ()> + Send + 'static) {
        let mut ended = self.ended;
        let settled = async move {
            // The sender goes only with an exec that is forgotten.
            let _ = ended.wait_for(|progress| matches!(progress.state, ExecState::Ended(_))).await;
        };
        (self.stream, settled)
    }
}

/// Execs. An `id` is an exec's whole id.
impl Engine {
    /// Creates an exec in a container that runs; the answer is its id.
    ///
    /// # Errors
    /// There is no such container, it does not run, or there is no command.
    pub fn exec_create(&self, reference: &str, config: ExecConfig) -> Result<String, Error> {
        let view = self.inspect(reference)?;
        check(&view)?;
        if config.cmd.is_empty() {
            return Err(Error::Invalid("No exec command specified".into()));
        }
        let id = ContainerId::random()?.to_string();
        created(&self.shared, &view, &config, &id);
        self.shared.execs.insert(Entry::new(id.clone(), view.id.clone(), config));
        Ok(id)
    }

    /// Starts an exec: its command is executed when this returns.
    ///
    /// # Errors
    /// There is no such exec, it was started before, its container does not run, or its command cannot be executed.
    pub async fn exec_start(&self, id: &str, console_size: Option<(u16, u16)>) -> Result<ExecStream, Error> {
        let entry = self.shared.execs.find(id)?;
        let view = self.inspect(entry.container.as_str())?;
        check(&view)?;
        entry.begin()?;
        let mut config = entry.config.clone();
        config.console_size = console_size.or(config.console_size);
        let wanted = Wanted {
            id: id.to_owned(),
            stdin: config.stdin,
            stdout: config.stdout,
            stderr: config.stderr,
            ..Wanted::default()
        };
        match start(&self.shared, &view, &config, wanted).await {
            Ok(Started { stream, pid }) => {
                let ended = entry.subscribe();
                entry.set(ExecState::Running, pid);
                tokio::spawn(process::follow(self.shared.clone(), view, entry, pid));
                Ok(ExecStream { stream, tty: config.tty, ended })
            }
            Err(error) => {
                let code = if let Error::Start { code, .. } = &error { *code } else { text::NOT_EXECUTED };
                entry.set(ExecState::Ended(code.into()), 0);
                tokio::spawn(registry::forget_later(self.shared.clone(), id.to_owned()));
                Err(error)
            }
        }
    }

    /// An exec as it is now.
    ///
    /// # Errors
    /// There is no such exec, or no longer.
    pub fn exec_inspect(&self, id: &str) -> Result<ExecView, Error> {
        self.shared.execs.find(id).map(|entry| entry.view())
    }

    /// A container's execs that have not ended.
    #[must_use]
    pub fn exec_ids(&self, container: &ContainerId) -> Vec<String> {
        self.shared.execs.of(container)
    }

    /// Sets the size of an exec's terminal, in columns and rows.
    ///
    /// # Errors
    /// There is no such exec, it does not run, or has no terminal.
    pub async fn exec_resize(&self, id: &str, width: u16, height: u16) -> Result<(), Error> {
        let entry = self.shared.execs.find(id)?;
        if entry.view().state != ExecState::Running {
            return Err(Error::Conflict(format!("exec {id} is not running")));
        }
        let request = Request::ExecResize { id: id.to_owned(), width, height };
        let asked = crate::container::shim::ask(&self.shared.run_dir(&entry.container), &request).await;
        asked.map(drop).map_err(|error| Error::internal(format!("resize exec {id}"), &error))
    }

    /// Tells listeners that a client has left an exec by its detach keys.
    pub fn exec_detached(&self, id: &str) {
        let Ok(entry) = self.shared.execs.find(id) else { return };
        if let Ok(view) = self.inspect(entry.container.as_str()) {
            process::event(&self.shared, &view, "exec_detach", id, None);
        }
    }
}

/// Whether something can be executed in the container now.
fn check(view: &ContainerView) -> Result<(), Error> {
    match view.status.state.as_str() {
        "running" => Ok(()),
        "paused" => Err(Error::Conflict(format!(
            "Container {} is paused, unpause the container before exec",
            view.id
        ))),
        "restarting" => Err(Error::Conflict(format!(
            "Container {} is restarting, wait until the container is running",
            view.id
        ))),
        _ => Err(Error::Conflict(format!("container {} is not running", view.id))),
    }
}
