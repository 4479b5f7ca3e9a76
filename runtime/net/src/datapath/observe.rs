//! What only the kernel's sockets and its scheduler know of containers, by control group.
//!
//! Each program is a feature of its own: what a kernel does not let us watch is not counted, and all else is. Links lie
//! beside the programs, as the kernel replaces none behind a link to a tracepoint: a daemon with another object attaches
//! its own when those of the earlier one are gone, and what happens between is not counted.

use std::{
    collections::HashSet,
    fs::File,
    ops::AddAssign,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use aya_obj::generated::bpf_attach_type as at;
use beeline_abi::{GroupCounters, GroupLatencies, Histogram, group_key};

use super::{
    Datapath, Error, ProgramStatus, Watch,
    btf::Btf,
    load::Programs,
    pins::Pins,
    programs::{self, Hook},
    syscall,
    tables::{self, BPF_NOEXIST, errno, failed},
};

/// A field that the programs read: their name for it, the structure, and the way in it.
type Field = (&'static str, &'static str, &'static [&'static str]);

/// The programs' name for a field, and where it is in its structure.
type Offset = (&'static str, u32);

const FIELDS: [Field; 17] = [
    ("SOCK_CGROUP", "sock", &["sk_cgrp_data", "cgroup"]),
    ("SOCK_ERROR", "sock", &["sk_err"]),
    ("SOCK_PROTOCOL", "sock", &["sk_protocol"]),
    ("SOCK_STATE", "sock", &["__sk_common", "skc_state"]),
    ("ACCEPT_QUEUE", "sock", &["sk_ack_backlog"]),
    ("ACCEPT_LIMIT", "sock", &["sk_max_ack_backlog"]),
    ("ACKNOWLEDGED", "tcp_sock", &["snd_una"]),
    ("WINDOW", "tcp_sock", &["snd_wnd"]),
    ("SENT", "tcp_sock", &["snd_nxt"]),
    ("SKB_PROTOCOL", "sk_buff", &["protocol"]),
    ("SKB_CONTROL", "sk_buff", &["cb"]),
    ("SEGMENTS", "tcp_skb_cb", &["tcp_gso_segs"]),
    ("CGROUP_NODE", "cgroup", &["kn"]),
    ("CGROUP_PARENT", "cgroup", &["self", "parent"]),
    ("CGROUP_ROOT", "cgroup", &["root"]),
    ("ROOT_NUMBER", "cgroup_root", &["hierarchy_id"]),
    ("NODE_ID", "kernfs_node", &["id"]),
];

/// Those of the programs that measure latencies. A kernel may have no groups of block devices.
const LATENCY_FIELDS: [Field; 8] = [
    ("TASK_NUMBER", "task_struct", &["pid"]),
    ("TASK_STATE", "task_struct", &["__state"]),
    ("TASK_CGROUPS", "task_struct", &["cgroups"]),
    ("CGROUPS_UNIFIED", "css_set", &["dfl_cgrp"]),
    ("REQUEST_BIO", "request", &["bio"]),
    ("BIO_GROUP", "bio", &["bi_blkg"]),
    ("GROUP_BLOCK", "blkcg_gq", &["blkcg"]),
    ("BLOCK_CGROUP", "blkcg", &["css", "cgroup"]),
];

/// Where the kernel keeps what the programs read, by their names for it, and how much can be watched with that; or what
/// cannot be found.
pub(super) fn offsets(btf: &Btf, mut watch: Watch) -> Result<(Vec<Offset>, Watch), String> {
    let find = |(name, structure, path): Field| {
        let missing = || format!("it has no field {} in {structure}", path.join("."));
        btf.offset(structure, path).map(|offset| (name, offset)).ok_or_else(missing)
    };
    let mut offsets: Vec<_> = FIELDS.into_iter().map(find).collect::<Result<_, _>>()?;
    if watch.latencies {
        match LATENCY_FIELDS.into_iter().map(find).collect::<Result<Vec<_>, _>>() {
            Ok(more) => offsets.extend(more),
            Err(reason) => {
                tracing::warn!(reason, "the kernel does not let latencies be measured: figures are absent");
                watch.latencies = false;
            }
        }
    }
    Ok((offsets, watch))
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
    /// How long its threads waited for a processor, where that is asked for.
    pub run_queue: Option<Histogram>,
    /// How long block devices had its requests, where that is asked for.
    pub block_io: Option<Histogram>,
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

/// A control group, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number: the inode of its directory in the cgroup2 hierarchy.
    pub number: u64,
    /// Where block devices are version 1's, the number of that hierarchy, and that of the group there.
    pub block: Option<(u32, u64)>,
}

/// What is counted for each group.
pub(super) struct Groups(RwLock<Maps>);

struct Maps {
    counters: PerGroup<GroupCounters>,
    latencies: PerGroup<GroupLatencies>,
    watches_latencies: bool,
    aliases: HashMap<MapData, u64, u64>,
}

/// A map by group.
struct PerGroup<V: Pod> {
    name: &'static str,
    map: PerCpuHashMap<MapData, u64, V>,
}

const ALIASES: &str = "ALIASES";

impl<V: Pod + Default + AddAssign> PerGroup<V> {
    fn open(pins: &Pins, name: &'static str) -> Result<Self, Error> {
        let map = MapData::from_pin(pins.map(name)).map(Map::PerCpuHashMap);
        let map = map.and_then(PerCpuHashMap::try_from).map_err(failed("open", name))?;
        Ok(Self { name, map })
    }

    /// One that is there already keeps its counters.
    fn add(&mut self, group: u64) -> Result<(), Error> {
        let failed = failed("write", self.name);
        let cpus = nr_cpus().map_err(|(_, source)| failed(MapError::IoError(source)))?;
        let zeroes = PerCpuValues::try_from(vec![V::default(); cpus]);
        let zeroes = zeroes.map_err(|source| failed(MapError::IoError(source)))?;
        match self.map.insert(group, zeroes, BPF_NOEXIST) {
            Err(error) if errno(&error) != Some(libc::EEXIST) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn remove(&mut self, group: u64) -> Result<(), Error> {
        tables::removed(self.map.remove(&group), self.name)
    }

    fn retain(&mut self, keeps: impl Fn(u64) -> bool) -> Result<(), Error> {
        let all: Result<Vec<u64>, _> = self.map.keys().collect();
        let all = all.map_err(failed("read", self.name))?;
        all.into_iter().filter(|group| !keeps(*group)).try_for_each(|group| self.remove(group))
    }

    /// What was counted for a group; none if nothing is.
    fn get(&self, group: u64) -> Result<Option<V>, Error> {
        let values = match self.map.get(&group, 0) {
            Ok(values) => values,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(failed("read", self.name)(error)),
        };
        let mut total = V::default();
        for value in values.iter() {
            total += *value;
        }
        Ok(Some(total))
    }
}

impl Groups {
    pub(super) fn open(pins: &Pins, watch: Watch) -> Result<Self, Error> {
        let aliases = MapData::from_pin(pins.map(ALIASES)).map(Map::HashMap).and_then(HashMap::try_from);
        Ok(Self(RwLock::new(Maps {
            counters: PerGroup::open(pins, "GROUPS")?,
            latencies: PerGroup::open(pins, "LATENCIES")?,
            watches_latencies: watch.latencies,
            aliases: aliases.map_err(failed("open", ALIASES))?,
        })))
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn add(&mut self, group: &Group) -> Result<(), Error> {
        self.counters.add(group.number)?;
        if !self.watches_latencies {
            return Ok(());
        }
        if let Some((hierarchy, number)) = group.block {
            let alias = group_key(hierarchy, number);
            self.aliases.insert(alias, group.number, 0).map_err(failed("write", ALIASES))?;
        }
        self.latencies.add(group.number)
    }

    fn remove(&mut self, group: &Group) -> Result<(), Error> {
        if let Some((hierarchy, number)) = group.block {
            tables::remove(&mut self.aliases, ALIASES, &group_key(hierarchy, number))?;
        }
        self.latencies.remove(group.number)?;
        self.counters.remove(group.number)
    }

    fn retain(&mut self, keeps: impl Fn(u64) -> bool) -> Result<(), Error> {
        let aliases: Result<Vec<(u64, u64)>, _> = self.aliases.iter().collect();
        let aliases = aliases.map_err(failed("read", ALIASES))?;
        for (alias, _) in aliases.iter().filter(|(_, group)| !keeps(*group)) {
            tables::remove(&mut self.aliases, ALIASES, alias)?;
        }
        let watches_latencies = self.watches_latencies;
        self.counters.retain(&keeps)?;
        self.latencies.retain(|group| watches_latencies && keeps(group))
    }
}

/// Has the kernel count the runs of programs for as long as the descriptor is open.
pub(super) fn count_runs() -> Option<OwnedFd> {
    let enabled = aya::sys::enable_stats(aya::sys::Stats::RunTime);
    enabled.inspect_err(|error| tracing::warn!(%error, "the runs of programs are not counted")).ok()
}

impl Datapath {
    /// Counts from now on what the sockets and processes of a control group do. A group that is counted for already keeps
    /// its counters.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn observe(&self, group: &Group) -> Result<(), Error> {
        self.groups.write().add(group)
    }

    /// Counts for a group no more; one that is not counted for is fine.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn stop_observing(&self, group: &Group) -> Result<(), Error> {
        self.groups.write().remove(group)
    }

    /// Counts for these groups, and for no others.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn observe_only(&self, groups: &[Group]) -> Result<(), Error> {
        let mut maps = self.groups.write();
        let numbers: HashSet<u64> = groups.iter().map(|group| group.number).collect();
        maps.retain(|number| numbers.contains(&number))?;
        groups.iter().try_for_each(|group| maps.add(group))
    }

    /// What a group did, by its number; nothing of one that is not counted for.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn observed(&self, group: u64) -> Result<Observed, Error> {
        let maps = self.groups.read();
        let Some(counters) = maps.counters.get(group)? else { return Ok(Observed::default()) };
        let latencies = if self.watch.latencies { maps.latencies.get(group)? } else { None };
        Ok(self.tell(&counters, latencies.as_ref()))
    }

    /// How often each program ran and how long; of none where that is not counted.
    ///
    /// # Errors
    /// [`Error::Program`].
    pub fn program_runs(&self) -> Result<Vec<ProgramStatus>, Error> {
        if self.watch.program_runs { self.programs() } else { Ok(Vec::new()) }
    }

    fn tell(&self, counters: &GroupCounters, latencies: Option<&GroupLatencies>) -> Observed {
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
            run_queue: latencies.filter(|_| told(&programs::RUN_QUEUE)).map(|all| all.run_queue),
            block_io: latencies.filter(|_| told(&programs::BLOCK_IO)).map(|all| all.block_io),
        }
    }
}

/// Attaches the programs that are loaded, where that is not done already.
pub(super) fn attach(loaded: &Programs, watch: Watch, folder: &Path, cgroup2: &Path) -> Result<(), Error> {
    for (name, hook) in programs::observers(watch) {
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
