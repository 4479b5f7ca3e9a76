//! The servers outside that are asked for names which are not ours.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The port of name servers.
const PORT: u16 = 53;
/// So many servers of a list are asked, as the C library does.
const MAX_SERVERS: usize = 3;
/// After so many questions that others had to answer, a server is asked after the others.
const MISSES: u32 = 3;
/// For how long it is, in milliseconds.
const RECOVERY: u64 = 30_000;
/// How often the host's file is looked at, at most.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Servers in the order in which they are asked, with what was seen of them.
#[derive(Debug)]
pub(super) struct ServerList {
    servers: Vec<Server>,
    since: Instant,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    misses: AtomicU32,
    /// Milliseconds since the list was made.
    missed_at: AtomicU64,
}

impl ServerList {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            misses: AtomicU32::new(0),
            missed_at: AtomicU64::new(0),
        };
        Self { servers: addresses.iter().take(MAX_SERVERS).map(server).collect(), since: Instant::now() }
    }

    /// The servers, those that were silent of late last.
    pub(super) fn in_order(&self) -> Vec<&Server> {
        let now = self.now();
        let mut servers: Vec<&Server> = self.servers.iter().collect();
        servers.sort_by_key(|server| server.is_silent(now));
        servers
    }

    /// Notes that a server did not answer, and another had to, or none.
    pub(super) fn missed(&self, server: &Server) {
        server.misses.fetch_add(1, Ordering::Relaxed);
        server.missed_at.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Server {
    fn is_silent(&self, now: u64) -> bool {
        self.misses.load(Ordering::Relaxed) >= MISSES
            && now.saturating_sub(self.missed_at.load(Ordering::Relaxed)) < RECOVERY
    }

    /// Notes that a server answered.
    pub(super) fn answered(&self) {
        self.misses.store(0, Ordering::Relaxed);
    }
}

/// The servers of the host's resolv.conf. It is read again when a question finds it changed: nothing wakes for it.
#[derive(Debug)]
pub(super) struct HostServers {
    path: PathBuf,
    fallback: Vec<SocketAddr>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    checked: Instant,
    version: Option<Version>,
    list: Arc<ServerList>,
}

/// What changes with a file: its device, inode, size and time of change.
type Version = (u64, u64, u64, i64, i64);

impl HostServers {
    /// Reads the file; `fallback` are the servers when it names none.
    pub(super) fn new(path: PathBuf, fallback: Vec<SocketAddr>) -> Self {
        let version = version(&path);
        let list = Arc::new(ServerList::new(&read(&path, &fallback)));
        Self { path, fallback, seen: Mutex::new(Seen { checked: Instant::now(), version, list }) }
    }

    /// The servers as the file names them now, or a second ago.
    pub(super) fn current(&self) -> Arc<ServerList> {
        // A panic of another holder left what it had.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.checked.elapsed() >= CHECK_EVERY {
            seen.checked = Instant::now();
            let version = version(&self.path);
            if version != seen.version {
                seen.version = version;
                seen.list = Arc::new(ServerList::new(&read(&self.path, &self.fallback)));
                tracing::info!(path = %self.path.display(), "the host's name servers were read again");
            }
        }
        Arc::clone(&seen.list)
    }
}

fn version(path: &Path) -> Option<Version> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

fn read(path: &Path, fallback: &[SocketAddr]) -> Vec<SocketAddr> {
    let servers = nameservers(&fs::read_to_string(path).unwrap_or_default());
    if servers.is_empty() { fallback.to_vec() } else { servers }
}

/// The servers of a resolv.conf.
fn nameservers(text: &str) -> Vec<SocketAddr> {
    let words = text.lines().map(str::split_whitespace);
    let servers =
        words.filter_map(|mut words| (words.next()? == "nameserver").then(|| words.next()).flatten());
    servers.filter_map(parse).collect()
}

/// An address, a link-local one with its device: `fe80::1%eth0`.
fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, PORT));
    }
    let (address, device) = text.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = device.parse().ok().or_else(|| nix::net::if_::if_nametoindex(device).ok())?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_c_library_does() {
        let text = "# nameserver 192.0.2.9\n; x\n nameserver\t192.0.2.1 # first\nnameserver fd00::1\n\
                    nameserver fe80::1%lo\nnameserver nonsense\nnameserver\nsearch nameserver\nnameservers 192.0.2.3\n";
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 1);
        let expected: [SocketAddr; 3] =
            ["192.0.2.1:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap(), scoped.into()];
        assert_eq!(nameservers(text), expected);
    }

    #[test]
    fn a_silent_server_is_asked_last_until_it_answers() {
        let addresses: Vec<SocketAddr> = (1..=5).map(|last| ([192, 0, 2, last], 53).into()).collect();
        let list = ServerList::new(&addresses);
        let order = || list.in_order().iter().map(|server| server.address).collect::<Vec<_>>();
        assert_eq!(order(), addresses[..3]);
        let first = list.in_order()[0];
        for _ in 0..MISSES - 1 {
            list.missed(first);
        }
        assert_eq!(order(), addresses[..3], "now and then is forgiven");
        list.missed(first);
        assert_eq!(order(), [addresses[1], addresses[2], addresses[0]]);
        first.answered();
        assert_eq!(order(), addresses[..3]);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let path = std::env::temp_dir().join(format!("beeline-resolv-{}", std::process::id()));
        let fallback: Vec<SocketAddr> = vec!["192.0.2.53:53".parse().unwrap()];
        let servers = HostServers::new(path.clone(), fallback.clone());
        let now = || {
            servers.seen.lock().unwrap().checked -= CHECK_EVERY;
            servers.current().servers.iter().map(|server| server.address).collect::<Vec<_>>()
        };
        assert_eq!(now(), fallback, "no file at all");
        fs::write(&path, "nameserver 127.0.0.53\n").unwrap();
        assert_eq!(now(), ["127.0.0.53:53".parse().unwrap()], "the host's loopback is within our reach");
        fs::write(&path, "search lan\n").unwrap();
        assert_eq!(now(), fallback);
        fs::remove_file(&path).unwrap();
    }
}
