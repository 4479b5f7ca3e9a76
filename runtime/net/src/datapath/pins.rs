//! The instance's folder in the BPF file system.
//!
//! ```text
//! BPFFS/beeline/INSTANCE/
//!     maps_v1/NAME                 the maps; v1 is the version of their layout
//!     programs_DIGEST_COOKIE_LEVEL/NAME   the programs of one object, as loaded for one network namespace
//!     programs_…/link_NAME         the links at the kernel's tracepoints and functions
//!     programs_…/absent_NAME       an empty folder: the kernel does not take that program
//!     links/NAME_IFINDEX           the links at devices (TCX)
//!     links/NAME                   the links at the root cgroup
//! ```
//! Maps and links outlive the daemon; programs of another object are replaced behind the links.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::{DatapathConfig, Error, Watch, syscall};
use beeline_abi::LAYOUT_VERSION;

/// Paths of one instance's pins.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
    is_new: bool,
}

/// Reports a failure with the path it is about.
fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Pins { operation, path: path.into(), source }
}

impl Pins {
    /// Makes the folders, and mounts the BPF file system when none is there.
    pub(super) fn prepare(config: &DatapathConfig) -> Result<Self, Error> {
        ensure_bpffs(&config.bpffs)?;
        let root = config.bpffs.join("beeline").join(&config.instance);
        let pins = Self { is_new: !root.exists(), root };
        for folder in [pins.maps(), pins.links()] {
            fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        }
        Ok(pins)
    }

    /// Whether there were no pins before.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    fn maps(&self) -> PathBuf {
        self.root.join(format!("maps_v{LAYOUT_VERSION}"))
    }

    /// The folders of maps that other versions of the layouts left, with those versions.
    pub(super) fn earlier_maps(&self) -> Result<Vec<(u32, PathBuf)>, Error> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed("read", &self.root))? {
            let entry = entry.map_err(failed("read", &self.root))?;
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix("maps_v")?.parse().ok());
            match version {
                Some(version) if version != LAYOUT_VERSION => folders.push((version, entry.path())),
                _ => {}
            }
        }
        Ok(folders)
    }

    /// Removes a folder of maps.
    pub(super) fn remove_maps(folder: &Path) -> Result<(), Error> {
        fs::remove_dir_all(folder).map_err(failed("remove", folder))
    }

    fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Where a map is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Where the programs of one load are pinned.
    pub(super) fn programs(&self, digest: &str, cookie: u64, log_level: u8, watch: Watch) -> PathBuf {
        let digest = digest.get(..16).unwrap_or(digest);
        let latencies = if watch.latencies { "_latencies" } else { "" };
        self.root.join(format!("programs_{digest}_{cookie:x}_{log_level}{latencies}"))
    }

    /// Where the link of a program at a device is pinned.
    pub(super) fn device_link(&self, program: &str, ifindex: u32) -> PathBuf {
        self.links().join(format!("{program}_{ifindex}"))
    }

    /// Where the link of a program at the root cgroup is pinned.
    pub(super) fn cgroup_link(&self, program: &str) -> PathBuf {
        self.links().join(program)
    }

    /// The pinned links with the names of their programs.
    pub(super) fn existing_links(&self) -> Result<Vec<(String, PathBuf)>, Error> {
        let folder = self.links();
        let entries = fs::read_dir(&folder).map_err(failed("read", &folder))?;
        let mut links = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("read", &folder))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let program = match name.rsplit_once('_') {
                Some((program, ifindex)) if ifindex.parse::<u32>().is_ok() => program.to_owned(),
                _ => name,
            };
            links.push((program, entry.path()));
        }
        Ok(links)
    }

    /// Removes the programs of every load but this one.
    pub(super) fn remove_other_programs(&self, current: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(&self.root).map_err(failed("read", &self.root))? {
            let path = entry.map_err(failed("read", &self.root))?.path();
            let is_programs = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"programs_"));
            if is_programs && path != current {
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes everything of the instance; links detach by it.
    pub(super) fn remove_all(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &self.root)(error)),
            _ => {
                // The folder of all instances goes with the last one.
                if let Some(parent) = self.root.parent() {
                    drop(fs::remove_dir(parent));
                }
                Ok(())
            }
        }
    }

    /// Removes one pin if it is there.
    pub(super) fn remove(path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Pins an object, in place of whatever had the path.
    pub(super) fn pin(object: std::os::fd::BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
        Self::remove(path)?;
        syscall::pin(object, path).map_err(failed("pin", path))
    }
}

fn ensure_bpffs(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failed("create", path))?;
    let is_bpffs = statfs(path).map_err(|errno| failed("examine", path)(errno.into()))?.filesystem_type()
        == BPF_FS_MAGIC;
    if is_bpffs {
        return Ok(());
    }
    let kind = CString::new("bpf").unwrap_or_default();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpffs"), path, Some(kind.as_c_str()), flags, Some("mode=0700"))
        .map_err(|errno| failed("mount a BPF file system at", path)(errno.into()))
}
