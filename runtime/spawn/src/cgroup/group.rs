//! One control group, in every hierarchy of the host.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode as FileMode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};

use super::hierarchy::{Hierarchy, Mode, V1Mount};
use super::limits::{self, Setting};
use super::{Error, devices, setting};

/// How long removing and killing wait for processes to go, in steps of [`STEP`].
const PATIENCE: u32 = 500;
const STEP: Duration = Duration::from_millis(4);

/// How often making a group is begun anew.
const WALKS: u32 = 8;

/// A path in all of the host's hierarchies. Making this value makes nothing; see [`Cgroup::create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: String,
    mode: Mode,
    /// The mount point of cgroup2, if it is mounted.
    unified: Option<PathBuf>,
    v1: Vec<V1Mount>,
}

/// Where a group's control files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPaths {
    /// The group in cgroup2.
    pub unified: Option<PathBuf>,
    /// The group of each v1 controller; co-mounted ones share one.
    pub v1: BTreeMap<String, PathBuf>,
}

impl Cgroup {
    pub(super) fn new(hierarchy: &Hierarchy, path: &str) -> Result<Self, Error> {
        let plain = |name: &str| !name.is_empty() && name != "." && name != "..";
        let valid = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
        if !valid {
            return Err(Error::Path { path: path.to_owned() });
        }
        Ok(Self {
            path: path.to_owned(),
            mode: hierarchy.mode(),
            unified: hierarchy.cgroup2_mount().map(Path::to_owned),
            v1: hierarchy.v1().to_vec(),
        })
    }

    /// The path, relative to every hierarchy's mount point.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How the host arranges its groups.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the group's control files are, whether it exists or not.
    #[must_use]
    pub fn paths(&self) -> CgroupPaths {
        let v1 = self.v1.iter().flat_map(|v1| {
            let path = self.below(&v1.mount);
            v1.controllers.iter().map(move |controller| (controller.clone(), path.clone()))
        });
        CgroupPaths { unified: self.unified_path(), v1: v1.collect() }
    }

    /// Makes the group in every hierarchy, parents included, and sets its limits. A group that exists is adopted.
    ///
    /// # Errors
    /// A group cannot be made, or a limit not be set; then what was made is left for [`Cgroup::remove`].
    pub fn create(&self, resources: &LinuxResources) -> Result<(), Error> {
        limits::check(resources)?;
        for v1 in &self.v1 {
            patiently(|| self.create_v1(v1))?;
        }
        if let Some(unified) = &self.unified {
            patiently(|| self.create_v2(unified))?;
        }
        self.settings(resources).iter().try_for_each(|setting| self.set(setting))?;
        self.guard_devices(resources)
    }

    /// Lets the group's processes use what the rules allow, where that is not v1's to say.
    fn guard_devices(&self, resources: &LinuxResources) -> Result<(), Error> {
        let rules = resources.devices().as_deref().unwrap_or_default();
        let Some(program) = devices::program(rules).filter(|_| self.mode == Mode::Unified) else {
            return Ok(());
        };
        let Some(path) = self.unified_path() else { return Ok(()) };
        let group = open_file(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        devices::attach(group.as_fd(), &program).map_err(|source| Error::Io {
            operation: "attach device rules to",
            path,
            source,
        })
    }

    /// Changes the limits of a group that exists; what `resources` leave out stays as it is.
    ///
    /// # Errors
    /// A limit cannot be set; others may have been.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        limits::check(resources)?;
        let settings = self.settings(resources);
        // The kernel compares one limit with another: what it refuses at first may fit when the others are changed.
        let refused: Vec<_> = settings.iter().filter(|setting| self.set(setting).is_err()).collect();
        refused.into_iter().try_for_each(|setting| self.set(setting))
    }

    fn settings(&self, resources: &LinuxResources) -> Vec<Setting> {
        if self.mode == Mode::Unified { limits::v2(resources) } else { limits::v1(resources) }
    }

    /// A descriptor of the group's cgroup2 directory, for `CLONE_INTO_CGROUP`.
    ///
    /// # Errors
    /// The group does not exist.
    pub fn open_v2_fd(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(path) = self.unified_path() else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open_file(&path, flags).map(Some)
    }

    /// The `tasks` files of the group's v1 hierarchies. A thread that writes `0` to one puts itself into the group,
    /// which is much cheaper than being put there.
    ///
    /// # Errors
    /// The group does not exist.
    pub fn open_v1_tasks(&self) -> Result<Vec<OwnedFd>, Error> {
        let tasks = self.v1.iter().map(|v1| self.below(&v1.mount).join("tasks"));
        tasks.map(|path| open_file(&path, OFlags::WRONLY | OFlags::CLOEXEC)).collect()
    }

