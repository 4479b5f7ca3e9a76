//! The names of containers: a resolver for the members of an instance's networks.
//!
//! ```text
//!   in the container          in the kernel                 in the daemon's namespace
//!   127.0.0.11:53  ---------> connect, sendmsg ----------> GATEWAY:PORT  names ---> answer
//!                             rewrite the destination                      \--> servers outside
//! ```
//! A container asks 127.0.0.11, where nothing listens: the socket programs lead it to [`Resolver`], by
//! [`Net::set_resolver`](crate::Net::set_resolver). Messages are hickory's; the sockets and all decisions are ours.

mod counters;
mod exchange;
mod forward;
mod listen;
mod message;
mod names;
mod servers;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_proto::op::ResponseCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use counters::DnsCounters;
pub use names::{Link, Member, Zone};

use self::{
    counters::{Counters, count},
    listen::Listener,
    message::{Question, Received, Transport},
    names::{Asker, Names, Outside},
    servers::{HostServers, ServerList},
};
use crate::Error;

/// How many questions may wait for servers outside at a time; each holds up to three sockets.
const FORWARDS: usize = 256;
/// How many connections containers may have to the resolver at a time.
const CONNECTIONS: usize = 128;

/// What a resolver starts with.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// The file that names the host's servers.
    pub resolv_conf: PathBuf,
    /// The servers when it names none.
    pub fallback: Vec<SocketAddr>,
    /// Where containers that run already were told to ask: see [`Net::resolvers`](crate::Net::resolvers). These ports are
    /// taken again if they are free.
    pub known: Vec<SocketAddrV4>,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), fallback: Vec::new(), known: Vec::new() }
    }
}

/// The resolver of an instance. Clones are handles of the same; with the last, its sockets close.
#[derive(Clone, Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
    listeners: Arc<Mutex<BTreeMap<u32, Listener>>>,
    known: Arc<HashMap<Ipv4Addr, u16>>,
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    names: RwLock<Names>,
    host: HostServers,
    forwards: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Whose turn it is among those of one name.
    turn: AtomicUsize,
    counters: Counters,
}

/// What becomes of a question.
enum Answer {
    Now(Vec<u8>),
    Later(Later),
    /// It was none.
    Never,
}

/// A question for servers outside.
struct Later {
    question: Box<Question>,
    servers: Arc<ServerList>,
    _places: [OwnedSemaphorePermit; 2],
}

