//! What parent and child say to each other over their socket, before the command is executed.
//!
//! Packets keep their boundaries (`SOCK_SEQPACKET`). The child's side neither allocates nor panics, and
//! reads and writes plainly: seccomp filters that refuse a program its sockets let it do that.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, IoSlice, IoSliceMut, read, retry_on_intr, write};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde::{Deserialize, Serialize};

use super::Error;
use super::plan::Plan;
use super::step::Op;
use super::user::{Identity, MAX_GROUPS, MAX_HOME};

/// Packets of the child: a kind, a step's number, an error's number, and what the kernel says beyond it.
const BUILT: u8 = 1;
const CREATED: u8 = 2;
const FAILED: u8 = 3;
const NOT_EXECUTED: u8 = 4;
const ROOT_BUILT: u8 = 5;
const LISTENER: u8 = 6;
const HEADER: usize = 9;
/// The most of the kernel's words that is passed on, in bytes.
pub(super) const DETAIL: usize = 200;

/// What the parent says to open the fence.
const START: &[u8] = b"start";

/// What the parent says to a child that waits for something else.
const GO_ON: &[u8] = b"go on";

/// The largest packet of the parent: uid, gid, number of groups, groups, `HOME=` entry.
pub(super) const MAX_IDENTITY: usize = 12 + 4 * MAX_GROUPS + MAX_HOME;

/// The parent's end.
#[derive(Debug)]
pub(super) struct Parent(OwnedFd);

/// A packet of the child and the descriptors it carries.
type Packet = (Vec<u8>, Vec<OwnedFd>);

/// What the child has built.
#[derive(Debug)]
pub(super) struct Built {
    /// The container's root, an `O_PATH` descriptor.
    pub(super) root: OwnedFd,
    pub(super) console: Option<OwnedFd>,
}

/// The two ends. Both are closed on exec, and above the standard streams.
pub(super) fn pair() -> Result<(Parent, OwnedFd), Error> {
    let pair = || {
        let (parent, child) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((above_stdio(parent)?, above_stdio(child)?))
    };
    pair().map(|(parent, child)| (Parent(parent), child)).map_err(Error::Sync)
}

/// The descriptor, or a copy of it that is not 0, 1 or 2.
pub(super) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd as _;
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?) }
}

impl Parent {
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits for the container to be built.
    pub(super) fn built(&self, plan: &Plan) -> Result<Built, Error> {
        let mut descriptors = self.expect(BUILT, plan)?.into_iter();
        match descriptors.next() {
            Some(root) => Ok(Built { root, console: descriptors.next() }),
            None => Err(Error::Sync(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Says who the container's user is.
    pub(super) fn identify(&self, identity: &Identity, plan: &Plan) -> Result<(), Error> {
        let mut packet = Vec::with_capacity(MAX_IDENTITY);
        let count = u32::try_from(identity.groups.len()).unwrap_or(u32::MAX);
        for number in [identity.uid, identity.gid, count].iter().chain(&identity.groups) {
            packet.extend_from_slice(&number.to_ne_bytes());
        }
        packet.extend_from_slice(b"HOME=");
        packet.extend_from_slice(&identity.home);
        packet.push(0);
        self.say(&packet, plan)
    }

    /// Waits for the root to be mounted.
    pub(super) fn built_root(&self, plan: &Plan) -> Result<(), Error> {
        self.expect(ROOT_BUILT, plan).map(drop)
    }

    /// Waits for the filter to be installed, and takes a copy of its descriptor out of the child.
    pub(super) fn listener(&self, child: BorrowedFd<'_>, plan: &Plan) -> Result<OwnedFd, Error> {
        let Some((packet, _)) = self.hear()? else { return Err(Error::Died) };
        let number = match packet.as_slice() {
            &[LISTENER, a, b, c, d, ..] => i32::from_ne_bytes([a, b, c, d]),
            _ => return Err(failure(&packet, &Names::of(plan))),
        };
        let taken = pidfd_getfd(child, number, PidfdGetfdFlags::empty());
        taken.map_err(|error| Error::Sync(error.into()))
    }

    /// Lets a child go on that waits for the parent.
    pub(super) fn go_on(&self, plan: &Plan) -> Result<(), Error> {
        self.say(GO_ON, plan)
    }

    /// Why there is no child.
    pub(super) fn why_not(&self, plan: &Plan) -> Error {
        match self.hear() {
            Ok(Some((packet, _))) => failure(&packet, &Names::of(plan)),
            Ok(None) => Error::Died,
            Err(error) => error,
        }
    }

    /// Waits for the fence.
    pub(super) fn created(&self, plan: &Plan) -> Result<(), Error> {
        self.expect(CREATED, plan).map(drop)
    }

    /// Opens the fence and waits for the command's execution, which closes the socket.
    pub(super) fn start(&self, plan: &Plan) -> Result<(), Error> {
        self.say(START, plan)?;
        match self.hear()? {
            None => Ok(()),
            Some((packet, _)) => Err(failure(&packet, &Names::of(plan))),
        }
    }

    fn say(&self, packet: &[u8], plan: &Plan) -> Result<(), Error> {
        match retry_on_intr(|| send(&self.0, packet, SendFlags::NOSIGNAL)) {
            Ok(_) => Ok(()),
            // The child has failed; it said why before.
            Err(Errno::PIPE | Errno::CONNRESET) => match self.hear()? {
                Some((packet, _)) => Err(failure(&packet, &Names::of(plan))),
                None => Err(Error::Died),
            },
            Err(error) => Err(Error::Sync(error.into())),
        }
    }

    fn expect(&self, kind: u8, plan: &Plan) -> Result<Vec<OwnedFd>, Error> {
        match self.hear()? {
            Some((packet, descriptors)) if packet.first() == Some(&kind) => Ok(descriptors),
            Some((packet, _)) => Err(failure(&packet, &Names::of(plan))),
            None => Err(Error::Died),
        }
    }

    /// The child's next packet; none when it has closed its end.
    fn hear(&self) -> Result<Option<Packet>, Error> {
        let mut packet = vec![0; HEADER + DETAIL];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut packet)], &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let bytes = match received {
            Ok(received) => received.bytes,
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(Error::Sync(error.into())),
        };
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        packet.truncate(bytes);
        Ok((bytes > 0).then_some((packet, descriptors)))
    }
}

/// What a child's failure is called: by its number alone, nobody but the parent would know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Names {
    command: String,
    /// The steps from the fence on, and the first one's number.
    first: usize,
    steps: Vec<String>,
}

impl Names {
    /// All of a plan's.
    fn of(plan: &Plan) -> Self {
        let steps = plan.steps.iter().map(|step| step.what.clone()).collect();
        Self { command: plan.command.name.clone(), first: 0, steps }
    }

