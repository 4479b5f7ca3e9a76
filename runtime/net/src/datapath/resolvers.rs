//! Which network namespace asks which resolver for names.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddrV4},
    os::fd::AsFd as _,
    path::PathBuf,
};

use beeline_abi::{RESOLVER_LAYOUT_SINCE, Resolver};

use super::{
    Datapath, Error,
    state::State,
    syscall,
    tables::{self, Tables, failed},
};

/// A network namespace's resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolverStatus {
    /// The cookie of the namespace.
    pub netns_cookie: u64,
    /// The host's end of the veth pair with which the entry goes.
    pub host_ifindex: u32,
    /// The resolver.
    pub resolver: SocketAddrV4,
}

impl Datapath {
    /// Leads the questions for names of a network namespace to a resolver, until the endpoint is removed. Another resolver
    /// of the same namespace is replaced.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn set_resolver(&self, status: &ResolverStatus) -> Result<(), Error> {
        self.state().set_resolver(status)
    }

    /// Forgets the resolver that goes with an endpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn remove_resolver(&self, host_ifindex: u32) -> Result<(), Error> {
        self.state().remove_resolver(host_ifindex)
    }

    /// The resolvers of all namespaces.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn resolvers(&self) -> Result<Vec<ResolverStatus>, Error> {
        read(&self.state().tables)
    }
}

impl State {
    fn set_resolver(&mut self, status: &ResolverStatus) -> Result<(), Error> {
        let entry = Resolver {
            address: (*status.resolver.ip()).into(),
            ifindex: status.host_ifindex,
            port: status.resolver.port(),
            pad: [0; 2],
        };
        let cookie = status.netns_cookie;
        self.tables.resolvers.insert(cookie, entry, 0).map_err(failed("write", "RESOLVERS"))?;
        self.resolvers.retain(|_, known| *known != cookie);
        self.resolvers.insert(status.host_ifindex, cookie);
        Ok(())
    }

    fn remove_resolver(&mut self, host_ifindex: u32) -> Result<(), Error> {
        let Some(cookie) = self.resolvers.get(&host_ifindex) else { return Ok(()) };
        tables::remove(&mut self.tables.resolvers, "RESOLVERS", cookie)?;
        self.resolvers.remove(&host_ifindex);
        Ok(())
    }
}

/// The namespaces that have a resolver, by the host's ends with which their entries go.
pub(super) fn index(tables: &Tables) -> Result<HashMap<u32, u64>, Error> {
    Ok(read(tables)?.into_iter().map(|status| (status.host_ifindex, status.netns_cookie)).collect())
}

/// Takes over the resolvers of maps of other layouts, which are in these folders with their versions: they tell a daemon
/// where to listen.
pub(super) fn carry(state: &mut State, earlier: &[(u32, PathBuf)]) -> Result<(), Error> {
    for (_, folder) in earlier.iter().filter(|(version, _)| *version >= RESOLVER_LAYOUT_SINCE) {
        let path = folder.join("RESOLVERS");
        // A daemon that was killed while it made its maps left none.
        let Ok(map) = syscall::open_pinned(&path) else { continue };
        let mut statuses = Vec::new();
        syscall::for_each_in_batches::<u64, Resolver>(map.as_fd(), |cookie, entry| {
            statuses.extend(to_status(*cookie, entry));
        })
        .map_err(|source| Error::Pins { operation: "read the map", path, source })?;
        for status in statuses {
            state.set_resolver(&status)?;
        }
    }
    Ok(())
}

fn read(tables: &Tables) -> Result<Vec<ResolverStatus>, Error> {
    let mut statuses = Vec::new();
    for pair in &tables.resolvers {
        let (netns_cookie, entry) = pair.map_err(failed("read", "RESOLVERS"))?;
        statuses.extend(to_status(netns_cookie, &entry));
    }
    Ok(statuses)
}

fn to_status(netns_cookie: u64, entry: &Resolver) -> Option<ResolverStatus> {
    let IpAddr::V4(address) = entry.address.into() else { return None };
    let resolver = SocketAddrV4::new(address, entry.port);
    Some(ResolverStatus { netns_cookie, host_ifindex: entry.ifindex, resolver })
}