    /// How often the kernel has killed a process of the group for want of memory.
    ///
    /// # Errors
    /// The group does not exist, or has no memory controller.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        let file = if self.mode == Mode::Unified { "memory.events" } else { "memory.oom_control" };
        let directory =
            self.directory("memory").ok_or(Error::NoController { what: "memory", controller: "memory" })?;
        // Before 4.13 v1 did not count them.
        Ok(setting::keyed(&setting::read(&directory.join(file))?, "oom_kill").unwrap_or(0))
    }

    /// The group's processes and those of groups below it, in no order. Empty when the group does not exist.
    ///
    /// # Errors
    /// A list of processes cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        let directory = self.unified_path().or_else(|| self.v1.first().map(|v1| self.below(&v1.mount)));
        let mut found = Vec::new();
        if let Some(directory) = directory {
            processes_below(&directory, &mut found)?;
        }
        Ok(found)
    }

    /// Kills every process in the group and below, and waits until none is left, for two seconds at most. A process
    /// that has ended but was not waited for counts as gone.
    ///
    /// # Errors
    /// Processes remain.
    pub fn kill(&self) -> Result<(), Error> {
        for _ in 0..PATIENCE {
            let processes = self.processes()?;
            if processes.is_empty() {
                return Ok(());
            }
            let killed = match self.unified_path() {
                Some(unified) => {
                    setting::write_if_present(&unified.join("cgroup.kill"), "1").unwrap_or(false)
                }
                None => false,
            };
            if !killed {
                for process in processes.into_iter().filter_map(Pid::from_raw) {
                    // One that has just ended is what is wanted.
                    let _ = kill_process(process, Signal::KILL);
                }
            }
            self.thaw_for_kill();
            sleep(STEP);
        }
        Err(Error::Busy { path: self.path.clone() })
    }

    /// Removes the group and all below it in every hierarchy. What does not exist is no error, and one failure does not
    /// keep the rest. Waits up to two seconds for processes that are about to be gone.
    ///
    /// # Errors
    /// All failures, collected: usually that processes live in the group.
    pub fn remove(&self) -> Result<(), Error> {
        let unified = self.unified_path();
        let v1 = self.v1.iter().map(|v1| self.below(&v1.mount));
        let errors = unified.into_iter().chain(v1).filter_map(|path| remove_tree(&path).err()).collect();
        Error::collect(errors)
    }

    /// Removes the groups above this one, the innermost first, as long as nothing else is in them.
    pub fn remove_empty_parents(&self) {
        let unified = self.unified.iter().map(PathBuf::as_path);
        for mount in unified.chain(self.v1.iter().map(|v1| v1.mount.as_path())) {
            let group = self.below(mount);
            let parents = group.ancestors().skip(1).take_while(|parent| *parent != mount);
            // The kernel keeps what is in use; then those above are, too.
            let _kept = parents.map(fs::remove_dir).find(Result::is_err);
        }
    }

    /// The mounts of v1 hierarchies, for a container's own /sys/fs/cgroup.
    pub(crate) fn v1_mounts(&self) -> &[V1Mount] {
        &self.v1
    }

    fn below(&self, mount: &Path) -> PathBuf {
        mount.join(&self.path[1..])
    }

    pub(super) fn unified_path(&self) -> Option<PathBuf> {
        self.unified.as_deref().map(|mount| self.below(mount))
    }

    /// The directory that has a controller's files.
    pub(super) fn directory(&self, controller: &str) -> Option<PathBuf> {
        if self.mode == Mode::Unified {
            return self.unified_path();
        }
        self.v1.iter().find(|v1| v1.has(controller)).map(|v1| self.below(&v1.mount))
    }

    fn create_v1(&self, v1: &V1Mount) -> Result<(), Error> {
        let leaf = self.below(&v1.mount);
        if make(&leaf)? {
            return if v1.has("cpuset") { fill_cpuset(&leaf) } else { Ok(()) };
        }
        let mut at = v1.mount.clone();
        for name in self.path[1..].split('/') {
            at.push(name);
            create_one(&at)?;
            if v1.has("cpuset") {
                fill_cpuset(&at)?;
            }
        }
        Ok(())
    }

    fn create_v2(&self, mount: &Path) -> Result<(), Error> {
        let mut at = mount.to_owned();
        for name in self.path[1..].split('/') {
            // On a hybrid host the controllers are elsewhere and the root of this hierarchy is not ours to change.
            if self.mode == Mode::Unified {
                enable_controllers(&at)?;
            }
            at.push(name);
            create_one(&at)?;
        }
        Ok(())
    }

    fn set(&self, setting: &Setting) -> Result<(), Error> {
        let Some(directory) = self.directory(setting.controller) else {
            if setting.optional || setting.controller == "devices" {
                return Ok(());
            }
            return Err(Error::NoController { what: setting.what, controller: setting.controller });
        };
        let path = directory.join(&setting.file);
        if setting.optional {
            return setting::write_if_present(&path, &setting.value).map(|_| ());
        }
        match setting::write(&path, &setting.value) {
            Err(Error::Write { source, .. })
                if source.kind() == io::ErrorKind::NotFound && setting.controller != "unified" =>
            {
                Err(Error::NoController { what: setting.what, controller: setting.controller })
            }
            result => result,
        }
    }
}

