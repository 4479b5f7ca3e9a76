//! Route netlink, synchronously: each caller has a socket of its own, so that nothing waits for another's request.
//!
//! The kernel answers within the call that sends. A change of devices waits for the lock of all networking (RTNL) there,
//! possibly for milliseconds, which is why none of this may run on a thread of the asynchronous runtime.

mod link;
mod query;
mod route;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};
use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

pub(crate) use link::VethPair;
pub(crate) use query::{HostAddress, HostLink, HostRoute};

use crate::Error;

/// What to do with an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    /// Fail.
    Refuse,
    /// Put the new one in its place.
    Replace,
}

impl Existing {
    fn flags(self) -> u16 {
        match self {
            Self::Refuse => NLM_F_CREATE | NLM_F_EXCL,
            Self::Replace => NLM_F_CREATE | NLM_F_REPLACE,
        }
    }
}

/// A connection to the kernel for the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: std::cell::Cell<u32>,
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink").finish_non_exhaustive()
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Netlink {
    /// The longest the kernel may take to answer. It answers at once; this keeps a fault from hanging a caller.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Opens a socket in the network namespace of this thread.
    pub(crate) fn open() -> Result<Self, Error> {
        let failed = |source| Error::Netlink { operation: "open", object: "a netlink socket".into(), source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        let patience = TimeVal::new(Self::PATIENCE.as_secs().cast_signed(), 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience).map_err(|errno| failed(errno.into()))?;
        Ok(Self { socket, sequence: std::cell::Cell::new(0) })
    }

    /// Sends a change and waits for its acknowledgement.
    fn change(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_ACK | flags, |_| {})
    }

    /// Sends a request for one object.
    fn get<T>(
        &self,
        message: RouteNetlinkMessage,
        mut read: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut found = None;
        self.exchange(message, NLM_F_ACK, |message| {
            if found.is_none() {
                found = read(message);
            }
        })?;
        Ok(found)
    }

    /// Asks for all objects of a kind.
    fn dump<T>(
        &self,
        message: RouteNetlinkMessage,
        mut read: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut found = Vec::new();
        self.exchange(message, NLM_F_DUMP, |message| found.extend(read(message)))?;
        Ok(found)
    }

    /// Sends one request and reads its answers up to the one that says it is done.
    fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            if read_answer(&answer, sequence, &mut each)? {
                return Ok(());
            }
        }
    }
}

/// Reads one datagram of answers; tells whether the request is done.
fn read_answer(answer: &[u8], sequence: u32, each: &mut impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
    let mut rest = answer;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
        let length = (message.header.length as usize).next_multiple_of(4).max(4);
        rest = rest.get(length..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            // An answer to a request that was given up.
            continue;
        }
        match message.payload {
            NetlinkPayload::Done(done) if done.code == 0 => return Ok(true),
            NetlinkPayload::Done(done) => return Err(io::Error::from_raw_os_error(done.code.abs())),
            NetlinkPayload::Error(error) if error.code.is_none() => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(inner) => each(inner),
            _ => {}
        }
    }
    Ok(false)
}

/// Names the operation and the object of a failed request.
fn failed(operation: &'static str, object: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let object = object.into();
    move |source| Error::Netlink { operation, object, source }
}

/// Whether the kernel says that there is no such object.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL))
}
