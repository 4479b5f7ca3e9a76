//! The datapath: the programs in the kernel, their maps and links, as a typed API.
//!
//! Everything here is synchronous and thread-safe. All state that matters lives in pinned maps: a [`Datapath`] that
//! is opened again finds networks, endpoints, publishes and flows as they were, and packets never notice. What is set
//! twice is left alone, so a caller may simply say again what should be.

mod accelerate;
mod attach;
mod btf;
mod endpoints;
mod error;
mod events;
mod flows;
mod guard;
mod kernel_log;
mod load;
mod networks;
mod observe;
mod pins;
mod policy;
mod programs;
mod publishes;
mod refusal;
mod resolvers;
mod spec;
mod state;
mod syscall;
mod tables;
mod upgrade;
mod uplinks;

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use accelerate::{Acceleration, EndSpec};
pub use beeline_abi::{Direction, EventLoss, PeerScope, Traffic, TrafficClass, TrafficKind, Volume};
pub use error::Error;
pub use events::{Events, FlowEnds, FlowRecord, Phase, Told};
pub use flows::NetworkFlows;
pub use observe::{Connections, Group, Observed};
pub use refusal::{Refusal, RefusingRule};
pub use resolvers::ResolverStatus;
pub use spec::{
    DatapathConfig, DropReason, EndpointCounters, EndpointSpec, GuardMode, Histogram, LAYOUT_VERSION,
    LogLevel, NetworkSpec, ProgramStatus, Protocol, Publish, PublishCounters, PublishStatus, RuleSets,
    RuleStatus, Timeouts, UplinkSpec, Watch,
};

use crate::rules::Rules;
pub use syscall::netns_cookie;

use attach::{Attacher, Way};
use kernel_log::KernelLog;
use load::{Loaded, Programs};
use pins::Pins;
use state::State;
use tables::{Tables, failed};
use upgrade::Staged;

/// The instance's programs and maps.
pub struct Datapath {
    instance: String,
    pins: Pins,
    programs: Programs,
    programs_folder: PathBuf,
    cgroup2: PathBuf,
    /// Whether the kernel took the programs that accelerate, and whether it passed the test when that was made.
    can_load_acceleration: Result<(), String>,
    acceleration: OnceLock<Result<accelerate::Verdict, String>>,
    /// Why a network is not accelerated that asks for it without any exception.
    tolerable_failure: OnceLock<String>,
    state: Mutex<State>,
    flows: OwnedFd,
    capacity: u32,
    entries: AtomicU64,
    timeouts: Timeouts,
    groups: observe::Groups,
    watch: Watch,
    /// The kernel counts programs' runs while it is open.
    _statistics: Option<OwnedFd>,
    /// While programs with maps of another layout are in place.
    staged: Mutex<Option<Staged>>,
    _log: Option<KernelLog>,
}

impl std::fmt::Debug for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datapath")
            .field("instance", &self.instance)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

impl Datapath {
    /// Loads the programs, or takes over those of an earlier daemon: the same object is adopted, another one loaded
    /// on the old maps and put behind the old links. Must run in the network namespace that the daemon serves.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the kernel lacks something, [`Error::Verifier`] with the verifier's log.
    pub fn open(config: &DatapathConfig) -> Result<Self, Error> {
        let pins = Pins::prepare(config)?;
        let opened = Self::open_on(config, pins.clone());
        if opened.is_err() && pins.is_new() {
            // What failed the first time leaves nothing behind; its own failure is the one to tell.
            drop(pins.remove_all());
        }
        opened
    }

