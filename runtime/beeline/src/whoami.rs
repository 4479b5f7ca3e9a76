//! The embedded image's server: answers over HTTP and UDP with what a container sees of itself and of its client.
//!
//! It runs as a container's first process: it reaps what is left to it, and ends with 0 on SIGTERM and SIGINT, which
//! do nothing to a first process that does not ask for them.

mod http;
mod report;

use std::env;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Port of both protocols, unless the environment names another.
const PORT: u16 = 80;
const PORT_VARIABLE: &str = "WHOAMI_PORT";
/// Clients served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// Threads hold buffers on the heap; a small stack keeps many of them cheap.
const STACK: usize = 128 * 1024;
/// After an error that concerns every client, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// A datagram's greatest length.
const DATAGRAM: usize = 65_536;

/// Serves until it is asked to end.
pub(crate) fn main() -> ExitCode {
    if let Some(argument) = env::args().nth(2) {
        return answer_argument(&argument);
    }
    let ending = [Signal::SIGTERM, Signal::SIGINT];
    let signals: SigSet = ending.into_iter().chain([Signal::SIGCHLD]).collect();
    // Before any thread starts, so that every thread leaves them to the main one.
    if let Err(error) = signals.thread_block() {
        return fail(&format!("block signals: {error}"));
    }
    let port = match port() {
        Ok(port) => port,
        Err(message) => return fail(&message),
    };
    if let Err(message) = start(port) {
        return fail(&message);
    }
    say(&format!("whoami: listening on port {port} (TCP and UDP) as {}", report::hostname()));
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => reap(),
            Ok(signal) => {
                say(&format!("whoami: {signal}, ending"));
                return ExitCode::SUCCESS;
            }
            Err(Errno::EINTR) => {}
            Err(error) => return fail(&format!("wait for signals: {error}")),
        }
    }
}

fn answer_argument(argument: &str) -> ExitCode {
    match argument {
        "--version" | "-V" => {
            say(concat!("beeline whoami ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        "--help" | "-h" => {
            say(&format!("beeline whoami: answers on port {PORT}, or {PORT_VARIABLE}, with who it is"));
            ExitCode::SUCCESS
        }
        other => fail(&format!("it takes no argument, and {other:?} is one")),
    }
}

fn port() -> Result<u16, String> {
    match env::var(PORT_VARIABLE) {
        Ok(text) => text.parse().map_err(|_| format!("{PORT_VARIABLE}={text} is not a port")),
        Err(_) => Ok(PORT),
    }
}

/// Starts the servers of both protocols.
fn start(port: u16) -> Result<(), String> {
    let listener =
        listen(port, TcpListener::bind).map_err(|error| format!("listen on TCP port {port}: {error}"))?;
    let socket =
        listen(port, UdpSocket::bind).map_err(|error| format!("listen on UDP port {port}: {error}"))?;
    spawn("tcp", move || accept(&listener))
        .and_then(|()| spawn("udp", move || answer_datagrams(&socket)))
        .map_err(|error| format!("start a thread: {error}"))
}

/// Both families on one socket, or IPv4 alone where the kernel has no IPv6.
fn listen<T>(port: u16, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match bind(both) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        bound => bound,
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(run).map(drop)
}

fn accept(listener: &TcpListener) {
    let places = Arc::new(Places::default());
    loop {
        let place = Place::take(&places);
        match listener.accept() {
            Ok((stream, client)) => {
                let serve = move || {
                    http::serve(&stream, canonical(client));
                    drop(place);
                };
                // Without a thread (a limit on processes) the client sees its connection closed.
                if spawn("client", serve).is_err() {
                    thread::sleep(PAUSE);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn answer_datagrams(socket: &UdpSocket) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, client)) => {
                let seen = canonical(client);
                let answer = report::datagram(seen, &buffer[..length]);
                // The answer to one client is no concern of the others'.
                let _ = socket.send_to(&answer, client);
                say(&format!("{seen} UDP {length} bytes"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// An IPv4 client of a socket for both families, as the client would write its address.
fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

/// Reaps processes whose parents ended before them.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// A line of the log. Nobody may be listening; that is no reason to end.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "whoami: {message}");
    ExitCode::FAILURE
}

/// How many clients are being served.
#[derive(Default)]
struct Places {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// A client's place; dropping it gives it to the next.
struct Place(Arc<Places>);

impl Places {
    fn taken(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for a free place.
    fn take(places: &Arc<Places>) -> Self {
        let full = |taken: &mut usize| *taken >= CONNECTIONS;
        let guard = places.freed.wait_while(places.taken(), full);
        *guard.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(Arc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.taken() -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_of_both_families_socket_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:1234".parse().unwrap();
        assert_eq!(canonical(mapped).to_string(), "192.0.2.1:1234");
        let real: SocketAddr = "[2001:db8::1]:1234".parse().unwrap();
        assert_eq!(canonical(real), real);
    }

    #[test]
    fn a_place_is_given_back() {
        let places = Arc::new(Places::default());
        let (one, two) = (Place::take(&places), Place::take(&places));
        assert_eq!(*places.taken(), 2);
        drop((one, two));
        assert_eq!(*places.taken(), 0);
    }

    #[test]
    fn datagrams_are_answered_with_the_clients_address() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        // Ends with the test's process.
        spawn("udp", move || answer_datagrams(&server)).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(b"hello", address).unwrap();
        let mut buffer = [0; 2000];
        let length = client.recv(&mut buffer).unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(answer.contains(&format!("RemoteAddr: {}\n", client.local_addr().unwrap())), "{answer}");
        assert!(answer.ends_with("hello"), "{answer}");
    }
}
