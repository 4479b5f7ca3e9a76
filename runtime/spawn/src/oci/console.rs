//! Handing a terminal to whoever asked for it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Error;
use super::listener::send_with;

/// What runc says with the descriptor: the name by which it opened it.
const NAME: &[u8] = b"/dev/ptmx";

/// Connects to a console socket, before there is anything to send.
pub(super) fn connect(path: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(path).map_err(|error| Error::io("connect to the console socket", path, error))
}

/// Sends the terminal's other end.
pub(super) fn send(socket: &UnixStream, terminal: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    send_with(socket, NAME, terminal).map_err(|error| Error::io("send the terminal to", path, error))
}

/// The caller's own standard streams, for a container.
pub(super) fn own_streams() -> io::Result<[OwnedFd; 3]> {
    Ok([
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
        io::stderr().as_fd().try_clone_to_owned()?,
    ])
}
