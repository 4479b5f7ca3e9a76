//! Who is called what, and who may know it.
//!
//! A container sees the names of the networks it is a member of, and those alone: who asks is told by the address the
//! question comes from, which the datapath lets no other container use.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::servers::ServerList;

/// How many questions of one container may wait for servers outside at a time.
const FORWARDS_EACH: usize = 64;
/// How many connections one container may have.
const CONNECTIONS_EACH: usize = 16;

/// A network whose members find each other by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The network's id in the datapath.
    pub network: u32,
    /// Its name, under which its members have longer ones: `web.NAME`.
    pub name: String,
    /// Its subnets: addresses in them are nobody else's to name.
    pub subnets: Vec<IpNet>,
    /// It reaches nothing outside: no question of its members does either.
    pub internal: bool,
}

/// A container on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The network's id in the datapath.
    pub network: u32,
    /// The container's id.
    pub container: String,
    /// What it is called there, the name that its address is told to have first. Several containers may share a name.
    pub names: Vec<String>,
    /// Its addresses there.
    pub addresses: Vec<IpAddr>,
    /// Names that it alone sees.
    pub links: Vec<Link>,
    /// Of a name that several of its networks know, the network with the highest priority decides.
    pub priority: i64,
    /// The servers to ask for other names; without any, those of the host.
    pub servers: Vec<SocketAddr>,
}

/// A name of one container's own for another on the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name.
    pub alias: String,
    /// Any name of the other, or its id.
    pub target: String,
}

/// What a name, or an address, leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The name has these addresses, maybe none of the family that is asked for.
    Addresses(Vec<IpAddr>),
    /// The address has this name.
    Name(String),
    /// There is no such name, and nobody else is to hear of it.
    Unknown,
    /// Not a name of ours.
    Elsewhere,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A name, in lower case and without the last dot; `about_zone` if the question is about the zone of that name.
    Name { name: String, about_zone: bool },
    /// The name of an address.
    Address(IpAddr),
}

/// A container that asks, and what it may use.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) container: Arc<str>,
    /// Places for questions that wait for servers outside.
    pub(super) forwards: Arc<Semaphore>,
    /// Places for connections.
    pub(super) connections: Arc<Semaphore>,
}

/// Which servers a container's other questions go to.
#[derive(Clone, Debug)]
pub(super) enum Outside {
    /// All of its networks are internal.
    None,
    /// Those of the host.
    Host,
    /// Its own.
    Own(Arc<ServerList>),
}

/// All names of an instance.
#[derive(Debug, Default)]
pub(super) struct Names {
    zones: BTreeMap<u32, Known>,
    /// Which container has an address, and on which network.
    addresses: HashMap<IpAddr, (u32, Arc<str>)>,
    containers: HashMap<Arc<str>, Container>,
}

/// The names of one network.
#[derive(Debug)]
struct Known {
    zone: Zone,
    key: String,
    members: HashMap<Arc<str>, Member>,
    /// The containers of a name, in the order they came.
    names: HashMap<String, Vec<Arc<str>>>,
}

/// What is kept of a container beside its memberships.
#[derive(Debug)]
struct Container {
    asker: Asker,
    /// Its networks, the one that decides first.
    networks: Vec<u32>,
    own_servers: Option<Arc<ServerList>>,
}

impl Names {
    /// Adds a network, or changes what is known of it; its members stay.
    pub(super) fn set_zone(&mut self, zone: Zone) {
        let key = key(&zone.name);
        match self.zones.get_mut(&zone.network) {
            Some(known) => (known.zone, known.key) = (zone, key),
            None => {
                let known = Known { zone, key, members: HashMap::new(), names: HashMap::new() };
                self.zones.insert(known.zone.network, known);
            }
        }
    }

    /// Forgets a network with its members.
    pub(super) fn remove_zone(&mut self, network: u32) {
        let Some(known) = self.zones.get(&network) else { return };
        let members: Vec<Arc<str>> = known.members.keys().cloned().collect();
        for container in members {
            self.remove_member(network, &container);
        }
        self.zones.remove(&network);
    }

    /// Adds a member, or changes what is known of it; false if there is no such network.
    pub(super) fn set_member(&mut self, member: Member) -> bool {
        let network = member.network;
        if !self.zones.contains_key(&network) {
            return false;
        }
        let container = self.containers.get(member.container.as_str()).map(|known| &known.asker.container);
        let container = container.map_or_else(|| Arc::from(member.container.as_str()), Arc::clone);
        self.forget_member(network, &container);
        for address in &member.addresses {
            self.addresses.insert(*address, (network, Arc::clone(&container)));
        }
        let servers = (!member.servers.is_empty()).then(|| Arc::new(ServerList::new(&member.servers)));
        let entry = self.containers.entry(Arc::clone(&container)).or_insert_with(|| Container {
            asker: Asker {
                container: Arc::clone(&container),
                forwards: Arc::new(Semaphore::new(FORWARDS_EACH)),
                connections: Arc::new(Semaphore::new(CONNECTIONS_EACH)),
            },
            networks: Vec::new(),
            own_servers: None,
        });
        entry.own_servers = servers;
        if !entry.networks.contains(&network) {
            entry.networks.push(network);
        }
        if let Some(known) = self.zones.get_mut(&network) {
            known.insert(&container, member);
        }
        self.sort_networks(&container);
        true
    }

