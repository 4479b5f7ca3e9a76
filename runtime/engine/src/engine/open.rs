//! Bringing an engine up: lock, state, datapath, spawner, and what earlier daemons left.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use beeline_image::Store;
use beeline_metrics::Recorder;
use beeline_net::dns::{Resolver, ResolverConfig};
use beeline_net::{Net, NetConfig};
use beeline_spawn::Spawner;
use beeline_spawn::cgroup::Hierarchy;
use nix::fcntl::{Flock, FlockArg};

use super::{Engine, reconcile};
use crate::container::prepare::{make_dir, set_mode};
use crate::container::record::{Record, Runtime, containers_dir};
use crate::container::resolv_conf;
use crate::container::seccomp::SeccompFilters;
use crate::database::Opened;
use crate::directory::Directory;
use crate::error::Error;
use crate::event::Events;
use crate::exec::Execs;
use crate::flow::{self, Flows};
use crate::identity::{ContainerId, InstanceId};
use crate::network::{self, Network, Networks, keeper};
use crate::settings::{DatapathLog, EngineConfig};
use crate::shared::Shared;
use crate::stats::Samplers;
use crate::volume::{self, Volumes};

/// Holds the run directory for this daemon.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

pub(super) async fn open(mut config: EngineConfig) -> Result<Engine, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::Forbidden("the Beeline daemon has to run as root: start it with sudo".into()));
    }
    make_dir(&config.root, 0o711)?;
    make_dir(&config.run, 0o711)?;
    // What images hold, set-uid programs too, is nothing for the machine's users.
    make_dir(&containers_dir(&config.root), 0o700)?;
    make_dir(&config.run.join("containers"), 0o700)?;
    config.root = canonical(&config.root)?;
    config.run = canonical(&config.run)?;
    if let Some(remap) = &config.security.remap {
        remap.probe(&config.root)?;
    }
    let instance = config.instance.clone().unwrap_or_else(|| InstanceId::of_root(&config.root));
    let lock = lock(&config.run)?;

    let opened = Opened::open(&config.root.join("beeline.db"))?;
    let stored = opened.containers()?;
    let id = engine_id(&opened)?;
    let (images, exe) = (open_images(&config), config.exe.clone());
    let spawner = Spawner::launch(&exe).map_err(|error| Error::internal("start the spawner", &error))?;
    let hierarchy =
        Hierarchy::detect().map_err(|error| Error::internal("look for control groups", &error))?;
    let net = open_net(&config, &instance, &hierarchy);
    let (images, net) = tokio::join!(images, net);
    let (images, net) = (images?, net?);
    let (requests, queue) = keeper::queue();
    let (volume_requests, volume_queue) = volume::queue();
    let volumes = open_volumes(&opened, &config, &stored, volume_requests)?;
    let networks = Networks::new(open_networks(&opened, &config, &instance, &net, &id).await?, &id, requests);
    let stored = restore_leases(stored, &networks);
    let resolver = open_resolver(&net)?;
    let recorder = Recorder::new().map_err(|error| Error::internal("declare the metrics", &error))?;
    let seccomp = SeccompFilters::open(config.run.join("seccomp"), config.security.seccomp.clone())?;
    let shared = Arc::new(Shared {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        id,
        instance,
        database: opened.start()?,
        images,
        net,
        networks,
        volumes,
        resolver,
        spawner,
        hierarchy,
        seccomp,
        directory: Directory::default(),
        events: Events::new(),
        flows: Flows::default(),
        closing: AtomicBool::new(false),
        samplers: Samplers::default(),
        recorder,
        execs: Execs::default(),
        config,
    });
    reconcile::reconcile(&shared, stored).await?;
    flow::start(&shared)?;
    tokio::spawn(keeper::keep(shared.clone(), queue));
    tokio::spawn(volume::keep(shared.clone(), volume_queue));
    Ok(Engine { shared, _lock: Arc::new(lock) })
}

fn canonical(path: &Path) -> Result<std::path::PathBuf, Error> {
    let failed = |source| Error::File { operation: "resolve", path: path.to_owned(), source };
    path.canonicalize().map_err(failed)
}

/// Takes the run directory. The lock ends with the process, however it ends.
fn lock(run: &Path) -> Result<Lock, Error> {
    let path = run.join("daemon.pid");
    let failed = |operation, source| Error::File { operation, path: path.clone(), source };
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.map_err(|source| failed("open", source))?;
    let mut locked = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno == nix::errno::Errno::EWOULDBLOCK {
            let owner = std::fs::read_to_string(&path).unwrap_or_default();
            Error::Unavailable(format!(
                "another daemon (process {}) uses {}: stop it, or give this one a --root and a --run of its own",
                owner.trim(),
                run.display()
            ))
        } else {
            failed("lock", errno.into())
        }
    })?;
    let written = locked.set_len(0).and_then(|()| writeln!(locked, "{}", std::process::id()));
    written.map_err(|source| failed("write", source))?;
    Ok(Lock { _file: locked })
}

