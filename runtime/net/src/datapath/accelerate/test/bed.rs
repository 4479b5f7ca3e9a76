//! Two addresses in a network namespace of their own, and the calls that the checks make.

use std::{
    fmt::Display,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
    thread::sleep,
    time::{Duration, Instant},
};

use beeline_abi::{AcceleratedEnd, TEST_SLOT};
use nix::{
    errno::Errno,
    fcntl::SpliceFFlags,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll as Descriptor, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, accept, bind, connect, getsockname,
            listen, socket,
        },
    },
};

use super::{Datapath, Outcome};
use crate::{
    Netns,
    datapath::syscall::netns_cookie,
    netns::{enter, on_own_thread},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// No network's id.
const NETWORK: u32 = u32::MAX;

/// The most that any check waits for one thing.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// More than any pair of sockets may hold.
pub(super) const FILLED: usize = 64 << 20;

const CHUNK: usize = 64 << 10;

nix::ioctl_read_bad!(unread, libc::FIONREAD, libc::c_int);

/// What failed, in words.
pub(super) fn say<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Bytes that tell when one is missing or in a wrong place.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    part_of_pattern(0, count)
}

fn part_of_pattern(first: usize, count: usize) -> Vec<u8> {
    (first..first + count).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Long enough for others to do what they are about to.
pub(super) fn pause() {
    sleep(Duration::from_millis(10));
}

/// Where the checks take place.
pub(super) struct Bed<'a> {
    datapath: &'a Datapath,
    netns: u64,
}

/// Runs checks on a thread in a namespace of its own; whatever their outcome, nothing of them is left in the maps.
pub(super) fn run(datapath: &Datapath, checks: impl FnOnce(&Bed<'_>) -> Outcome + Send) -> Outcome {
    let namespace = Netns::create().map_err(say("make a network namespace"))?;
    let outcome = on_own_thread("beeline-shortcut", || {
        enter(namespace.as_fd())?;
        let outcome = netns_cookie().map_err(say("tell the network namespace")).and_then(|netns| {
            let bed = Bed { datapath, netns };
            let outcome = checks(&bed);
            bed.clear().and(outcome)
        });
        Ok(outcome)
    });
    outcome.map_err(say("test it"))?
}

impl Bed<'_> {
    /// Whether messages may take the short way.
    pub(super) fn allow(&self, is_short: bool) -> Outcome {
        let end = AcceleratedEnd { netns: self.netns, network: NETWORK, slot: TEST_SLOT };
        let mut state = self.datapath.state();
        let outcome = state.set_end(&CLIENT.into(), end).and_then(|()| {
            if is_short { state.set_end(&SERVER.into(), end) } else { state.remove_end(&SERVER.into()) }
        });
        outcome.map_err(say("allow the short way"))
    }

    fn clear(&self) -> Outcome {
        let mut state = self.datapath.state();
        let removed = [CLIENT, SERVER].map(|address| state.remove_end(&address.into()));
        removed.into_iter().collect::<Result<(), _>>().map_err(say("clear the map"))
    }

    /// How many bytes took the short way so far.
    pub(super) fn shortened(&self) -> Result<u64, String> {
        let counters = self.datapath.state().shortcuts(TEST_SLOT);
        counters.map(|counters| counters.tx_bytes).map_err(say("read the counters"))
    }

    /// Two sockets that are connected. Both are enrolled, whatever is allowed from then on.
    pub(super) fn pair(&self) -> Result<Pair, String> {
        let is_short = self.is_allowed()?;
        self.allow(true)?;
        let listener = TcpListener::bind((SERVER, 0)).map_err(say("listen"))?;
        let address = listener.local_addr().map_err(say("listen"))?;
        let connected = (|| {
            let client = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            bind(client.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 2, 0))?;
            connect(client.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 3, address.port()))?;
            Ok::<_, Errno>(client)
        })();
        let client = TcpStream::from(connected.map_err(say("connect"))?);
        let (server, _) = listener.accept().map_err(say("accept"))?;
        self.allow(is_short)?;
        Pair { client, server }.with_patience()
    }

    fn is_allowed(&self) -> Result<bool, String> {
        let ends = self.datapath.state();
        let end = crate::datapath::tables::get(&ends.tables.ends, "ENDS", &SERVER.into());
        end.map(|end| end.is_some()).map_err(say("read the map"))
    }

    /// Two sockets of MPTCP that are connected, if the kernel has such.
    pub(super) fn mptcp_pair(&self) -> Result<Option<Pair>, String> {
        let Ok(listener) = mptcp_socket() else { return Ok(None) };
        let connected = (|| {
            bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 3, 0))?;
            listen(&listener, Backlog::new(1)?)?;
            let address: SockaddrIn = getsockname(listener.as_raw_fd())?;
            let client = mptcp_socket()?;
            bind(client.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 2, 0))?;
            connect(client.as_raw_fd(), &address)?;
            Ok::<_, Errno>((client, accept(listener.as_raw_fd())?))
        })();
        let (client, server) = connected.map_err(say("connect"))?;
        // SAFETY: the descriptor was just made by `accept`, and nobody else has it.
        let server = unsafe { OwnedFd::from_raw_fd(server) };
        Pair { client: client.into(), server: server.into() }.with_patience().map(Some)
    }
}

