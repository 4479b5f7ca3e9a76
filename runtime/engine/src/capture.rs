//! Capturing a container's packets.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use beeline_net::{
    CAPTURE_LATENCY, CaptureCounters, CaptureFilter, CaptureInterface, CaptureSpec, CapturedPacket, LinkType,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::container::mode::NetworkMode;
use crate::container::namespaces;
use crate::container::view::ContainerView;
use crate::engine::Engine;
use crate::error::{Error, chain};

/// What is to be captured.
#[derive(Debug, Clone, Default)]
pub struct CaptureRequest {
    /// The name or id of the one network; none for all of the container's interfaces.
    pub network: Option<String>,
    /// Which packets.
    pub filter: CaptureFilter,
    /// How many bytes of each.
    pub snaplen: u32,
    /// After how many packets it ends.
    pub packets: Option<u64>,
    /// After how long it ends.
    pub duration: Option<Duration>,
}

/// Why a capture has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureEnd {
    /// Whoever asked for it has enough.
    Stopped,
    /// It has as many packets as were asked for.
    Packets,
    /// The time is over.
    Duration,
    /// The container has ended.
    Container,
    /// The kernel ended it.
    Failed(String),
}

/// Something of a capture.
#[derive(Debug)]
pub enum Captured<'a> {
    /// An interface, before its first packet.
    Interface {
        /// The interface.
        interface: &'a CaptureInterface,
        /// The name of its network; none for the loopback and for devices of the container's own.
        network: Option<&'a str>,
    },
    /// A packet.
    Packet(CapturedPacket<'a>),
}

/// A capture that goes on until it is stopped or dropped, or its container ends.
#[derive(Debug)]
pub struct Capture {
    inner: beeline_net::Capture,
    /// The networks' names by those of interfaces.
    networks: BTreeMap<String, String>,
    /// Whether the interfaces at the beginning were handed over.
    is_introduced: bool,
    /// The interfaces that were handed over.
    known: Vec<u32>,
    views: watch::Receiver<Arc<ContainerView>>,
    /// How often the container had exited at the beginning.
    exits: u64,
    stop: CancellationToken,
    left: u64,
    deadline: Option<Instant>,
    end: Option<CaptureEnd>,
}

impl Engine {
    /// Begins to capture what a container's interfaces send and receive; `stop` ends it.
    ///
    /// # Errors
    /// The container does not run, has the host's network, or is not on the network that was asked for; the filter makes
    /// no sense.
    pub async fn capture(
        &self,
        reference: &str,
        request: CaptureRequest,
        stop: CancellationToken,
    ) -> Result<Capture, Error> {
        let shared = self.shared();
        let handle = shared.directory.find(reference)?;
        let view = namespaces::running(shared, reference)?;
        if view.config.host.mode() == NetworkMode::Host {
            return Err(Error::Invalid(format!(
                "container {} has the host's network, and with it the packets of all the host: capture there, as with \
                 tcpdump -i any",
                view.name
            )));
        }
        let owner = match view.config.host.mode() {
            NetworkMode::Container(owner) => shared.directory.find(owner)?.view(),
            _ => view.clone(),
        };
        let interface = request.network.map(|network| interface_on(&owner, &network)).transpose()?;
        let gone = || Error::Conflict(format!("container {} is not running", view.id));
        let netns = namespaces::network(shared, &view).ok_or_else(gone)?;
        let spec = CaptureSpec { interface, filter: request.filter, snaplen: request.snaplen };
        let inner = beeline_net::Capture::open(netns.as_fd(), spec).await;
        let inner = inner.map_err(|error| match error.kind() {
            beeline_net::ErrorKind::InvalidParameter => Error::Invalid(error.to_string()),
            _ => Error::internal(format!("capture the packets of container {}", view.name), &error),
        })?;
        Ok(Capture {
            inner,
            networks: owner
                .endpoints
                .iter()
                .map(|end| (end.interface.clone(), end.network.clone()))
                .collect(),
            is_introduced: false,
            known: Vec::new(),
            views: handle.views,
            exits: view.exits,
            stop,
            left: request.packets.unwrap_or(u64::MAX),
            deadline: request.duration.map(|duration| Instant::now() + duration),
            end: None,
        })
    }
}