fn engine_id(opened: &Opened) -> Result<String, Error> {
    if let Some(id) = opened.meta("id")? {
        return Ok(id);
    }
    let id = ContainerId::random()?.to_string();
    opened.set_meta("id", &id)?;
    Ok(id)
}

async fn open_images(config: &EngineConfig) -> Result<Arc<Store>, Error> {
    let (root, exe) = (config.root.clone(), config.exe.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(&root)?;
        store.install_embedded(&exe)?;
        Ok::<_, beeline_image::Error>(Arc::new(store))
    });
    Ok(opened.await.map_err(|error| Error::internal("open the image store", &error))??)
}

async fn open_net(config: &EngineConfig, instance: &InstanceId, hierarchy: &Hierarchy) -> Result<Net, Error> {
    let mut net = NetConfig::new(instance.as_str());
    net.bpffs.clone_from(&config.bpffs);
    net.conntrack_entries = config.conntrack_entries;
    net.timeouts = config.conntrack_timeouts;
    net.rules.clone_from(&config.rules);
    net.guard.clone_from(&config.guard);
    net.accelerate_host = config.accelerate_host;
    net.watch = config.watch;
    net.log_level = match config.datapath_log {
        DatapathLog::Off => beeline_net::LogLevel::Off,
        DatapathLog::Error | DatapathLog::Warn | DatapathLog::Info => beeline_net::LogLevel::Warn,
        DatapathLog::Debug | DatapathLog::Trace => beeline_net::LogLevel::Debug,
    };
    if let Some(mount) = hierarchy.cgroup2_mount() {
        net.cgroup2 = mount.to_owned();
    }
    Net::open(net).await.map_err(|error| Error::internal("open the datapath", &error))
}

/// The resolver, which listens where running containers ask already.
fn open_resolver(net: &Net) -> Result<Resolver, Error> {
    let known = net.resolvers().map_err(|error| Error::internal("look for resolvers", &error))?;
    Ok(Resolver::new(ResolverConfig {
        resolv_conf: resolv_conf::HOSTS.into(),
        fallback: resolv_conf::fallback(),
        known,
    }))
}

/// The stored networks, and the default one as it is configured now.
async fn open_networks(
    opened: &Opened,
    config: &EngineConfig,
    instance: &InstanceId,
    net: &Net,
    engine: &str,
) -> Result<Vec<Network>, Error> {
    let mut records = opened.networks()?;
    let default = network::default_record(&records, config, instance, net, engine).await?;
    records.retain(|record| record.id != default.id);
    opened.put_network(&default)?;
    records.push(default);
    Ok(network::load(records))
}

/// The stored volumes, in order.
fn open_volumes(
    opened: &Opened,
    config: &EngineConfig,
    stored: &[(Record, Runtime)],
    requests: tokio::sync::mpsc::Sender<volume::Request>,
) -> Result<Volumes, Error> {
    let directory = volume::volumes_dir(&config.root);
    // Where users are mapped, a container's root makes files there that are root's on the disk, set-uid programs too.
    let mode = if config.security.remap.is_some() { 0o700 } else { 0o701 };
    make_dir(&directory, mode)?;
    set_mode(&directory, mode)?;
    let volumes = Volumes::new(directory, requests);
    let containers: Vec<_> = stored.iter().map(|(record, _)| record.id.clone()).collect();
    volume::reconcile(&volumes, opened, &containers)?;
    Ok(volumes)
}

/// Takes the containers' addresses into the pools; one that no longer fits is forgotten.
fn restore_leases(mut stored: Vec<(Record, Runtime)>, networks: &Networks) -> Vec<(Record, Runtime)> {
    for (record, runtime) in &mut stored {
        for (id, connection) in &mut runtime.connections {
            let network = networks.get(id);
            let bridge = network.as_ref().and_then(|network| network.as_bridge());
            let fits = bridge.map(|bridge| bridge.restore(&record.id, connection.lease)).unwrap_or_default();
            for address in
                connection.lease.addresses().filter(|address| !fits.addresses().any(|fit| fit == *address))
            {
                tracing::warn!(container = %record.id, %address, "the container's address does not fit its network any more");
            }
            connection.lease = fits;
        }
    }
    stored
}
