//! Handing a seccomp filter's questions to its supervisor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use oci_spec::runtime::LinuxSeccomp;
use rustix::io::{IoSlice, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Pid;
use serde::Serialize;
use serde_json::json;

use super::{Error, VERSION};

/// Sends the descriptor at which a process' filter asks, with the process' and the container's state.
pub(crate) fn send(
    profile: &LinuxSeccomp,
    listener: &OwnedFd,
    pid: Pid,
    state: &impl Serialize,
) -> Result<(), Error> {
    let path = profile.listener_path().clone().unwrap_or_default();
    let mut message = json!({
        "ociVersion": VERSION,
        "fds": ["seccompFd"],
        "pid": pid.as_raw_nonzero().get(),
        "state": state,
    });
    if let (Some(metadata), Some(object)) = (profile.listener_metadata(), message.as_object_mut()) {
        object.insert("metadata".to_owned(), json!(metadata));
    }
    let sent = UnixStream::connect(&path)
        .and_then(|socket| send_with(&socket, message.to_string().as_bytes(), listener.as_fd()));
    sent.map_err(|error| Error::io("send the seccomp filter's descriptor to", &path, error))
}

/// Sends bytes and a descriptor.
pub(super) fn send_with(socket: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