/// The interface by which a container is on a network.
fn interface_on(view: &ContainerView, network: &str) -> Result<String, Error> {
    let connected = || view.endpoints.iter().filter(|endpoint| !endpoint.interface.is_empty());
    let is_meant = |name: &str, id: &str| name == network || (network.len() >= 12 && id.starts_with(network));
    let found = connected().find(|endpoint| is_meant(&endpoint.network, &endpoint.network_id));
    found.map(|endpoint| endpoint.interface.clone()).ok_or_else(|| {
        let all: Vec<&str> = connected().map(|endpoint| endpoint.network.as_str()).collect();
        let others = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        Error::Invalid(format!("container {} is not on network {network}; it is on: {others}", view.name))
    })
}

impl Capture {
    /// Waits for packets and hands each over, with its interface before it if that is new. False once the capture has
    /// ended and all that was captured is handed over.
    pub async fn next(&mut self, mut each: impl FnMut(Captured<'_>)) -> bool {
        if !std::mem::replace(&mut self.is_introduced, true) {
            self.introduce(&mut each);
            return true;
        }
        if self.end.is_none() {
            self.end = self.wait().await;
            if self.end.is_some()
                && let Err(error) = self.inner.stop()
            {
                tracing::warn!(error = chain(&error), "a capture goes on while it is emptied");
            }
        }
        // What came before the end is in a block that is not full, which the kernel hands over soon.
        let is_over = self.left == 0
            || self.end.is_some()
                && !matches!(timeout(CAPTURE_LATENCY, self.inner.ready()).await, Ok(Ok(())));
        if !is_over {
            self.hand_over(&mut each);
        }
        !is_over
    }

    /// Why it has ended.
    #[must_use]
    pub fn end(&self) -> Option<&CaptureEnd> {
        self.end.as_ref()
    }

    /// How many packets the kernel took and lost since the beginning.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn counters(&mut self) -> Result<CaptureCounters, Error> {
        self.inner.counters().map_err(|error| Error::internal("end a capture", &error))
    }

    /// The interfaces at the beginning that have Ethernet headers. Readers such as tcpdump take no file in which interfaces
    /// differ in this: any other is told only before its first packet.
    fn introduce(&mut self, each: &mut impl FnMut(Captured<'_>)) {
        for interface in self.inner.interfaces() {
            if interface.link == LinkType::Ethernet {
                self.known.push(interface.index);
                each(Captured::Interface { interface, network: network_of(&self.networks, interface) });
            }
        }
    }

    /// Waits for packets or an end.
    async fn wait(&mut self) -> Option<CaptureEnd> {
        let (exits, deadline) = (self.exits, self.deadline);
        let has_ended = |view: &Arc<ContainerView>| !view.status.state.is_running() || view.exits != exits;
        let time_is_over = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Some(CaptureEnd::Stopped),
            () = time_is_over => Some(CaptureEnd::Duration),
            _ = self.views.wait_for(has_ended) => Some(CaptureEnd::Container),
            ready = self.inner.ready() => ready.err().map(|error| CaptureEnd::Failed(chain(&error))),
        }
    }

    fn hand_over(&mut self, each: &mut impl FnMut(Captured<'_>)) {
        let Some(block) = self.inner.block() else { return };
        for packet in block.packets() {
            if self.left == 0 {
                break;
            }
            if !self.known.contains(&packet.interface) {
                // One that has gone already has no name any more.
                let nameless =
                    |_| CaptureInterface { index: packet.interface, name: String::new(), link: packet.link };
                let interface = block.interface(packet.interface).unwrap_or_else(nameless);
                let network = network_of(&self.networks, &interface);
                each(Captured::Interface { interface: &interface, network });
                self.known.push(packet.interface);
            }
            each(Captured::Packet(packet));
            self.left -= 1;
        }
        if self.left == 0 {
            self.end.get_or_insert(CaptureEnd::Packets);
        }
    }
}

fn network_of<'a>(networks: &'a BTreeMap<String, String>, interface: &CaptureInterface) -> Option<&'a str> {
    networks.get(&interface.name).map(String::as_str)
}
