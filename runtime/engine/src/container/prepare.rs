//! A container's files on the host: written before each start, on a thread that may block.

use std::fs::{self, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use beeline_spawn::fault::Point;

use crate::container::files;
use crate::container::mounts::MountKind;
use crate::container::namespaces::{self, Shares};
use crate::container::plan::{self, Input};
use crate::container::record::Record;
use crate::container::resolv_conf::{self, Servers};
use crate::container::seccomp::SeccompFilters;
use crate::container::view::ContainerPaths;
use crate::error::Error;

/// What the files are made from.
#[derive(Debug)]
pub(crate) struct Preparation {
    pub(crate) record: Record,
    pub(crate) paths: ContainerPaths,
    pub(crate) run_dir: PathBuf,
    pub(crate) cgroup: String,
    /// Where all volumes are.
    pub(crate) volumes: PathBuf,
    /// The container's addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// What `host-gateway` stands for.
    pub(crate) gateway: Vec<IpAddr>,
    /// Names of other containers with their addresses, for /etc/hosts.
    pub(crate) links: Vec<(String, String)>,
    /// Who answers its questions for names.
    pub(crate) servers: Servers,
    /// The network is another container's, and with it hosts, hostname and resolv.conf, which `paths` names.
    pub(crate) shares_network: bool,
    /// What else it shares.
    pub(crate) shares: Shares,
    pub(crate) seccomp: SeccompFilters,
}

impl Preparation {
    /// Writes everything the shim needs.
    ///
    /// # Errors
    /// A directory or file cannot be made, or a bind mount's source is missing.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let paths = &self.paths;
        // The root of the container is what its users see: as open as /.
        make_dir(&paths.upper, 0o755)?;
        make_dir(&paths.work, 0o700)?;
        make_dir(&self.run_dir, 0o700)?;
        if let Some(log) = paths.log.parent().filter(|log| !log.as_os_str().is_empty()) {
            make_dir(log, 0o700)?;
        }
        // A crash of the daemon must not find the exit of the run before.
        remove_file(&paths.directory.join("exit.json"))?;
        if !self.shares_network {
            self.write_network_files()?;
        }
        self.make_bind_sources()?;
        let config = &self.record.config;
        let mounts = self.record.mounts();
        let mut shares = self.shares.clone();
        let root = shares.user.as_ref().map_or((0, 0), |user| user.identities.root());
        if let Some(own) = namespaces::mount_shm(config, &self.run_dir, root)? {
            shares.shm = Some(own);
        }
        let filter = self.seccomp.of(&config.host)?;
        let input = Input {
            id: &self.record.id,
            config,
            paths,
            cgroup: &self.cgroup,
            mounts: &mounts,
            volumes: &self.volumes,
            shares: &shares,
            filter: filter.as_ref(),
        };
        let spec = plan::spec(input)?;
        let what = || format!("the OCI configuration of container {}", self.record.id);
        crate::error::fault(Point::StartFiles)?;
        let text = serde_json::to_vec(&spec).map_err(|source| Error::Decode { what: what(), source })?;
        write(&paths.directory.join("config.json"), &text, 0o600)
    }

    fn write_network_files(&self) -> Result<(), Error> {
        let (paths, config) = (&self.paths, &self.record.config);
        let shares_host = config.host.network_mode == "host";
        let name = plan::hostname(&self.record.id, config);
        let mut extra = files::extra_hosts(&config.host, &self.gateway);
        extra.extend(self.links.iter().cloned());
        let hosts = if shares_host {
            files::hosts_of_host(&fs::read_to_string("/etc/hosts").unwrap_or_default(), &extra)
        } else {
            files::hosts(name, &config.domainname, &self.addresses, &extra)
        };
        write(&paths.hosts, hosts.as_bytes(), 0o644)?;
        write(&paths.hostname, format!("{name}\n").as_bytes(), 0o644)?;
        let host_text = resolv_conf::of_host(self.servers);
        let resolv = resolv_conf::content(&host_text, &config.host, self.servers);
        write(&paths.resolv_conf, resolv.as_bytes(), 0o644)
    }

    /// Makes a directory of the host's the container's root's.
    fn give_to_root(&self, path: &Path) -> Result<(), Error> {
        let Some(user) = &self.shares.user else { return Ok(()) };
        let (owner, group) = user.identities.root();
        chown(path, Some(owner), Some(group)).map_err(|source| Error::File {
            operation: "change the owner of",
            path: path.to_owned(),
            source,
        })
    }

    fn make_bind_sources(&self) -> Result<(), Error> {
        for mount in self.record.mounts().iter() {
            let MountKind::Bind { source, create, .. } = &mount.kind else { continue };
            match fs::metadata(source) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && *create => {
                    make_dir(source, 0o755)?;
                    self.give_to_root(source)?;
                }
                Err(source_error) => {
                    return Err(Error::File {
                        operation: "bind mount",
                        path: source.clone(),
                        source: source_error,
                    });
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// Makes a directory with its parents; one that exists keeps its mode.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    let failed = |source| Error::File { operation: "create directory", path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(failed)?;
    set_mode(path, mode)
}

/// Sets the mode of a file or directory.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    let failed = |source| Error::File { operation: "set the mode of", path: path.to_owned(), source };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

/// Writes a file in place: it may be a bind mount's source in a container that runs.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let failed = |source| Error::File { operation: "write", path: path.to_owned(), source };
    fs::write(path, content).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { operation: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
