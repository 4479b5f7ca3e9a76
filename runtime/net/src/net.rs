//! The face of the crate: one instance's networks, endpoints and published ports.
//!
//! Methods that change devices run on threads of their own, as the kernel may hold them for milliseconds; attaching
//! containers side by side shares no lock of ours.

mod accelerate;
mod attach;
mod detach;
mod listen;
mod monitor;
mod network;
mod observe;
mod policy;
mod publish;
mod reconcile;
mod resolver;
mod tell;
mod uplinks;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use ipnet::IpNet;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio_util::task::TaskTracker;

pub use listen::Listener;
pub use policy::PublishRules;
pub use publish::PublishSpec;
pub use reconcile::Keep;

use self::{network::Network, publish::Table, uplinks::Uplinks};
use crate::{
    DefaultRoutes, DropReason, Endpoint, EndpointCounters, EndpointSpec, Error, Guard, GuardStatus,
    NetConfig, Netns, NetworkFlows, NetworkSpec, Pool, Publish, PublishStatus, RuleStatus, Traffic,
    datapath::{Datapath, DatapathConfig},
    host::HostNetwork,
};

/// How full the table of flows is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTable {
    /// Entries at the last pass of the collector, at most ten seconds ago; a translated flow has two.
    pub entries: u64,
    /// The most entries.
    pub capacity: u32,
}

/// One instance's networks, endpoints and published ports. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct Net {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    instance: String,
    datapath: Datapath,
    networks: RwLock<BTreeMap<u32, Network>>,
    published: Mutex<Table>,
    uplinks: Mutex<Uplinks>,
    guard: Guard,
    accelerate_host: bool,
    removals: TaskTracker,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// A panic of another holder left nothing half-done that the next call would not say again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what may block beside the asynchronous runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    task: &'static str,
    function: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(function).await.unwrap_or(Err(Error::Task { task }))
}

impl Net {
    /// Loads or adopts the datapath of the instance, attaches it to the uplinks of this network namespace, follows their
    /// coming and going, and collects flows that are over.
    ///
    /// # Errors
    /// [`Error::Datapath`] when the kernel cannot carry the programs, [`Error::Netlink`].
    pub async fn open(config: NetConfig) -> Result<Self, Error> {
        check_instance(&config.instance)?;
        let inner = blocking("open", move || Inner::open(&config).map(Arc::new)).await?;
        let net = Self { inner };
        let tasks = monitor::start(&net.inner);
        lock(&net.inner.tasks).extend(tasks);
        Ok(net)
    }

    /// The instance's id.
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// Makes a network namespace for a container. It lives while a process or a descriptor holds it.
    ///
    /// # Errors
    /// [`Error::Namespace`] or [`Error::Netlink`].
    pub async fn create_netns() -> Result<Netns, Error> {
        blocking("create a network namespace", Netns::create).await
    }

    /// Makes of a new network namespace what [`Net::create_netns`] returns: one that is a user namespace's is made with that.
    ///
    /// # Errors
    /// As [`Netns::create`]'s.
    pub async fn furnish_netns(made: OwnedFd) -> Result<Netns, Error> {
        blocking("furnish a network namespace", move || Netns::furnish(made)).await
    }

    /// A subnet of the pools for a new network that meets no route of this host, and none of those that are `taken`.
    ///
    /// # Errors
    /// [`Error::NoFreeSubnet`] or [`Error::Netlink`].
    pub async fn choose_subnet(&self, pools: Vec<Pool>, taken: Vec<IpNet>) -> Result<IpNet, Error> {
        blocking("choose a subnet", move || {
            let mut all = HostNetwork::read()?.route_destinations();
            all.extend(taken);
            crate::choose_subnet(&all, &pools)
        })
        .await
    }