impl Resolver {
    /// A resolver without networks.
    pub fn new(config: ResolverConfig) -> Self {
        let shared = Shared {
            names: RwLock::default(),
            host: HostServers::new(config.resolv_conf, config.fallback),
            forwards: Arc::new(Semaphore::new(FORWARDS)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            turn: AtomicUsize::new(0),
            counters: Counters::default(),
        };
        let known = config.known.iter().map(|address| (*address.ip(), address.port())).collect();
        Self { shared: Arc::new(shared), listeners: Arc::default(), known: Arc::new(known) }
    }

    /// Serves a network on its gateway's IPv4 address, which the host must have already, and returns where. A network without
    /// one has names too, for members that ask by another of their networks. The same network once more changes its zone,
    /// and keeps its members and sockets. Must be called in a tokio runtime, in the network namespace that the daemon serves.
    ///
    /// # Errors
    /// [`Error::Resolver`] when the address cannot be bound.
    pub fn add_network(&self, zone: Zone, gateway: Option<Ipv4Addr>) -> Result<Option<SocketAddrV4>, Error> {
        let address = gateway.map(|gateway| self.listen(zone.network, gateway)).transpose()?;
        self.names_mut(|names| names.set_zone(zone));
        Ok(address)
    }

    fn listen(&self, network: u32, gateway: Ipv4Addr) -> Result<SocketAddrV4, Error> {
        let mut listeners = self.listeners();
        if let Some(listener) = listeners.get(&network).filter(|known| *known.address.ip() == gateway) {
            return Ok(listener.address);
        }
        // One number for all networks, as far as it is free everywhere.
        let port = self.known.get(&gateway).copied();
        let port = port.or_else(|| listeners.values().next().map(|other| other.address.port()));
        let opened = Listener::open(&self.shared, gateway, port);
        let listener = opened.map_err(|source| Error::Resolver { gateway: gateway.into(), source })?;
        let address = listener.address;
        listeners.insert(network, listener);
        Ok(address)
    }

    /// Forgets a network with its members, and closes its sockets; one that is not there is fine.
    pub fn remove_network(&self, network: u32) {
        self.names_mut(|names| names.remove_zone(network));
        self.listeners().remove(&network);
    }

    /// Where the members of a network are to ask.
    pub fn address(&self, network: u32) -> Option<SocketAddrV4> {
        self.listeners().get(&network).map(|listener| listener.address)
    }

    /// Adds a member of a network, or changes what is known of it. When this returns, others find it.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`].
    pub fn set_member(&self, member: Member) -> Result<(), Error> {
        let network = member.network;
        let is_known = self.names_mut(|names| names.set_member(member));
        if is_known { Ok(()) } else { Err(Error::UnknownNetwork { network }) }
    }

    /// Forgets a member; one that is not there is fine.
    pub fn remove_member(&self, network: u32, container: &str) {
        self.names_mut(|names| names.remove_member(network, container));
    }

    /// What was asked so far.
    pub fn counters(&self) -> DnsCounters {
        self.shared.counters.read()
    }

    fn names_mut<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        change(&mut self.shared.names.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Listener>> {
        // A panic of another holder left whole entries.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container that has an address.
    fn asker(&self, address: IpAddr) -> Option<Asker> {
        self.names().asker(address)
    }

    /// Answers a question by the names of the instance, or says who is to be asked.
    fn answer_here(&self, asker: Option<&Asker>, bytes: &[u8], transport: Transport) -> Answer {
        let question = match message::receive(bytes) {
            Received::Question(question) => question,
            Received::Refused(answer) => {
                count(&self.counters.refused);
                return Answer::Now(answer);
            }
            Received::Ignored => return Answer::Never,
        };
        // Who is no container is told nothing, and nobody is asked for him.
        let Some(asker) = asker else {
            count(&self.counters.refused);
            return Answer::Now(question.failure(ResponseCode::Refused));
        };
        let names = self.names();
        if let Some(subject) = &question.subject {
            let outcome = names.resolve(&asker.container, subject);
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            if let Some(answer) = question.local_answer(outcome, turn, transport) {
                count(&self.counters.names);
                return Answer::Now(answer);
            }
        }
        count(&self.counters.outside);
        let servers = match names.outside(&asker.container) {
            Outside::None => {
                count(&self.counters.no_servers);
                return Answer::Now(question.failure(ResponseCode::ServFail));
            }
            Outside::Host => None,
            Outside::Own(servers) => Some(servers),
        };
        drop(names);
        let servers = servers.unwrap_or_else(|| self.host.current());
        let places =
            [&asker.forwards, &self.forwards].map(|places| Arc::clone(places).try_acquire_owned().ok());
        let [Some(own), Some(shared)] = places else {
            count(&self.counters.too_many);
            tracing::debug!(container = %asker.container, "too many questions for servers outside");
            return Answer::Now(question.failure(ResponseCode::ServFail));
        };
        Answer::Later(Later { question, servers, _places: [own, shared] })
    }

    /// Asks the servers outside.
    async fn ask_outside(&self, later: Later, bytes: &[u8], transport: Transport) -> Vec<u8> {
        match forward::ask(&later.servers, &later.question, bytes, transport).await {
            Some(answer) => later.question.relay(&answer, transport),
            None => {
                count(&self.counters.no_answer);
                later.question.failure(ResponseCode::ServFail)
            }
        }
    }
}

#[cfg(test)]
mod tests;