    /// Forgets a member; one that is not there is fine.
    pub(super) fn remove_member(&mut self, network: u32, container: &str) {
        self.forget_member(network, container);
        let Some(entry) = self.containers.get_mut(container) else { return };
        entry.networks.retain(|id| *id != network);
        if entry.networks.is_empty() {
            self.containers.remove(container);
        }
    }

    fn forget_member(&mut self, network: u32, container: &str) {
        let Some(member) = self.zones.get_mut(&network).and_then(|known| known.remove(container)) else {
            return;
        };
        for address in member.addresses {
            // Another container may have got it since.
            if self.addresses.get(&address).is_some_and(|(id, owner)| *id == network && **owner == *container)
            {
                self.addresses.remove(&address);
            }
        }
    }

    fn sort_networks(&mut self, container: &Arc<str>) {
        let zones = &self.zones;
        let rank = |network: &u32| {
            let known = zones.get(network);
            let priority = known.and_then(|known| known.members.get(container)).map(|member| member.priority);
            (Reverse(priority), known.map(|known| known.key.clone()))
        };
        if let Some(entry) = self.containers.get_mut(container) {
            entry.networks.sort_by_cached_key(rank);
        }
    }

    /// The container that has an address.
    pub(super) fn asker(&self, address: IpAddr) -> Option<Asker> {
        let (_, container) = self.addresses.get(&address)?;
        self.containers.get(container).map(|known| known.asker.clone())
    }

    /// Which servers a container's other questions go to.
    pub(super) fn outside(&self, container: &str) -> Outside {
        let Some(known) = self.containers.get(container) else { return Outside::None };
        let is_open = |network: &u32| self.zones.get(network).is_some_and(|known| !known.zone.internal);
        if !known.networks.iter().any(is_open) {
            return Outside::None;
        }
        known.own_servers.as_ref().map_or(Outside::Host, |servers| Outside::Own(Arc::clone(servers)))
    }

    /// Answers a question of a container's.
    pub(super) fn resolve(&self, container: &str, subject: &Subject) -> Outcome {
        match subject {
            Subject::Address(address) => self.name_of(container, *address),
            Subject::Name { name, about_zone } => {
                if let Some(addresses) = self.addresses_of(container, name) {
                    return Outcome::Addresses(addresses);
                }
                // A name of one label is a container's, or nobody's. But who checks signatures asks for keys of `com`.
                let is_single = !name.is_empty() && !name.contains('.');
                if is_single && !about_zone { Outcome::Unknown } else { Outcome::Elsewhere }
            }
        }
    }

    fn networks_of(&self, container: &str) -> impl Iterator<Item = &Known> {
        let networks = self.containers.get(container).map_or(&[][..], |known| &known.networks);
        networks.iter().filter_map(|network| self.zones.get(network))
    }

    /// The first network that knows the name decides: mixing those of several would mix what only has the same name.
    fn addresses_of(&self, container: &str, name: &str) -> Option<Vec<IpAddr>> {
        for known in self.networks_of(container) {
            let linked = known.members.get(container).and_then(|member| member.linked(name));
            if let Some(addresses) = linked.and_then(|target| known.find_linked(&target)) {
                return Some(addresses);
            }
            if let Some(addresses) = known.find(name) {
                return Some(addresses);
            }
        }
        // Names and networks may have dots: of a.b.c, a.b of the network c, then a of b.c.
        name.rmatch_indices('.').find_map(|(at, _)| {
            let (own, network) = (&name[..at], &name[at + 1..]);
            self.networks_of(container).filter(|known| known.key == network).find_map(|known| known.find(own))
        })
    }

    fn name_of(&self, container: &str, address: IpAddr) -> Outcome {
        let network_and_owner = self.addresses.get(&address);
        for known in self.networks_of(container) {
            if let Some((network, owner)) = network_and_owner
                && *network == known.zone.network
                && let Some(name) = known.members.get(owner).and_then(|member| member.names.first())
            {
                return Outcome::Name(format!("{name}.{}", known.zone.name));
            }
            if known.zone.subnets.iter().any(|subnet| subnet.contains(&address)) {
                return Outcome::Unknown;
            }
        }
        Outcome::Elsewhere
    }
}

impl Known {
    fn insert(&mut self, container: &Arc<str>, member: Member) {
        for name in &member.names {
            let owners = self.names.entry(key(name)).or_default();
            if !owners.contains(container) {
                owners.push(Arc::clone(container));
            }
        }
        self.members.insert(Arc::clone(container), member);
    }

    fn remove(&mut self, container: &str) -> Option<Member> {
        let member = self.members.remove(container)?;
        for name in member.names.iter().map(|name| key(name)) {
            if let Some(owners) = self.names.get_mut(&name) {
                owners.retain(|owner| **owner != *container);
                if owners.is_empty() {
                    self.names.remove(&name);
                }
            }
        }
        Some(member)
    }

    /// The addresses of everyone who is called so.
    fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        let owners = self.names.get(name)?;
        let members = owners.iter().filter_map(|owner| self.members.get(owner));
        Some(members.flat_map(|member| member.addresses.iter().copied()).collect())
    }

    /// The same for what a link leads to, which may be an id.
    fn find_linked(&self, target: &str) -> Option<Vec<IpAddr>> {
        self.find(target).or_else(|| self.members.get(target).map(|member| member.addresses.clone()))
    }
}

impl Member {
    /// What a name of the member's own stands for.
    fn linked(&self, name: &str) -> Option<String> {
        self.links.iter().find(|link| key(&link.alias) == name).map(|link| key(&link.target))
    }
}

/// A name as it is looked up.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