    /// Makes a network, or adopts the one whose device is there already. The same once more changes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidDevice`], [`Error::InvalidAddress`], [`Error::Netlink`], [`Error::Datapath`].
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        blocking("create a network", move || inner.create_network(&spec)).await
    }

    /// Removes a network and its device; one that is not there is fine.
    ///
    /// # Errors
    /// Everything that failed; the other steps were done.
    pub async fn remove_network(&self, id: u32, device: &str) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let device = device.to_owned();
        blocking("remove a network", move || inner.remove_network(id, &device)).await
    }

    /// Connects a network namespace with a network. On an error nothing is left.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`], [`Error::InvalidAddress`], [`Error::Netlink`], [`Error::Namespace`], [`Error::Datapath`].
    pub async fn attach(&self, netns: BorrowedFd<'_>, spec: EndpointSpec) -> Result<Endpoint, Error> {
        let netns = netns
            .try_clone_to_owned()
            .map_err(|source| Error::Namespace { operation: "keep the network namespace open", source })?;
        attach::attach(&self.inner, netns, spec).await
    }

    /// Disconnects an endpoint and withdraws its ports: when this returns, no packet reaches it. Its device goes with its
    /// namespace, or shortly after, see [`Self::settle`].
    ///
    /// # Errors
    /// Everything that failed; the other steps were done.
    pub async fn detach(&self, endpoint: &Endpoint) -> Result<(), Error> {
        detach::detach(&self.inner, endpoint.clone()).await
    }

    /// Disconnects an endpoint of a container that goes on, and withdraws its ports. Its device is gone when this returns.
    ///
    /// # Errors
    /// Everything that failed; the other steps were done.
    pub async fn remove(&self, endpoint: &Endpoint) -> Result<(), Error> {
        detach::remove(&self.inner, endpoint.clone()).await
    }

    /// Sets, moves or removes a container's default routes.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Namespace`], [`Error::DeviceGone`].
    pub async fn set_default_routes(
        &self,
        netns: BorrowedFd<'_>,
        routes: DefaultRoutes<'_>,
    ) -> Result<(), Error> {
        let netns = netns
            .try_clone_to_owned()
            .map_err(|source| Error::Namespace { operation: "keep the network namespace open", source })?;
        let by = |endpoint: &Endpoint, gateway: Option<IpAddr>| Some((endpoint.ifname.clone(), gateway?));
        let ipv4 = routes.ipv4.and_then(|end| by(end, end.ipv4.map(|address| address.gateway.into())));
        let ipv6 = routes.ipv6.and_then(|end| by(end, end.ipv6.map(|address| address.gateway.into())));
        let set = move || attach::set_default_routes(&netns, ipv4.as_ref(), ipv6.as_ref());
        blocking("set default routes", set).await
    }

    /// Publishes ports, all or none; returns them with the ports that were chosen where the host's port was 0. What is
    /// published already, the same in all, only gets its rules: flows that these refuse end.
    ///
    /// # Errors
    /// [`Error::PortInUse`], [`Error::PortPublished`], [`Error::AddressUnavailable`], [`Error::InvalidPublish`],
    /// [`Error::NoFreePort`], [`Error::Datapath`].
    pub async fn publish<P>(&self, publishes: &[P]) -> Result<Vec<Publish>, Error>
    where
        P: Into<PublishSpec> + Clone,
    {
        let inner = Arc::clone(&self.inner);
        let publishes: Vec<PublishSpec> = publishes.iter().cloned().map(Into::into).collect();
        blocking("publish", move || inner.publish(&publishes)).await
    }

    /// Withdraws ports; what is not published is fine.
    ///
    /// # Errors
    /// Everything that failed; the other ports were withdrawn.
    pub async fn unpublish(&self, publishes: &[Publish]) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let publishes = publishes.to_vec();
        blocking("unpublish", move || inner.unpublish(&publishes)).await
    }

    /// What is published, and what went through it.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn publishes(&self) -> Result<Vec<PublishStatus>, Error> {
        Ok(self.inner.datapath.publishes()?)
    }

    /// What is published, with the rules of each, but the daemon's.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn publish_rules(&self) -> Result<Vec<PublishRules>, Error> {
        self.inner.publish_rules()
    }

    /// The daemon's rules, for everything that is published.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn daemon_rules(&self) -> Result<Vec<RuleStatus>, Error> {
        Ok(self.inner.datapath.daemon_rules()?)
    }

    /// The uplinks at which the guard stands.
    pub fn guards(&self) -> Vec<GuardStatus> {
        self.inner.guards()
    }

    /// What is published for a container's address, without counters.
    pub fn published_for(&self, container_ip: IpAddr) -> Vec<Publish> {
        lock(&self.inner.published).of(container_ip)
    }

    /// An endpoint's traffic as its container sees it; zeroes once it is detached.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn counters(&self, endpoint: &Endpoint) -> Result<EndpointCounters, Error> {
        Ok(self.inner.datapath.endpoint_counters(endpoint.host_ifindex)?)
    }

    /// An endpoint's traffic by protocol and peer; none once it is detached, or when there are more endpoints than there is
    /// memory for such figures.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn traffic(&self, endpoint: &Endpoint) -> Result<Option<Traffic>, Error> {
        Ok(self.inner.datapath.endpoint_traffic(endpoint.host_ifindex)?)
    }

    /// How many packets were refused, by reason.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn drops(&self) -> Result<Vec<(DropReason, u64)>, Error> {
        Ok(self.inner.datapath.drops()?)
    }

    /// The chains of a firewall that drop what the host's stack forwards, as `FAMILY TABLE CHAIN`: packets of containers that
    /// have to be cut, or answered by an ICMP error, do not get past them. Those of nftables; the older iptables has its own.
    pub fn dropping_chains(&self) -> Vec<String> {
        crate::firewall::dropping_chains().unwrap_or_else(|error| {
            tracing::debug!(%error, "the chains of the host's firewall cannot be read");
            Vec::new()
        })
    }

    /// How full the table of flows is.
    pub fn flow_table(&self) -> FlowTable {
        FlowTable {
            entries: self.inner.datapath.conntrack_len(),
            capacity: self.inner.datapath.conntrack_capacity(),
        }
    }

    /// How many flows the members of each network have, and may have.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn network_flows(&self) -> Result<Vec<NetworkFlows>, Error> {
        Ok(self.inner.datapath.network_flows()?)
    }

    /// After a restart: makes everything of the instance as it is to be, and removes the rest. Flows of what is kept are
    /// not disturbed. Returns the endpoints whose devices are gone.
    ///
    /// # Errors
    /// Everything that failed; the other steps were done.
    pub async fn reconcile(&self, keep: Keep) -> Result<Vec<Endpoint>, Error> {
        let inner = Arc::clone(&self.inner);
        blocking("reconcile", move || inner.reconcile(&keep)).await
    }

    /// Waits until the devices of detached endpoints are gone.
    pub async fn settle(&self) {
        self.inner.removals.close();
        self.inner.removals.wait().await;
        self.inner.removals.reopen();
    }

    /// Removes everything of the instance: devices, links, maps. Other handles of this value are of no use after it.
    ///
    /// # Errors
    /// Everything that failed; the other steps were done.
    pub async fn destroy(&self) -> Result<(), Error> {
        self.inner.stop_tasks();
        self.settle().await;
        let inner = Arc::clone(&self.inner);
        blocking("destroy", move || inner.destroy()).await
    }
}

