//! A request on its way from the daemon to the spawner: one datagram with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::SpawnerError;
use crate::shim::ShimRequest;

/// The largest request in bytes. Some hundreds of image layers fit; the kernel's own limit is about 200 KiB.
pub(super) const MAX_REQUEST: usize = 128 * 1024;

/// A request as it arrives.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) request: Vec<u8>,
    /// The control connection, then the network namespace, if there is one.
    pub(super) fds: Vec<OwnedFd>,
}

pub(super) fn encode(request: &ShimRequest) -> Result<Vec<u8>, SpawnerError> {
    let failed = |source| SpawnerError::Send { id: request.id.clone(), source };
    let message = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    if message.len() > MAX_REQUEST {
        return Err(SpawnerError::TooLarge { id: request.id.clone(), size: message.len() });
    }
    Ok(message)
}

pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    control: BorrowedFd<'_>,
    netns: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut fds = vec![control];
    fds.extend(netns);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    rustix::io::retry_on_intr(|| {
        sendmsg(socket, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Waits for the next request; `None` when the daemon has gone.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Received>> {
    let mut request = vec![0; MAX_REQUEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut request)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    request.truncate(received.bytes);
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(Some(Received { request, fds }))
}
