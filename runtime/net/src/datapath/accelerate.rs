//! Connections within the host, past the network.
//!
//! Nothing of it runs before a network asks for it, and before the kernel has passed a test: what sockets do on the short
//! way has been broken, in one respect or the other, in many kernels. What fails is named, and nothing is accelerated.

mod test;

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::maps::{HashMap, Map, MapData};
use aya_obj::generated::bpf_attach_type as at;
use beeline_abi::{AcceleratedEnd, Address, HOST_SLOT};
use serde::{Deserialize, Serialize};

use super::{
    Datapath, EndpointCounters, Error,
    btf::Btf,
    pins::Pins,
    programs,
    state::State,
    syscall,
    tables::{self, failed},
};

/// The fields that the programs read, each with the program's name for it and whether there must be one.
const FIELDS: [(&str, &str, &[&str], bool); 5] = [
    ("WRITE_SEQ", "tcp_sock", &["write_seq"], true),
    ("COPIED_SEQ", "tcp_sock", &["copied_seq"], true),
    ("RMEM_ALLOC", "sock", &["sk_backlog", "rmem_alloc"], true),
    ("ULP_OPS", "inet_connection_sock", &["icsk_ulp_ops"], true),
    ("IS_MPTCP", "tcp_sock", &["is_mptcp"], false),
];

/// Where the kernel keeps what the programs read, by their names for it; or what cannot be found.
pub(super) fn offsets(btf: &Btf) -> Result<Vec<(&'static str, u32)>, String> {
    let find = |(name, structure, path, is_needed): (&'static str, &str, &[&str], bool)| match btf
        .offset(structure, path)
    {
        Some(offset) => Ok((name, offset)),
        None if is_needed => Err(format!("it has no field {} in {structure}", path.join("."))),
        None => Ok((name, 0)),
    };
    FIELDS.into_iter().map(find).collect()
}

/// Empties what maps of another layout say may be accelerated: the programs of sockets that were enrolled in them ask
/// nobody else.
pub(super) fn forget_ends(folder: &Path) -> Result<(), Error> {
    // A layout of before there was such a map.
    let Ok(data) = MapData::from_pin(folder.join("ENDS")) else { return Ok(()) };
    let ends = HashMap::<_, Address, AcceleratedEnd>::try_from(Map::HashMap(data));
    let mut ends = ends.map_err(failed("open", "ENDS"))?;
    let addresses: Result<Vec<Address>, _> = ends.keys().collect();
    let addresses = addresses.map_err(failed("read", "ENDS"))?;
    addresses.iter().try_for_each(|address| tables::remove(&mut ends, "ENDS", address))
}

/// Whether connections of a network are accelerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acceleration {
    /// They are not.
    #[default]
    Off,
    /// They are, on kernels where nothing shows it but speed.
    On,
    /// They are, also on kernels with known faults that few programs notice.
    DespiteFaults,
}

/// What may be accelerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSpec {
    /// Its address.
    pub address: IpAddr,
    /// The cookie of the network namespace whose sockets have it.
    pub netns_cookie: u64,
    /// The network's id.
    pub network: u32,
    /// The host's end of the container's veth pair, with which the entry goes; none for the host itself.
    pub host_ifindex: Option<u32>,
}

/// What the test of the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything is as without acceleration.
    Good,
    /// Everything but what few programs notice, and what that is.
    Faulty(String),
}

impl Datapath {
    /// Accelerates connections between this end and others of its network, from the next one on. To be called when
    /// [`Self::can_accelerate`].
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn accelerate(&self, end: &EndSpec) -> Result<(), Error> {
        self.state().accelerate(end)
    }