    fn open_on(config: &DatapathConfig, pins: Pins) -> Result<Self, Error> {
        let staged = Staged::find(&pins)?;
        let Loaded { programs, folder: programs_folder, acceleration } = load::load_or_adopt(config, &pins)?;
        if staged.is_none() {
            load::update_links(&pins, &programs)?;
            pins.remove_other_programs(&programs_folder)?;
        }
        attach::attach_cgroup(&pins, &programs, &config.cgroup2)?;
        observe::attach(&programs, config.watch, &programs_folder, &config.cgroup2)?;
        let publish_table = tables::open_raw(&pins, "PUBLISHES")?;
        let (flows, capacity) = tables::open_flows(&pins)?;
        let mut state = State::restore(Tables::open(&pins)?, publish_table.as_fd(), capacity)?;
        if let Some(staged) = &staged {
            resolvers::carry(&mut state, &staged.earlier)?;
        }
        let log = match config.log_level {
            LogLevel::Off => None,
            _ => start_log(&programs_folder),
        };
        Ok(Self {
            groups: observe::Groups::open(&pins, config.watch)?,
            watch: config.watch,
            _statistics: config.watch.program_runs.then(observe::count_runs).flatten(),
            instance: config.instance.clone(),
            pins,
            programs,
            programs_folder,
            cgroup2: config.cgroup2.clone(),
            can_load_acceleration: acceleration,
            acceleration: OnceLock::new(),
            tolerable_failure: OnceLock::new(),
            state: Mutex::new(state),
            flows,
            capacity,
            entries: AtomicU64::new(0),
            timeouts: config.timeouts,
            staged: Mutex::new(staged),
            _log: log,
        })
    }