impl Inner {
    fn open(config: &NetConfig) -> Result<Self, Error> {
        let datapath = Datapath::open(&DatapathConfig {
            instance: config.instance.clone(),
            bpffs: config.bpffs.clone(),
            cgroup2: config.cgroup2.clone(),
            conntrack_entries: config.conntrack_entries,
            timeouts: config.timeouts,
            log_level: config.log_level,
            watch: config.watch,
        })?;
        let published = Table::new(datapath.publishes()?.into_iter().map(|status| status.publish));
        let inner = Self {
            instance: config.instance.clone(),
            datapath,
            networks: RwLock::default(),
            published: Mutex::new(published),
            uplinks: Mutex::default(),
            guard: config.guard.clone(),
            accelerate_host: config.accelerate_host,
            removals: TaskTracker::new(),
            tasks: Mutex::default(),
        };
        inner.datapath.set_daemon_rules(&config.rules)?;
        inner.forget_stale_uplinks()?;
        inner.refresh_uplinks()?;
        inner.miss_guards();
        Ok(inner)
    }

    fn stop_tasks(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop_tasks();
    }
}

fn check_instance(instance: &str) -> Result<(), Error> {
    let is_valid = (1..=6).contains(&instance.len())
        && instance.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if is_valid { Ok(()) } else { Err(Error::InvalidInstance { instance: instance.to_owned() }) }
}