    /// Takes connections of a network back to the long way at once, those of the host alone or all.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn stop_accelerating(&self, network: u32, only_host: bool) -> Result<(), Error> {
        self.state().stop_accelerating(|end| end.network == network && (!only_host || end.slot == HOST_SLOT))
    }

    /// Whether this kernel can accelerate; it is tested the first time. If it can, sockets are enrolled from now on.
    ///
    /// # Errors
    /// [`Error::Acceleration`] with the reason, [`Error::Attach`].
    pub fn can_accelerate(&self, wanted: Acceleration) -> Result<(), Error> {
        let outcome = self.acceleration.get_or_init(|| {
            let outcome = self.start_accelerating();
            match &outcome {
                Ok(verdict) => tracing::info!(?verdict, "connections within the host can be accelerated"),
                Err(reason) => tracing::warn!(reason, "connections within the host are not accelerated"),
            }
            outcome
        });
        let reason = match (outcome, wanted) {
            (Err(reason), _) => reason.clone(),
            (Ok(Verdict::Faulty(reason)), Acceleration::On) => {
                let reason = format!("{reason} (where no program minds, ask for despite-faults)");
                self.tolerable_failure.get_or_init(|| reason).clone()
            }
            _ => return self.keep_enrolling(),
        };
        Err(Error::Acceleration { reason })
    }

    /// Why nothing is accelerated although a network asked for it, if that is so.
    pub fn acceleration_failure(&self) -> Option<String> {
        let failure = self.acceleration.get()?.clone().err();
        failure.or_else(|| self.tolerable_failure.get().cloned())
    }

    /// What took the short way to and from the host itself.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn accelerated_by_host(&self) -> Result<EndpointCounters, Error> {
        self.state().shortcuts(HOST_SLOT)
    }

    /// What took the short way to and from an endpoint: a part of [`Self::endpoint_counters`].
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn accelerated(&self, host_ifindex: u32) -> Result<EndpointCounters, Error> {
        let state = self.state();
        let device = state.devices.get(&host_ifindex);
        device.map_or_else(|| Ok(EndpointCounters::default()), |device| state.shortcuts(device.slot))
    }

    /// Ends what no network asks for any more: sockets cost nothing, then.
    ///
    /// # Errors
    /// [`Error::Map`], [`Error::Pins`].
    pub fn stop_all_acceleration(&self) -> Result<(), Error> {
        self.state().stop_accelerating_all()?;
        let path = self.enrol_link();
        // None is there, or the cgroup is gone.
        drop(syscall::open_pinned(&path).and_then(|link| syscall::detach_link(link.as_fd())));
        Pins::remove(&path)
    }

    fn start_accelerating(&self) -> Result<Verdict, String> {
        self.can_load_acceleration.clone()?;
        // For the test alone: nobody may want it with what it says.
        let link = self.attach_acceleration();
        let link = link.map_err(|error| format!("the programs cannot be attached: {error}"))?;
        let verdict = test::run(self).inspect_err(|_| drop(self.stop_all_acceleration()));
        // Dropped, it would go some time later: two programs would enrol each socket until then.
        let detached = link.map_or(Ok(()), |link| syscall::detach_link(link.as_fd()));
        detached.map_err(|error| format!("the programs cannot be detached: {error}"))?;
        verdict
    }

    /// Enrols sockets from now on, if that is not done already.
    fn keep_enrolling(&self) -> Result<(), Error> {
        let path = self.enrol_link();
        if path.exists() {
            return Ok(());
        }
        let pinned = self.attach_acceleration().and_then(|link| match link {
            Some(link) => syscall::pin(link.as_fd(), &path),
            None => Ok(()),
        });
        let target = format!("cgroup {}", self.cgroup2.display());
        pinned.map_err(|source| Error::Attach { program: programs::ACCELERATE_ENROL, target, source })
    }

    fn enrol_link(&self) -> PathBuf {
        self.pins.cgroup_link(programs::ACCELERATE_ENROL)
    }

    /// Attaches the programs; the link is not pinned yet. There is none if an earlier daemon's leads to our program; one
    /// that leads to another's, while that is staged, does not enrol what we test with.
    fn attach_acceleration(&self) -> io::Result<Option<OwnedFd>> {
        let program = |name| self.programs.get(name).map(|fd| fd.as_fd()).ok_or(io::ErrorKind::NotFound);
        let sockets = syscall::open_pinned(&self.pins.map("ACCELERATED"))?;
        syscall::attach(program(programs::ACCELERATE_SEND)?, sockets.as_fd(), at::BPF_SK_MSG_VERDICT as u32)?;
        let receive = program(programs::ACCELERATE_RECEIVE)?;
        syscall::attach(receive, sockets.as_fd(), at::BPF_SK_SKB_STREAM_VERDICT as u32)?;
        if self.enrol_link().exists() && !self.is_staged() {
            return Ok(None);
        }
        let root = File::open(&self.cgroup2)?;
        let target = syscall::Target::Cgroup(root.as_fd());
        let enrol = program(programs::ACCELERATE_ENROL)?;
        syscall::create_link(enrol, target, at::BPF_CGROUP_SOCK_OPS as u32).map(Some)
    }
}

impl State {
    fn accelerate(&mut self, end: &EndSpec) -> Result<(), Error> {
        let slot = match end.host_ifindex {
            None => HOST_SLOT,
            // An endpoint that is gone meanwhile is no end.
            Some(ifindex) => match self.devices.get(&ifindex) {
                Some(device) => device.slot,
                None => return Ok(()),
            },
        };
        let entry = AcceleratedEnd { netns: end.netns_cookie, network: end.network, slot };
        self.set_end(&end.address.into(), entry)
    }

    pub(super) fn set_end(&mut self, address: &Address, end: AcceleratedEnd) -> Result<(), Error> {
        self.tables.ends.insert(address, end, 0).map_err(failed("write", "ENDS"))
    }

    pub(super) fn remove_end(&mut self, address: &Address) -> Result<(), Error> {
        tables::remove(&mut self.tables.ends, "ENDS", address)
    }

    /// Takes all connections back to the long way.
    pub(super) fn stop_accelerating_all(&mut self) -> Result<(), Error> {
        self.stop_accelerating(|_| true)
    }

    fn stop_accelerating(&mut self, is_over: impl Fn(&AcceleratedEnd) -> bool) -> Result<(), Error> {
        let ends: Result<Vec<_>, _> = self.tables.ends.iter().collect();
        let ends = ends.map_err(failed("read", "ENDS"))?;
        ends.iter().filter(|(_, end)| is_over(end)).try_for_each(|(address, _)| self.remove_end(address))
    }

    /// What took the short way, by the slot of its counters.
    pub(super) fn shortcuts(&self, slot: u32) -> Result<EndpointCounters, Error> {
        tables::sum(&self.tables.shortcuts, "SHORTCUTS", slot)
    }
}