/// Walks a path again of which another daemon, ending, has just removed the part that was shared.
fn patiently(mut walk: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    for _ in 1..WALKS {
        match walk() {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    walk()
}

/// Whether the directory exists now, made or found. `false` when its parent is missing.
fn make(path: &Path) -> Result<bool, Error> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io { operation: "create", path: path.to_owned(), source }),
    }
}

fn create_one(path: &Path) -> Result<(), Error> {
    if make(path)? {
        return Ok(());
    }
    Err(Error::Io { operation: "create", path: path.to_owned(), source: io::ErrorKind::NotFound.into() })
}

/// A v1 cpuset starts empty, and takes no process before it has CPUs and memory nodes. Groups below it then inherit its
/// own, so that this is done once for a parent and not for every container.
fn fill_cpuset(directory: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        fill_like_parent(directory, file)?;
    }
    let inherit = directory.join("cgroup.clone_children");
    if setting::read(&inherit)?.trim() == "1" { Ok(()) } else { setting::write(&inherit, "1") }
}

/// The file's content, the parent's if there was none. The parent may be one that another daemon has made and not yet
/// filled: then it is filled as well. A hierarchy's root always has something.
fn fill_like_parent(directory: &Path, file: &str) -> Result<String, Error> {
    let path = directory.join(file);
    let own = setting::read(&path)?.trim().to_owned();
    if !own.is_empty() {
        return Ok(own);
    }
    let inherited = fill_like_parent(directory.parent().unwrap_or(directory), file)?;
    setting::write(&path, &inherited)?;
    Ok(inherited)
}

/// Passes every controller that `directory` has on to the groups below it.
fn enable_controllers(directory: &Path) -> Result<(), Error> {
    let available = setting::read(&directory.join("cgroup.controllers"))?;
    let path = directory.join("cgroup.subtree_control");
    let enabled = setting::read(&path)?;
    for controller in available.split_whitespace() {
        if !enabled.split_whitespace().any(|name| name == controller) {
            // One that cannot be passed on (real-time processes forbid cpu) is missed when a limit needs it.
            let _ = setting::write(&path, &format!("+{controller}"));
        }
    }
    Ok(())
}

fn open_file(path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
    open(path, flags, FileMode::empty()).map_err(|source| Error::Io {
        operation: "open",
        path: path.to_owned(),
        source: source.into(),
    })
}

fn processes_below(directory: &Path, found: &mut Vec<i32>) -> Result<(), Error> {
    let missing = |source: &io::Error| {
        source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(libc::ENODEV)
    };
    match setting::read(&directory.join("cgroup.procs")) {
        Ok(text) => found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(Error::Io { source, .. }) if missing(&source) => return Ok(()),
        Err(error) => return Err(error),
    }
    for child in children(directory) {
        processes_below(&child, found)?;
    }
    Ok(())
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes a group; groups below it first, if it has any.
fn remove_tree(path: &Path) -> Result<(), Error> {
    for attempt in 0..PATIENCE {
        let source = match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(source) => source,
        };
        match source.raw_os_error() {
            Some(libc::ENOENT) => return Ok(()),
            Some(libc::EBUSY | libc::ENOTEMPTY) if attempt + 1 < PATIENCE => {}
            _ => return Err(Error::Io { operation: "remove", path: path.to_owned(), source }),
        }
        let below: Vec<Error> = children(path).iter().filter_map(|child| remove_tree(child).err()).collect();
        if !below.is_empty() {
            return Error::collect(below);
        }
        if attempt > 0 {
            sleep(STEP);
        }
    }
    Ok(())
}
