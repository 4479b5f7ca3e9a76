//! What a runner says to its shim: packets with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::protocol::Failure;

/// The longest packet in bytes; a failure's message is cut to fit.
const LONGEST: usize = 16 * 1024;
/// The longest message of a failure.
const MESSAGE: usize = 2048;

/// A step of the making of an exec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The process exists; its pidfd comes along.
    Cloned { pid: u32 },
    /// The shim's ends of the process' streams come along.
    Streams { stdin: bool, terminal: bool },
    /// The command is executed.
    Started,
    /// There will be no exec.
    Failed(Failure),
}

impl Report {
    pub(super) fn send(mut self, socket: BorrowedFd<'_>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if let Self::Failed(failure) = &mut self {
            let end = failure.message.floor_char_boundary(MESSAGE);
            failure.message.truncate(end);
        }
        let packet = serde_json::to_vec(&self)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("no room for the descriptors"));
        }
        retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&packet)], &mut control, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// The next report and its descriptors; none when the runner has gone.
    pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, Vec<OwnedFd>)>> {
        let mut packet = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        if received.bytes == 0 {
            return Ok(None);
        }
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        let report = serde_json::from_slice(packet.get(..received.bytes).unwrap_or_default())?;
        Ok(Some((report, fds)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::protocol::FailureKind;

    #[test]
    fn reports_arrive_with_their_descriptors_and_long_failures_are_cut() {
        let (shim, runner) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        Report::Streams { stdin: true, terminal: false }
            .send(runner.as_fd(), &[shim.as_fd(), runner.as_fd()])
            .unwrap();
        let message = "ü".repeat(10_000);
        let failure = Failure { kind: FailureKind::Setup, message, errno: None };
        Report::Failed(failure).send(runner.as_fd(), &[]).unwrap();
        drop(runner);
        let (report, fds) = Report::receive(shim.as_fd()).unwrap().unwrap();
        assert_eq!((report, fds.len()), (Report::Streams { stdin: true, terminal: false }, 2));
        drop(fds);
        let (report, _) = Report::receive(shim.as_fd()).unwrap().unwrap();
        assert!(matches!(report, Report::Failed(failure) if failure.message.len() == MESSAGE));
        assert!(Report::receive(shim.as_fd()).unwrap().is_none());
    }
}
