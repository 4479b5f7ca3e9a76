//! What users mount into a container: directories of the host, volumes, temporary file systems.
//!
//! A wish is read from the request ([`parse`]), and gets its volumes when the container is created ([`settle`]); what came
//! out is stored with the container.

mod bind;
mod from;
mod request;
mod tmpfs;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::config::ContainerConfig;
use crate::container::view::MountView;
use crate::error::Error;
use crate::volume::{VolumeConfig, data_dir};

pub(crate) use from::inherited;

/// A mount, understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserMount {
    pub(crate) destination: PathBuf,
    pub(crate) kind: MountKind,
    pub(crate) writable: bool,
    /// As the user gave them, for listings.
    pub(crate) mode: String,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MountKind {
    /// A path of the host.
    Bind {
        source: PathBuf,
        /// `rprivate`, `rslave`, `rshared` or without `r`.
        propagation: String,
        /// Mounts below the source come along.
        recursive: bool,
        /// If it is read-only, mounts below it are not.
        writable_below: bool,
        /// A missing source is made, as a directory.
        create: bool,
    },
    /// A volume.
    Volume {
        /// Empty until one is invented.
        name: String,
        /// Nobody gave it a name: it may go with the container.
        anonymous: bool,
        /// An empty volume gets what the image has there.
        copy: bool,
        /// What is mounted of it; empty for all.
        subpath: PathBuf,
        /// How it is made if it does not exist.
        #[serde(skip)]
        wish: Box<VolumeConfig>,
    },
    /// A temporary file system with these options.
    Tmpfs(Vec<String>),
}

impl UserMount {
    /// The volume's name, if it is one.
    pub(crate) fn volume(&self) -> Option<&str> {
        if let MountKind::Volume { name, .. } = &self.kind { Some(name) } else { None }
    }
}

/// All mounts `config` asks for itself, ordered so that one below another comes after it.
///
/// # Errors
/// One is malformed, or a destination is named twice.
pub(crate) fn parse(config: &ContainerConfig) -> Result<Vec<UserMount>, Error> {
    let host = &config.host;
    let mut mounts = Vec::new();
    for bind in &host.binds {
        mounts.push(bind::parse(bind, &host.volume_driver)?);
    }
    for mount in &host.mounts {
        mounts.push(request::parse(mount)?);
    }
    for (path, options) in &host.tmpfs {
        mounts.push(tmpfs::parse(path, options)?);
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    if let Some(pair) = mounts.windows(2).find(|pair| pair[0].destination == pair[1].destination) {
        return Err(Error::Invalid(format!("Duplicate mount point: {}", pair[0].destination.display())));
    }
    for path in &config.volumes {
        destination(path, path)?;
    }
    Ok(mounts)
}

/// All mounts of a container that asks for `config` and inherits some: its own come first, and what its image or the user
/// says is a volume gets one without a name, unless something else is mounted there.
///
/// # Errors
/// A mount is malformed.
pub(crate) fn settle(config: &ContainerConfig, inherited: Vec<UserMount>) -> Result<Vec<UserMount>, Error> {
    let mut mounts = parse(config)?;
    let taken: BTreeSet<PathBuf> = mounts.iter().map(|mount| mount.destination.clone()).collect();
    // Of two containers that have something at one place, the later one counts.
    for mount in inherited.into_iter().filter(|mount| !taken.contains(&mount.destination)) {
        mounts.retain(|other| other.destination != mount.destination);
        mounts.push(mount);
    }
    for path in &config.volumes {
        let destination = destination(path, path)?;
        if !mounts.iter().any(|mount| mount.destination == destination) {
            let wish = VolumeConfig { driver: config.host.volume_driver.clone(), ..VolumeConfig::default() };
            mounts.push(UserMount {
                destination,
                kind: volume(wish, true),
                writable: true,
                mode: String::new(),
            });
        }
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(mounts)
}

/// A volume that is made as `wish` says if there is none of its name.
fn volume(wish: VolumeConfig, copy: bool) -> MountKind {
    MountKind::Volume {
        name: wish.name.clone(),
        anonymous: wish.name.is_empty(),
        copy,
        subpath: PathBuf::new(),
        wish: Box::new(wish),
    }
}

/// Mounts as `inspect` shows them, of a daemon with its volumes in this directory.
pub(crate) fn views(config: &ContainerConfig, mounts: &[UserMount], volumes: &Path) -> Vec<MountView> {
    let view = |mount: &UserMount| {
        let (kind, name, source, propagation) = match &mount.kind {
            MountKind::Bind { source, propagation, .. } => {
                ("bind", "", source.display().to_string(), propagation.clone())
            }
            MountKind::Volume { name, .. } => {
                ("volume", name.as_str(), data_dir(volumes, name).display().to_string(), String::new())
            }
            MountKind::Tmpfs(_) => ("tmpfs", "", String::new(), String::new()),
        };
        MountView {
            kind: kind.into(),
            name: name.into(),
            source,
            destination: mount.destination.display().to_string(),
            mode: mount.mode.clone(),
            writable: mount.writable,
            propagation,
        }
    };
    // Docker does not list what --tmpfs mounts.
    let listed =
        |mount: &&UserMount| !config.host.tmpfs.keys().any(|path| Path::new(path) == mount.destination);
    mounts.iter().filter(listed).map(view).collect()
}

/// A path inside, absolute and free of `.` and `..`.
fn destination(text: &str, specification: &str) -> Result<PathBuf, Error> {
    let path = absolute(text).ok_or_else(|| {
        Error::Invalid(format!("invalid volume specification: '{specification}': invalid mount path: '{text}' mount path must be absolute"))
    })?;
    if path == Path::new("/") {
        return Err(Error::Invalid(format!(
            "invalid volume specification: '{specification}': invalid specification: destination can't be '/'"
        )));
    }
    Ok(path)
}

/// Resolves `.` and `..` by text alone, as Docker does; `None` if the path is not absolute.
fn absolute(text: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::from("/");
    for component in Path::new(text).has_root().then(|| Path::new(text))?.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(clean)
}

/// Whether a word says how mounts spread.
fn is_propagation(word: &str) -> bool {
    matches!(word, "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared")
}

#[cfg(test)]
mod tests;
