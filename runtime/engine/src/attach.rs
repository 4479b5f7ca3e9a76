//! A client's connection to a container's input and output.

use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachOptions {
    /// Feed the container's standard input.
    pub stdin: bool,
    /// Receive standard output.
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
}

/// An accepted attach request. To a container that has not started the connection is made right before its start, so
/// that no output is missed.
#[derive(Debug)]
pub struct Attachment {
    /// Whether the output is a terminal's: raw bytes instead of Docker's frames.
    pub tty: bool,
    pub(crate) stream: oneshot::Receiver<UnixStream>,
}

impl Attachment {
    /// Waits for the connection. What is read from it is the container's output, in frames unless it has a
    /// terminal; what is written, its input; shutting the writing side down ends the input. `None` if the container
    /// was removed or could not be started.
    pub async fn connected(self) -> Option<UnixStream> {
        self.stream.await.ok()
    }
}
