//! Clients at a container's input and output.

use beeline_spawn::protocol::{Attach, Request};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::Actor;
use crate::attach::AttachOptions;
use crate::container::shim;
use crate::container::status::ContainerState;
use crate::error::Error;

impl Actor {
    /// Connects a client; one that is early is connected right before the start.
    pub(super) async fn attach(
        &mut self,
        options: AttachOptions,
    ) -> Result<oneshot::Receiver<UnixStream>, Error> {
        match self.state() {
            ContainerState::Removing | ContainerState::Dead => {
                return Err(Error::Conflict(format!("container {} is being removed", self.record.id)));
            }
            ContainerState::Paused => {
                return Err(Error::Conflict(format!(
                    "container {} is paused, unpause the container before attach",
                    self.record.id
                )));
            }
            ContainerState::Restarting => {
                return Err(Error::Conflict(format!(
                    "container {} is restarting, wait until the container is running",
                    self.record.id
                )));
            }
            _ => {}
        }
        self.event("attach", []);
        let (sender, stream) = oneshot::channel();
        if self.state().is_running() {
            self.connect_client(options, sender).await;
        } else {
            // Clients that gave up waiting make room.
            self.waiting.retain(|(_, client)| !client.is_closed());
            self.waiting.push((options, sender));
        }
        Ok(stream)
    }

    /// Connects the clients that came before the start.
    pub(super) async fn attach_waiting(&mut self) {
        for (options, client) in std::mem::take(&mut self.waiting) {
            if !client.is_closed() {
                self.connect_client(options, client).await;
            }
        }
    }

    async fn connect_client(&self, options: AttachOptions, client: oneshot::Sender<UnixStream>) {
        let wanted = Attach { stdin: options.stdin, stdout: options.stdout, stderr: options.stderr };
        match shim::attach(&self.run_dir(), wanted).await {
            // A client that has gone meanwhile closes the stream by dropping it.
            Ok(stream) => drop(client.send(stream)),
            Err(error) => tracing::warn!(container = %self.record.id, %error, "cannot attach"),
        }
    }

    /// Sets the terminal's size.
    pub(super) async fn resize(&mut self, width: u16, height: u16) -> Result<(), Error> {
        let not_running = || Error::Conflict(format!("container {} is not running", self.record.id));
        let link = self.link.as_mut().ok_or_else(not_running)?;
        let resized = link.ask(&Request::Resize { width, height }).await;
        resized.map_err(|error| Error::internal(format!("resize container {}", self.record.id), &error))?;
        self.event("resize", [("height", height.to_string()), ("width", width.to_string())]);
        Ok(())
    }
}
