//! Which control group hierarchies a host has, and where.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Cgroup, Error};

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// How a host arranges its control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// cgroup2 alone.
    Unified,
    /// v1 hierarchies alone.
    Legacy,
    /// v1 hierarchies with the controllers, and a cgroup2 hierarchy beside them.
    Hybrid,
}

/// One mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct V1Mount {
    pub(crate) mount: PathBuf,
    /// Its controllers (`cpu`, `cpuacct`), or `name=…` for a hierarchy without any.
    pub(crate) controllers: Vec<String>,
}

impl V1Mount {
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// The host's control group hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    unified: Option<PathBuf>,
    v1: Vec<V1Mount>,
}

impl Hierarchy {
    /// Reads the hierarchies from this process' mounts.
    ///
    /// # Errors
    /// The mounts cannot be read, or there is no control group file system among them.
    pub fn detect() -> Result<Self, Error> {
        let mountinfo = fs::read_to_string(MOUNTINFO).map_err(|source| Error::Io {
            operation: "read",
            path: MOUNTINFO.into(),
            source,
        })?;
        Self::parse(&mountinfo)
    }

    /// Reads the hierarchies from the text of a mountinfo file. A hierarchy mounted more than once is taken where it is
    /// mounted first.
    pub(super) fn parse(mountinfo: &str) -> Result<Self, Error> {
        let mut unified = None;
        let mut v1: Vec<V1Mount> = Vec::new();
        for line in mountinfo.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let Some(mount) = before.split(' ').nth(4).map(unescape) else { continue };
            let mut after = after.split(' ');
            match (after.next(), after.nth(1)) {
                (Some("cgroup2"), _) => {
                    unified.get_or_insert(mount);
                }
                (Some("cgroup"), Some(options)) => {
                    let controllers = controllers(options);
                    if !controllers.is_empty() && !v1.iter().any(|known| known.controllers == controllers) {
                        v1.push(V1Mount { mount, controllers });
                    }
                }
                _ => {}
            }
        }
        if unified.is_none() && v1.is_empty() {
            return Err(Error::NotMounted);
        }
        Ok(Self { unified, v1 })
    }

    /// How the host arranges them.
    #[must_use]
    pub fn mode(&self) -> Mode {
        // A hierarchy with a name and no controller (systemd's) does not make a host a v1 host.
        let controlled =
            self.v1.iter().any(|v1| v1.controllers.iter().any(|name| !name.starts_with("name=")));
        match (&self.unified, controlled) {
            (None, _) => Mode::Legacy,
            (Some(_), true) => Mode::Hybrid,
            (Some(_), false) => Mode::Unified,
        }
    }

    /// Where cgroup2 is mounted, if it is.
    #[must_use]
    pub fn cgroup2_mount(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// The group at `path`, which starts with `/` and is relative to every hierarchy's mount point. It need not exist.
    ///
    /// # Errors
    /// `path` has a component that is empty, `.` or `..`.
    pub fn cgroup(&self, path: &str) -> Result<Cgroup, Error> {
        Cgroup::new(self, path)
    }

    pub(super) fn v1(&self) -> &[V1Mount] {
        &self.v1
    }
}

/// The controllers and the name among a v1 mount's super block options.
fn controllers(options: &str) -> Vec<String> {
    const OTHERS: [&str; 8] =
        ["rw", "ro", "none", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"];
    options
        .split(',')
        .filter(|option| !OTHERS.contains(option) && !option.starts_with("release_agent="))
        .map(str::to_owned)
        .collect()
}

/// Undoes mountinfo's octal escapes of blanks and backslashes.
fn unescape(field: &str) -> PathBuf {
    PathBuf::from(
        field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"),
    )
}
