//! What only the kernel's sockets and its scheduler know of containers, by control group.
//!
//! Each program is a feature of its own: what a kernel does not let us watch is not counted, and all else is. Links lie
//! beside the programs, as the kernel replaces none behind a link to a tracepoint: a daemon with another object attaches
//! its own when those of the earlier one are gone, and what happens between is not counted.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::Path,
    sync::{PoisonError, RwLock},
};

use aya::{
    maps::{Map, MapData, MapError, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use aya_obj::generated::bpf_attach_type as at;
use beeline_abi::{GroupCounters, Histogram};

use super::{
    Datapath, Error,
    btf::Btf,
    load::Programs,
    pins::Pins,
    programs::{self, Hook},
    syscall,
    tables::{BPF_NOEXIST, errno, failed},
};

/// The fields that the programs read, with the programs' names for them.
const FIELDS: [(&str, &str, &[&str]); 14] = [
    ("SOCK_CGROUP", "sock", &["sk_cgrp_data", "cgroup"]),
    ("SOCK_ERROR", "sock", &["sk_err"]),
    ("SOCK_PROTOCOL", "sock", &["sk_protocol"]),
    ("SOCK_STATE", "sock", &["__sk_common", "skc_state"]),
    ("ACCEPT_QUEUE", "sock", &["sk_ack_backlog"]),
    ("ACCEPT_LIMIT", "sock", &["sk_max_ack_backlog"]),
    ("SKB_PROTOCOL", "sk_buff", &["protocol"]),
    ("SKB_CONTROL", "sk_buff", &["cb"]),
    ("SEGMENTS", "tcp_skb_cb", &["tcp_gso_segs"]),
    ("CGROUP_NODE", "cgroup", &["kn"]),
    ("CGROUP_PARENT", "cgroup", &["self", "parent"]),
    ("CGROUP_ROOT", "cgroup", &["root"]),
    ("ROOT_NUMBER", "cgroup_root", &["hierarchy_id"]),
    ("NODE_ID", "kernfs_node", &["id"]),
];

/// Where the kernel keeps what the programs read, by their names for it; or what cannot be found.
pub(super) fn offsets(btf: &Btf) -> Result<Vec<(&'static str, u32)>, String> {
    let find = |(name, structure, path): (&'static str, &str, &[&str])| {
        let offset = btf.offset(structure, path);
        let missing = || format!("it has no field {} in {structure}", path.join("."));
        Ok((name, offset.ok_or_else(missing)?))
    };
    FIELDS.into_iter().map(find).collect()
}

/// What a container's sockets and processes did. What this kernel does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How long the round trips of its connections took.
    pub round_trips: Option<Histogram>,
    /// How long its own connections took to be established.
    pub connects: Option<Histogram>,
    /// How its own connections failed, and those of others that it took.
    pub connections: Option<Connections>,
    /// Segments that were sent once more.
    pub retransmits: Option<u64>,
    /// Resets that its sockets sent.
    pub resets_sent: Option<u64>,
    /// Resets that ended its connections.
    pub resets_received: Option<u64>,
    /// Probes of peers that take no more data.
    pub window_probes: Option<u64>,
    /// Connections that found the queue of a listening socket full.
    pub overflows: Option<u64>,
    /// Programs that were executed.
    pub execs: Option<u64>,
    /// Processes that ended.
    pub exits: Option<u64>,
}

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Others', established.
    pub accepted: u64,
    /// Its own, refused by a reset.
    pub refused: u64,
    /// Its own, which nobody answered, or to which there was no way.
    pub failed: u64,
    /// Its own, given up before there was an answer.
    pub abandoned: u64,
}

/// The map of groups.
pub(super) struct Groups(RwLock<PerCpuHashMap<MapData, u64, GroupCounters>>);

const NAME: &str = "GROUPS";

impl Groups {
    pub(super) fn open(pins: &Pins) -> Result<Self, Error> {
        let map = MapData::from_pin(pins.map(NAME)).map(Map::PerCpuHashMap);
        let map = map.and_then(PerCpuHashMap::try_from).map_err(failed("open", NAME))?;
        Ok(Self(RwLock::new(map)))
    }

    /// Begins to count for a group; one that is counted for already keeps its counters.
    fn add(&self, group: u64) -> Result<(), Error> {
        let cpus = nr_cpus().map_err(|(_, source)| failed("write", NAME)(MapError::IoError(source)))?;
        let zeroes = PerCpuValues::try_from(vec![GroupCounters::default(); cpus])
            .map_err(|source| failed("write", NAME)(MapError::IoError(source)))?;
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match map.insert(group, zeroes, BPF_NOEXIST) {
            Err(error) if errno(&error) != Some(libc::EEXIST) => Err(failed("write", NAME)(error)),
            _ => Ok(()),
        }
    }

