//! The engine: the one entry to the domain.

mod figures;
mod files;
mod flows;
mod images;
mod networks;
mod open;
mod queries;
mod reconcile;
mod refused;
mod shutdown;
mod volumes;

pub use refused::Refused;

use std::sync::Arc;
use std::time::Instant;

use beeline_metrics::Recorder;
use jiff::Timestamp;

use crate::attach::{AttachOptions, Attachment};
use crate::container::config::{CreateContainer, HostConfig};
use crate::container::create;
use crate::container::handle::{Command, StopRequest};
use crate::container::signal;
use crate::container::view::Created;
use crate::error::{Error, Kind};
use crate::event::EventStream;
use crate::logs::{self, LogQuery, LogStream};
use crate::settings::EngineConfig;
use crate::shared::Shared;
use crate::wait::{WaitCondition, WaitHandle};

/// A running engine; clones are the same one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    _lock: Arc<open::Lock>,
}

/// Containers. A `reference` is an id, a name with or without a leading slash, or an unambiguous beginning of an id.
impl Engine {
    /// Opens the engine: takes its directories, loads or adopts the datapath, adopts the containers that run, and
    /// removes what earlier daemons left.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] without root, [`Kind::Unavailable`] when another daemon uses the directories, else what
    /// the machine cannot do.
    pub async fn open(config: EngineConfig) -> Result<Self, Error> {
        open::open(config).await
    }

    /// Creates a container.
    ///
    /// # Errors
    /// The request is wrong, its image is unknown, or its name is taken.
    pub async fn create(&self, request: CreateContainer) -> Result<Created, Error> {
        self.timed("create", create::create(&self.shared, request)).await
    }

    /// Starts a container, and returns when its command is executed.
    ///
    /// # Errors
    /// [`Kind::NotModified`] if it runs; what failed otherwise, with nothing left of the attempt.
    pub async fn start(&self, reference: &str) -> Result<(), Error> {
        let handle = self.shared.directory.find(reference)?;
        self.timed("start", handle.ask(|reply| Command::Start { again: false, reply })).await
    }

    /// Stops a container: `signal` (its own if not given), and SIGKILL after `timeout` seconds (its own if not given,
    /// never if negative). Returns when it has exited.
    ///
    /// # Errors
    /// [`Kind::NotModified`] if it does not run.
    pub async fn stop(
        &self,
        reference: &str,
        signal: Option<String>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        self.stop_with(reference, signal, timeout, false).await
    }

    /// Stops a container if it runs, and starts it.
    ///
    /// # Errors
    /// What [`Engine::stop`] and [`Engine::start`] report.
    pub async fn restart(
        &self,
        reference: &str,
        signal: Option<String>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        match self.stop_with(reference, signal, timeout, true).await {
            Err(error) if error.kind() != Kind::NotModified => return Err(error),
            _ => {}
        }
        self.shared.directory.find(reference)?.ask(|reply| Command::Start { again: true, reply }).await
    }

    async fn stop_with(
        &self,
        reference: &str,
        signal: Option<String>,
        timeout: Option<i64>,
        keep: bool,
    ) -> Result<(), Error> {
        let signal =
            signal.filter(|signal| !signal.is_empty()).map(|signal| signal::parse(&signal)).transpose()?;
        let request = StopRequest { signal, timeout, keep };
        let handle = self.shared.directory.find(reference)?;
        self.timed("stop", handle.ask(|reply| Command::Stop { request, reply })).await
    }

    /// Sends a signal, by name or number, to a container's init: SIGKILL if empty. After SIGKILL, returns when the
    /// container has exited.
    ///
    /// # Errors
    /// There is no such signal; [`Kind::Conflict`] if the container does not run.
    pub async fn kill(&self, reference: &str, signal: &str) -> Result<(), Error> {
        let signal = signal::parse(if signal.is_empty() { "KILL" } else { signal })?;
        self.shared.directory.find(reference)?.ask(|reply| Command::Kill { signal, reply }).await
    }

    /// Stops every process of a container where it is.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it does not run, or is paused already.
    pub async fn pause(&self, reference: &str) -> Result<(), Error> {
        self.shared.directory.find(reference)?.ask(|reply| Command::Pause { reply }).await
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is not paused.
    pub async fn unpause(&self, reference: &str) -> Result<(), Error> {
        self.shared.directory.find(reference)?.ask(|reply| Command::Unpause { reply }).await
    }

    /// Removes a container; with `force` also one that runs, with `volumes` its volumes that nobody gave a name and no
    /// other container has.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it runs and `force` is not given.
    pub async fn remove(&self, reference: &str, force: bool, volumes: bool) -> Result<(), Error> {
        let handle = self.shared.directory.find(reference)?;
        self.timed("delete", handle.ask(|reply| Command::Remove { force, volumes, reply })).await
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// The name is invalid, or taken.
    pub async fn rename(&self, reference: &str, name: &str) -> Result<(), Error> {
        let handle = self.shared.directory.find(reference)?;
        if name.is_empty() {
            return Err(Error::Invalid("Neither old nor new names may be empty".into()));
        }
        let name = name.parse()?;
        handle.ask(|reply| Command::Rename { name, reply }).await
    }

    /// Changes a container's limits and restart policy; what is zero or empty in `wanted` stays as it is. Answers with what
    /// is accepted but will not be done.
    ///
    /// # Errors
    /// A value makes no sense, or conflicts with what the container has.
    pub async fn update(&self, reference: &str, wanted: HostConfig) -> Result<Vec<String>, Error> {
        let handle = self.shared.directory.find(reference)?;
        handle.ask(|reply| Command::Update { wanted: Box::new(wanted), reply }).await
    }

    /// Registers a wait; whatever happens after this call is seen by [`WaitHandle::outcome`].
    ///
    /// # Errors
    /// There is no such container.
    pub fn wait(&self, reference: &str, condition: WaitCondition) -> Result<WaitHandle, Error> {
        let views = self.shared.directory.find(reference)?.views;
        let exits = views.borrow().exits;
        Ok(WaitHandle { views, condition, exits })
    }

    /// Opens a container's log.
    ///
    /// # Errors
    /// No stream is asked for, or the container keeps no log.
    pub async fn logs(&self, reference: &str, query: LogQuery) -> Result<LogStream, Error> {
        logs::open(self.shared.directory.find(reference)?.views, query)
    }

    /// Attaches a client, also before the start: answer it, then wait for [`Attachment::connected`].
    ///
    /// # Errors
    /// The container is being removed.
    pub async fn attach(&self, reference: &str, options: AttachOptions) -> Result<Attachment, Error> {
        let handle = self.shared.directory.find(reference)?;
        let tty = handle.view().config.tty;
        let stream = handle.ask(|reply| Command::Attach { options, reply }).await?;
        Ok(Attachment { tty, stream })
    }

    /// Sets the size of a running container's terminal, in columns and rows.
    ///
    /// # Errors
    /// The container does not run or has no terminal.
    pub async fn resize(&self, reference: &str, width: u16, height: u16) -> Result<(), Error> {
        let handle = self.shared.directory.find(reference)?;
        handle.ask(|reply| Command::Resize { width, height, reply }).await
    }

    /// What counts the daemon's own work.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Records how long an action on a container takes, if it succeeds.
    async fn timed<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let done = work.await?;
        self.shared.recorder.container_action(action, began.elapsed());
        Ok(done)
    }

    /// What all of the engine shares, for its other modules.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What happens from now on, and with `since` what is remembered of the time before.
    #[must_use]
    pub fn events(&self, since: Option<Timestamp>) -> EventStream {
        self.shared.events.subscribe(since)
    }
}