fn mptcp_socket() -> nix::Result<OwnedFd> {
    // SAFETY: the call takes three integers.
    let socket =
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_MPTCP) };
    // SAFETY: the descriptor was just made, and nobody else has it.
    Errno::result(socket).map(|socket| unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Two sockets that are connected.
pub(super) struct Pair {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
}

impl Pair {
    fn with_patience(self) -> Result<Self, String> {
        for stream in [&self.client, &self.server] {
            let set = stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
            set.map_err(say("limit the wait"))?;
        }
        Ok(self)
    }

    /// Some bytes there, and back.
    pub(super) fn converse(&mut self, bytes: usize) -> Outcome {
        let sent = pattern(bytes);
        self.client.write_all(&sent).map_err(say("write"))?;
        self.expect(&sent)?;
        self.server.write_all(&sent).map_err(say("answer"))?;
        let mut got = vec![0; bytes];
        self.client.read_exact(&mut got).map_err(say("read the answer"))?;
        if got == sent { Ok(()) } else { Err("the answer came changed".into()) }
    }

    /// Reads these bytes from the server's socket.
    pub(super) fn expect(&mut self, bytes: &[u8]) -> Outcome {
        let mut got = vec![0; bytes.len()];
        self.server.read_exact(&mut got).map_err(say("read"))?;
        match got.iter().zip(bytes).position(|(got, sent)| got != sent) {
            None => Ok(()),
            Some(at) => Err(format!("byte {at} of {} came changed", bytes.len())),
        }
    }

    /// Reads until nothing is left; tells how much there was.
    pub(super) fn read_what_there_is(&mut self) -> Result<usize, String> {
        let (mut total, mut buffer) = (0, [0; 1024]);
        loop {
            match self.server.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => total += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(total),
                Err(error) => return Err(say("read")(error)),
            }
        }
    }

    /// Writes until the socket takes no more, or far too much; tells how much it took.
    pub(super) fn fill(&mut self) -> Result<usize, String> {
        let (mut sent, began) = (0, Instant::now());
        while sent < FILLED && began.elapsed() < PATIENCE {
            match self.client.write(&part_of_pattern(sent, CHUNK)) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(sent),
                Err(error) => return Err(say("write")(error)),
            }
        }
        Ok(sent)
    }
}

/// How many bytes the kernel says there are to read.
pub(super) fn fionread(socket: &TcpStream) -> Result<i32, String> {
    let mut count = 0;
    // SAFETY: the call writes one integer, to where there is one.
    unsafe { unread(socket.as_raw_fd(), &mut count) }.map_err(say("ask"))?;
    Ok(count)
}

/// Waits until there is something to read.
pub(super) fn readable(socket: &TcpStream) -> Outcome {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX)) {
        Ok(1..) => Ok(()),
        Ok(_) => Err("poll sees nothing to read".into()),
        Err(error) => Err(say("poll")(error)),
    }
}

/// Moves bytes from one descriptor to the other; what is there must move at once.
pub(super) fn splice(from: impl AsFd, to: impl AsFd, bytes: usize) -> Outcome {
    let mut moved = 0;
    while moved < bytes {
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
        match nix::fcntl::splice(from.as_fd(), None, to.as_fd(), None, bytes - moved, flags) {
            Ok(0) => return Err(format!("the end after {moved} of {bytes} bytes")),
            Ok(count) => moved += count,
            Err(error) => return Err(format!("{error} after {moved} of {bytes} bytes")),
        }
    }
    Ok(())
}

/// Waits for edges of one socket.
pub(super) struct Epoll(Descriptor);

impl Epoll {
    pub(super) fn of(socket: &TcpStream) -> Result<Self, String> {
        let epoll = Descriptor::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(say("make an epoll"))?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        epoll.add(socket, EpollEvent::new(flags, 0)).map_err(say("add to the epoll"))?;
        Ok(Self(epoll))
    }

    /// Whether an edge comes in time.
    pub(super) fn is_ready(&self, patience: Duration) -> Result<bool, String> {
        let timeout = EpollTimeout::try_from(patience).unwrap_or(EpollTimeout::ZERO);
        let count = self.0.wait(&mut [EpollEvent::empty()], timeout).map_err(say("wait"))?;
        Ok(count > 0)
    }
}