    fn remove(&self, group: u64) -> Result<(), Error> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match map.remove(&group) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(()),
            Err(error) => Err(failed("remove from", NAME)(error)),
        }
    }

    fn all(&self) -> Result<Vec<u64>, Error> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.keys().collect::<Result<_, _>>().map_err(failed("read", NAME))
    }

    /// What a group did; none if it is not counted for.
    fn counters(&self, group: u64) -> Result<Option<GroupCounters>, Error> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let values = match map.get(&group, 0) {
            Ok(values) => values,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(failed("read", NAME)(error)),
        };
        let mut total = GroupCounters::default();
        for value in values.iter() {
            total += *value;
        }
        Ok(Some(total))
    }
}

impl Datapath {
    /// Counts from now on what the sockets and processes of a control group do, by its number (the inode of its directory
    /// in the cgroup2 hierarchy). A group that is counted for already keeps its counters.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn observe(&self, group: u64) -> Result<(), Error> {
        self.groups.add(group)
    }

    /// Counts for a group no more; one that is not counted for is fine.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn stop_observing(&self, group: u64) -> Result<(), Error> {
        self.groups.remove(group)
    }

    /// Counts for these groups, and for no others.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn observe_only(&self, groups: &[u64]) -> Result<(), Error> {
        let all = self.groups.all()?;
        all.iter()
            .filter(|group| !groups.contains(group))
            .try_for_each(|group| self.groups.remove(*group))?;
        groups.iter().try_for_each(|group| self.groups.add(*group))
    }

    /// What a group did; nothing of one that is not counted for.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn observed(&self, group: u64) -> Result<Observed, Error> {
        Ok(self.groups.counters(group)?.map_or_else(Observed::default, |counters| self.tell(&counters)))
    }

    fn tell(&self, counters: &GroupCounters) -> Observed {
        let told = |programs: &[&str]| programs.iter().all(|name| self.programs.contains_key(name));
        let if_told = |name: &str, figure: u64| told(&[name]).then_some(figure);
        let connections = Connections {
            accepted: counters.accepted,
            refused: counters.refused,
            failed: counters.failed,
            abandoned: counters.abandoned,
        };
        Observed {
            round_trips: told(&[programs::TCP_ROUND_TRIP]).then_some(counters.round_trips),
            connects: told(&[programs::TCP_STATE]).then_some(counters.connects),
            connections: told(&[programs::TCP_STATE]).then_some(connections),
            retransmits: told(&programs::TCP_RETRANSMITS).then_some(counters.retransmits),
            resets_sent: if_told(programs::TCP_RESET_SENT, counters.resets_sent),
            resets_received: if_told(programs::TCP_RESET_RECEIVED, counters.resets_received),
            window_probes: if_told(programs::TCP_WINDOW_PROBE, counters.window_probes),
            overflows: told(&programs::TCP_OVERFLOWS).then_some(counters.overflows),
            execs: if_told(programs::PROCESS_EXECUTED, counters.execs),
            exits: if_told(programs::PROCESS_ENDED, counters.exits),
        }
    }
}

/// Attaches the programs that are loaded, where that is not done already.
pub(super) fn attach(loaded: &Programs, folder: &Path, cgroup2: &Path) -> Result<(), Error> {
    for (name, hook) in programs::OBSERVERS {
        let (path, Some(program)) = (folder.join(format!("link_{name}")), loaded.get(name)) else { continue };
        if path.exists() {
            continue;
        }
        let link = match hook {
            Hook::Sockets => File::open(cgroup2).and_then(|root| {
                let target = syscall::Target::Cgroup(root.as_fd());
                syscall::create_link(program.as_fd(), target, at::BPF_CGROUP_SOCK_OPS as u32)
            }),
            Hook::Tracepoint(_) => {
                syscall::create_link(program.as_fd(), syscall::Target::Kernel, at::BPF_TRACE_RAW_TP as u32)
            }
            Hook::Function(_) => {
                syscall::create_link(program.as_fd(), syscall::Target::Kernel, at::BPF_TRACE_FENTRY as u32)
            }
        };
        match link {
            Ok(link) => Pins::pin(link.as_fd(), &path)?,
            // Its figures stay at zero, which the log explains; nothing else depends on it.
            Err(error) => tracing::warn!(program = name, %error, "cannot watch: its figures stay at zero"),
        }
    }
    Ok(())
}