    /// Those from the fence on.
    pub(super) fn after_fence(plan: &Plan) -> Self {
        let fence = plan.steps.iter().rposition(|step| matches!(step.op, Op::LastingFence)).unwrap_or(0);
        let steps = plan.steps.iter().skip(fence).map(|step| step.what.clone()).collect();
        Self { command: plan.command.name.clone(), first: fence, steps }
    }

    fn step(&self, number: usize) -> Option<&String> {
        self.steps.get(number.checked_sub(self.first)?)
    }
}

/// Opens a lasting fence.
///
/// # Errors
/// Nobody waits at it (`ENXIO`), or the FIFO cannot be written to.
pub(crate) fn open_fence(start: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let start = open(start, flags, Mode::empty())?;
    retry_on_intr(|| write(&start, START))?;
    Ok(())
}

/// Waits until the command of a container is executed whose fence was opened: the FIFO has no writer then.
///
/// # Errors
/// What failed behind the fence, or the command's execution.
pub(crate) fn await_start(started: &OwnedFd, names: &Names) -> Result<(), Error> {
    let mut packet = [0; HEADER + DETAIL];
    match retry_on_intr(|| read(started, &mut packet)) {
        Ok(0) => Ok(()),
        Ok(length) => Err(failure(packet.get(..length).unwrap_or_default(), names)),
        Err(error) => Err(Error::Sync(error.into())),
    }
}

/// The error that a packet of the child tells.
fn failure(packet: &[u8], names: &Names) -> Error {
    let Some((&[kind, a, b, c, d, e, f, g, h], detail)) = packet.split_first_chunk::<HEADER>() else {
        return Error::Sync(io::ErrorKind::InvalidData.into());
    };
    let step = u32::from_ne_bytes([a, b, c, d]) as usize;
    let source = io::Error::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
    match (kind, names.step(step)) {
        (NOT_EXECUTED, _) => Error::Exec { path: names.command.clone(), source },
        (FAILED, Some(step)) => {
            let detail = String::from_utf8_lossy(detail);
            // "e", "w" or "i", for the message's weight.
            let detail = detail.trim().trim_start_matches("e ");
            let detail = (!detail.is_empty()).then(|| detail.to_owned());
            Error::Step { what: step.clone(), detail, source }
        }
        _ => Error::Sync(io::ErrorKind::InvalidData.into()),
    }
}

/// Child: the container is built.
pub(super) fn tell_built(
    socket: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    console: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let both = [root, console.unwrap_or(root)];
    let descriptors = if console.is_some() { &both[..] } else { &both[..1] };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    let packet = header(BUILT, 0, 0);
    let sent = retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&packet)], &mut control, SendFlags::NOSIGNAL));
    sent.map(drop)
}

/// Child: the root is mounted, and this process waits before it makes it its own.
pub(super) fn tell_root_built(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    retry_on_intr(|| write(socket, &header(ROOT_BUILT, 0, 0))).map(drop)
}

/// Child: a filter asks at the descriptor of this number.
pub(super) fn tell_listener(socket: BorrowedFd<'_>, number: u32) -> Result<(), Errno> {
    retry_on_intr(|| write(socket, &header(LISTENER, number, 0))).map(drop)
}

/// Child: the container waits for its start.
pub(super) fn tell_created(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    retry_on_intr(|| write(socket, &header(CREATED, 0, 0))).map(drop)
}

/// Child: a step failed.
pub(super) fn tell_failed(socket: BorrowedFd<'_>, step: usize, errno: Errno, detail: &[u8]) {
    let mut packet = [0; HEADER + DETAIL];
    let length = detail.len().min(DETAIL);
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    for (to, from) in packet.iter_mut().zip(header(FAILED, step, errno.raw_os_error()).iter().chain(detail)) {
        *to = *from;
    }
    let packet = packet.get(..HEADER + length).unwrap_or_default();
    // Without a parent there is nobody to tell.
    let _ = retry_on_intr(|| write(socket, packet));
}

/// Child: the command was not executed.
pub(super) fn tell_not_executed(socket: BorrowedFd<'_>, errno: Errno) {
    let packet = header(NOT_EXECUTED, 0, errno.raw_os_error());
    let _ = retry_on_intr(|| write(socket, &packet));
}

/// Child: waits for a packet of the parent, and returns its length. An error when the parent is gone.
pub(super) fn await_packet(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    match retry_on_intr(|| read(socket, &mut *buffer))? {
        0 => Err(Errno::PIPE),
        length => Ok(length),
    }
}

fn header(kind: u8, step: u32, errno: i32) -> [u8; HEADER] {
    let [a, b, c, d] = step.to_ne_bytes();
    let [e, f, g, h] = errno.to_ne_bytes();
    [kind, a, b, c, d, e, f, g, h]
}