    /// The maps. A panic of another holder left them no worse than a crash of the daemon does.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attacher(&self) -> Attacher<'_> {
        Attacher {
            pins: &self.pins,
            programs: &self.programs,
            folder: &self.programs_folder,
            instance: &self.instance,
        }
    }

    fn staged(&self) -> MutexGuard<'_, Option<Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether programs of an earlier daemon, with maps of another layout, are in place until [`Self::take_over`].
    pub fn is_staged(&self) -> bool {
        self.staged().is_some()
    }

    /// Ends what an earlier daemon began whose maps were laid out otherwise: its flows are carried over, and the programs
    /// of this daemon take the place of its own. To be called when networks, endpoints, uplinks, addresses and publishes
    /// have been told. Without such a daemon nothing happens.
    ///
    /// # Errors
    /// [`Error::Flows`], [`Error::Map`], [`Error::Pins`], [`Error::Attach`].
    pub fn take_over(&self) -> Result<(), Error> {
        let Some(staged) = self.staged().take() else { return Ok(()) };
        let before = staged.carry_flows(&mut self.state())?;
        load::update_links(&self.pins, &self.programs)?;
        for device in &staged.devices {
            self.attach(device.program, device.ifindex, &device.ifname, device.way)?;
        }
        let meanwhile = staged.carry_flows(&mut self.state())?;
        for (version, folder) in &staged.earlier {
            tracing::info!(version, flows = before + meanwhile, "took over from maps of another layout");
            // Sockets that it enrolled live on, with its programs and maps.
            accelerate::forget_ends(folder)?;
            Pins::remove_maps(folder)?;
        }
        self.pins.remove_other_programs(&self.programs_folder)
    }

    fn attach(&self, program: &'static str, ifindex: u32, ifname: &str, way: Way) -> Result<(), Error> {
        if let Some(staged) = &mut *self.staged() {
            staged.devices.push(upgrade::Device { program, ifindex, ifname: ifname.to_owned(), way });
            return Ok(());
        }
        self.attacher().attach(program, ifindex, ifname, way)
    }

    /// Attaches to a device towards the outside.
    ///
    /// # Errors
    /// [`Error::Attach`].
    pub fn attach_uplink(&self, ifindex: u32, ifname: &str) -> Result<(), Error> {
        self.attach(programs::UPLINK_INGRESS, ifindex, ifname, Way::Ingress)?;
        self.attach(programs::UPLINK_EGRESS, ifindex, ifname, Way::Egress)
    }

    /// Detaches from a device towards the outside, which may be gone already.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn detach_uplink(&self, ifindex: u32, ifname: &str) -> Result<(), Error> {
        let ingress = self.attacher().detach(programs::UPLINK_INGRESS, ifindex, ifname, Way::Ingress);
        self.attacher().detach(programs::UPLINK_EGRESS, ifindex, ifname, Way::Egress).and(ingress)
    }

    /// Attaches to a network's bridge device.
    ///
    /// # Errors
    /// [`Error::Attach`].
    pub fn attach_gateway(&self, ifindex: u32, ifname: &str) -> Result<(), Error> {
        self.attach(programs::GATEWAY_EGRESS, ifindex, ifname, Way::Egress)
    }

    /// Detaches from a network's bridge device, which may be gone already.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn detach_gateway(&self, ifindex: u32, ifname: &str) -> Result<(), Error> {
        self.attacher().detach(programs::GATEWAY_EGRESS, ifindex, ifname, Way::Egress)
    }

    /// Attaches to the host's end of a container's veth pair.
    ///
    /// # Errors
    /// [`Error::Attach`].
    pub fn attach_container(&self, host_ifindex: u32, ifname: &str) -> Result<(), Error> {
        self.attach(programs::CONTAINER_INGRESS, host_ifindex, ifname, Way::Ingress)
    }

    /// Detaches from the host's end of a container's veth pair, which may be gone already.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn detach_container(&self, host_ifindex: u32, ifname: &str) -> Result<(), Error> {
        self.attacher().detach(programs::CONTAINER_INGRESS, host_ifindex, ifname, Way::Ingress)
    }

    /// Tells of a device towards the outside; packets leave only by such.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn set_uplink(&self, spec: &UplinkSpec) -> Result<(), Error> {
        self.state().set_uplink(spec)
    }

    /// Forgets a device towards the outside.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn remove_uplink(&self, ifindex: u32) -> Result<(), Error> {
        self.state().remove_uplink(ifindex)
    }

    /// How many flows the members of each network have, and may have.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn network_flows(&self) -> Result<Vec<NetworkFlows>, Error> {
        self.state().network_flows()
    }

    /// The devices towards the outside.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn uplinks(&self) -> Result<Vec<u32>, Error> {
        self.state().tables.uplinks.keys().collect::<Result<_, _>>().map_err(failed("read", "UPLINKS"))
    }

    /// Tells of a network.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn set_network(&self, spec: &NetworkSpec) -> Result<(), Error> {
        self.changing_rules(|state| state.set_network(spec))
    }

    /// Forgets a network.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn remove_network(&self, id: u32) -> Result<(), Error> {
        self.state().remove_network(id)
    }

    /// The ids of the networks.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn networks(&self) -> Result<Vec<u32>, Error> {
        self.state().tables.networks.keys().collect::<Result<_, _>>().map_err(failed("read", "NETWORKS"))
    }

    /// Tells of an endpoint. The same once more changes nothing, and keeps its flows and counters.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`], [`Error::Full`], [`Error::Map`].
    pub fn set_endpoint(&self, spec: &EndpointSpec) -> Result<(), Error> {
        self.state().set_endpoint(spec)
    }

    /// Forgets the endpoint at the host's end of this veth pair; its flows end with it.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn remove_endpoint(&self, host_ifindex: u32) -> Result<(), Error> {
        self.state().remove_endpoint(host_ifindex)
    }

    /// The endpoints.
    pub fn endpoints(&self) -> Vec<EndpointSpec> {
        self.state().endpoints()
    }

    /// Replaces the host's own addresses: those of every device, the gateways' among them, without the loopback's.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn set_local_addresses(&self, addresses: &[IpAddr]) -> Result<(), Error> {
        self.state().set_local_addresses(addresses)
    }

    /// Publishes an interval of ports for everybody. The same once more changes nothing, and keeps its flows and
    /// counters.
    ///
    /// # Errors
    /// [`Error::AlreadyPublished`], [`Error::InvalidPublish`], [`Error::Full`], [`Error::Map`].
    pub fn publish(&self, publish: &Publish) -> Result<(), Error> {
        self.publish_to(publish, &Rules::default())
    }

    /// Withdraws an interval of ports; its flows end with it.
    ///
    /// # Errors
    /// [`Error::NotPublished`], [`Error::Map`].
    pub fn unpublish(&self, publish: &Publish) -> Result<(), Error> {
        self.state().unpublish(publish)
    }

    /// What is published, and what went through it.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn publishes(&self) -> Result<Vec<PublishStatus>, Error> {
        self.state().publish_statuses()
    }

    /// An endpoint's traffic as its container sees it; zeroes for an unknown one.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn endpoint_counters(&self, host_ifindex: u32) -> Result<EndpointCounters, Error> {
        self.state().endpoint_counters(host_ifindex)
    }

    /// An endpoint's traffic by protocol and peer; none of an unknown one, or beyond the memory for such figures.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn endpoint_traffic(&self, host_ifindex: u32) -> Result<Option<Traffic>, Error> {
        self.state().endpoint_traffic(host_ifindex)
    }

    /// How many packets were refused, by reason.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn drops(&self) -> Result<Vec<(DropReason, u64)>, Error> {
        let state = self.state();
        let total =
            |reason: &DropReason| Ok((*reason, tables::sum(&state.tables.drops, "DROPS", *reason as u32)?));
        DropReason::ALL.iter().map(total).collect()
    }

    /// The programs that are loaded, by name.
    ///
    /// # Errors
    /// [`Error::Program`].
    pub fn programs(&self) -> Result<Vec<ProgramStatus>, Error> {
        let all = programs::all(self.watch).filter(|name| self.programs.contains_key(name));
        all.map(|name| load::describe(name, &self.programs_folder)).collect()
    }

    /// How many entries the table of flows can hold; a translated flow takes two.
    pub fn conntrack_capacity(&self) -> u32 {
        self.capacity
    }

    /// How many entries the table of flows held at the last call of [`Self::expire_flows`].
    pub fn conntrack_len(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Deletes the flows that are over; to be called every ten seconds. Returns how many.
    ///
    /// # Errors
    /// [`Error::Flows`].
    pub fn expire_flows(&self) -> Result<u64, Error> {
        // Above three quarters, idle flows make room for new ones.
        let is_pressed = self.conntrack_len() > u64::from(self.capacity) / 4 * 3;
        let timeouts = if is_pressed { self.timeouts.at_most(&Timeouts::PRESSED) } else { self.timeouts };
        let expire = self
            .programs
            .get(programs::EXPIRE_FLOWS)
            .ok_or_else(|| Error::Missing { what: format!("program {}", programs::EXPIRE_FLOWS) })?;
        let now = monotonic_now()?;
        let mut state = self.state();
        let slots = state.take_changed();
        state.cut(self.flows.as_fd(), &slots)?;
        drop(state);
        // The pass may take long: nobody waits for it.
        let generations = self.state().generations()?;
        let pass = flows::expire(self.flows.as_fd(), expire.as_fd(), &generations, now, &timeouts)?;
        self.state().set_flow_counts(&pass.per_network)?;
        self.entries.store(pass.entries - pass.expired.min(pass.entries), Ordering::Relaxed);
        Ok(pass.expired)
    }

    /// Detaches everything and removes every pin of the instance. Must run in the network namespace that the daemon
    /// serves.
    ///
    /// # Errors
    /// [`Error::Pins`].
    pub fn destroy(&self) -> Result<(), Error> {
        // Sockets live on, with programs and maps of theirs.
        let emptied = self.state().stop_accelerating_all();
        // Links go with their pins, filters of the older way do not.
        let name = |ifindex: u32| nix::net::if_::if_indextoname(ifindex).ok()?.into_string().ok();
        for ifindex in self.uplinks().unwrap_or_default() {
            self.detach_guard(ifindex)?;
            if let Some(ifname) = name(ifindex) {
                self.detach_uplink(ifindex, &ifname)?;
            }
        }
        for ifindex in self.state().gateways().unwrap_or_default() {
            if let Some(ifname) = name(ifindex) {
                self.detach_gateway(ifindex, &ifname)?;
            }
        }
        for endpoint in self.endpoints() {
            if let Some(ifname) = name(endpoint.host_ifindex) {
                self.detach_container(endpoint.host_ifindex, &ifname)?;
            }
        }
        self.pins.remove_all().and(emptied)
    }
}

fn monotonic_now() -> Result<u64, Error> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_err(|errno| Error::Flows { operation: "read the clock for", source: errno.into() })?;
    Ok(time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs())
}

/// The programs' log is a help, not a need: without it the datapath works.
fn start_log(programs_folder: &std::path::Path) -> Option<KernelLog> {
    let program = aya::programs::SchedClassifier::from_pin(programs_folder.join(programs::UPLINK_INGRESS));
    let id = program.and_then(|program| program.info()).map(|info| info.id());
    let started = id.map_err(std::io::Error::other).and_then(KernelLog::start);
    started.inspect_err(|error| tracing::warn!(%error, "the BPF programs' log cannot be read")).ok()
}
