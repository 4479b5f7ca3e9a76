//! Leading a container's questions for names to its network's resolver.

use std::{
    net::SocketAddrV4,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use super::{Inner, Net, blocking};
use crate::{
    Endpoint, Error,
    datapath::{self, ResolverStatus},
    netns,
};

impl Net {
    /// Leads what the namespace's sockets ask 127.0.0.11 to the resolver, which the endpoint's network reaches. The entry
    /// goes with the endpoint. Of several endpoints of one namespace, the last one said decides.
    ///
    /// # Errors
    /// [`Error::Namespace`], [`Error::Datapath`].
    pub async fn set_resolver(
        &self,
        netns: BorrowedFd<'_>,
        endpoint: &Endpoint,
        resolver: SocketAddrV4,
    ) -> Result<(), Error> {
        let netns = netns
            .try_clone_to_owned()
            .map_err(|source| Error::Namespace { operation: "keep the network namespace open", source })?;
        let (inner, host_ifindex) = (Arc::clone(&self.inner), endpoint.host_ifindex);
        blocking("set a resolver", move || {
            let netns_cookie = cookie_of(netns.as_fd())?;
            Ok(inner.datapath.set_resolver(&ResolverStatus { netns_cookie, host_ifindex, resolver })?)
        })
        .await
    }

    /// The resolvers that namespaces were told of, one for each: what a resolver that starts again should listen on.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn resolvers(&self) -> Result<Vec<SocketAddrV4>, Error> {
        let statuses = self.inner.datapath.resolvers()?;
        Ok(statuses.into_iter().map(|status| status.resolver).collect())
    }
}

impl Inner {
    pub(super) fn remove_other_resolvers(&self, present: &[Endpoint], errors: &mut Vec<Error>) {
        match self.datapath.resolvers() {
            Ok(statuses) => {
                for status in statuses {
                    if !present.iter().any(|kept| kept.host_ifindex == status.host_ifindex) {
                        let removed = self.datapath.remove_resolver(status.host_ifindex);
                        errors.extend(removed.map_err(Error::from).err());
                    }
                }
            }
            Err(error) => errors.push(error.into()),
        }
    }
}

fn cookie_of(netns: BorrowedFd<'_>) -> Result<u64, Error> {
    netns::on_own_thread("beeline-cookie", || {
        netns::enter(netns)?;
        datapath::netns_cookie()
            .map_err(|source| Error::Namespace { operation: "tell the network namespace's cookie", source })
    })
}
