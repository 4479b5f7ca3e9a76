//! Whose namespaces a container has.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use beeline_net::Netns;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use crate::container::config::{ContainerConfig, HostConfig};
use crate::container::mounts;
use crate::container::prepare::make_dir;
use crate::container::user_namespace::{self, User};
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::shared::Shared;

/// The size of /dev/shm in bytes unless the user says otherwise.
const SHM_SIZE: i64 = 64 << 20;

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// The container's own.
    Own,
    /// The host's.
    Host,
    /// Another container's, by name or id.
    Container(&'a str),
}

fn owner(mode: &str) -> Owner<'_> {
    match (mode, mode.strip_prefix("container:")) {
        ("host", _) => Owner::Host,
        (_, Some(container)) => Owner::Container(container),
        _ => Owner::Own,
    }
}

impl HostConfig {
    /// Whose PID namespace the container has.
    pub(crate) fn pid(&self) -> Owner<'_> {
        owner(&self.pid_mode)
    }

    /// Whose IPC namespace the container has.
    pub(crate) fn ipc(&self) -> Owner<'_> {
        owner(&self.ipc_mode)
    }
}

/// Refuses modes that there are not, in Docker's words.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check(config: &ContainerConfig) -> Result<(), Error> {
    let host = &config.host;
    let named = |mode: &str| mode.strip_prefix("container:").is_some_and(|container| !container.is_empty());
    let modes: [(&str, &str, &[&str], bool); 5] = [
        ("IPC", &host.ipc_mode, &["", "private", "shareable", "none", "host"], named(&host.ipc_mode)),
        ("PID", &host.pid_mode, &["", "private", "host"], named(&host.pid_mode)),
        ("UTS", &host.uts_mode, &["", "private", "host"], false),
        ("cgroup namespace", &host.cgroupns_mode, &["", "private", "host"], false),
        ("USER", &host.userns_mode, &["", "host"], false),
    ];
    for (what, mode, known, named) in modes {
        if !named && !known.contains(&mode) {
            return Err(Error::Invalid(format!("invalid {what} mode: {mode}")));
        }
    }
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return Err(Error::Invalid("conflicting options: hostname and the UTS mode".into()));
    }
    Ok(())
}

/// What a container shares with others, by paths that its shim can use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) pid: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    /// Its user namespace; none is the host's.
    pub(crate) user: Option<User>,
    /// The directory that is /dev/shm; none for one of the container's own.
    pub(crate) shm: Option<PathBuf>,
}

/// Namespaces of other containers that run, and one that is to be the container's own, held until the shim has joined them.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pid: Option<File>,
    ipc: Option<File>,
    user: Option<user_namespace::Held>,
    shm: Option<PathBuf>,
}

impl Held {
    /// Opens what the container with this configuration shares.
    ///
    /// # Errors
    /// The other container does not exist, does not run or does not share; in Docker's words.
    pub(crate) fn open(shared: &Shared, config: &HostConfig) -> Result<Self, Error> {
        let user = user_namespace::Held::open(shared, config)?;
        let mut held = Self { user, ..Self::default() };
        if let Owner::Container(reference) = config.pid() {
            let failed = |error: Error| failed("PID", &error);
            held.pid = Some(running(shared, reference).and_then(|view| open(&view, "pid")).map_err(failed)?);
        }
        if let Owner::Container(reference) = config.ipc() {
            let failed = |error: Error| failed("IPC", &error);
            let view = running(shared, reference).map_err(failed)?;
            held.shm = Some(donated(shared, &view).map_err(failed)?);
            held.ipc = Some(open(&view, "ipc").map_err(failed)?);
        }
        Ok(held)
    }

    /// The paths, which are good as long as this value lives.
    pub(crate) fn shares(&self) -> Shares {
        // The daemon's descriptors, not /proc/PID/ns: nobody else can come by these numbers meanwhile.
        let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into();
        Shares {
            pid: self.pid.as_ref().map(path),
            ipc: self.ipc.as_ref().map(path),
            user: self.user.as_ref().map(user_namespace::Held::user),
            shm: self.shm.clone(),
        }
    }

    /// The network namespace of a new user namespace.
    pub(crate) fn take_net(&mut self) -> Option<OwnedFd> {
        self.user.as_mut().and_then(user_namespace::Held::take_net)
    }
}

fn failed(kind: &str, error: &Error) -> Error {
    let text = format!("failed to join {kind} namespace: {}", error.full());
    if matches!(error, Error::Conflict(_)) { Error::Conflict(text) } else { Error::Invalid(text) }
}

pub(crate) fn running(shared: &Shared, reference: &str) -> Result<std::sync::Arc<ContainerView>, Error> {
    let view = shared.directory.find(reference)?.view();
    if view.status.state.is_running() { Ok(view) } else { Err(not_running(&view)) }
}

fn not_running(view: &ContainerView) -> Error {
    Error::Conflict(format!("container {} is not running", view.id))
}

/// The /dev/shm of a container that lets others have its IPC namespace.
fn donated(shared: &Shared, view: &ContainerView) -> Result<PathBuf, Error> {
    let directory = match view.config.host.ipc_mode.as_str() {
        "host" => PathBuf::from("/dev/shm"),
        "shareable" => shm_dir(&shared.run_dir(&view.id)),
        _ => PathBuf::new(),
    };
    if directory.is_dir() {
        return Ok(directory);
    }
    Err(Error::Invalid(format!(
        "container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
        view.id
    )))
}

/// The network namespace of a container that runs; none if it has ended since it was viewed.
pub(crate) fn network(shared: &Shared, view: &ContainerView) -> Option<Netns> {
    let netns = Netns::of_process(view.status.pid).ok()?;
    // Still the same run: what was opened is not of a later process with its number.
    let now = shared.directory.find(view.id.as_str()).ok()?.view();
    let same = now.status.state.is_running() && now.status.started_at == view.status.started_at;
    same.then_some(netns)
}

pub(super) fn open(view: &ContainerView, kind: &str) -> Result<File, Error> {
    open_of(view.status.pid, view.id.as_str(), kind).ok_or_else(|| not_running(view))
}

/// A namespace of the init of the container `id`. The process' directory stays that of the one process, even if its number
/// becomes another's; and a process in the container's control group is the container's.
fn open_of(pid: u32, id: &str, kind: &str) -> Option<File> {
    let process = File::open(format!("/proc/{pid}")).ok()?;
    let at = |path: &str| {
        let opened = openat(&process, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        opened.map(File::from).ok()
    };
    let mut groups = String::new();
    at("cgroup")?.read_to_string(&mut groups).ok()?;
    if groups.contains(id) { at(&format!("ns/{kind}")) } else { None }
}

fn shm_dir(run_dir: &Path) -> PathBuf {
    run_dir.join("shm")
}

/// Mounts the /dev/shm that a container shares with whoever joins its IPC namespace, and returns where; none for a
/// container that does not share or has a mount of the user's there. It is the container's root's.
pub(crate) fn mount_shm(
    config: &ContainerConfig,
    run_dir: &Path,
    (user, group): (u32, u32),
) -> Result<Option<PathBuf>, Error> {
    let replaced = || {
        let mounts = mounts::parse(config).unwrap_or_default();
        mounts.iter().any(|mount| mount.destination == Path::new("/dev/shm"))
    };
    if config.host.ipc_mode != "shareable" || replaced() {
        return Ok(None);
    }
    let directory = shm_dir(run_dir);
    make_dir(&directory, 0o700)?;
    let size = if config.host.shm_size > 0 { config.host.shm_size } else { SHM_SIZE };
    let flags = MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let data = format!("mode=1777,size={size},uid={user},gid={group}");
    mount(Some("shm"), &directory, Some("tmpfs"), flags, Some(data.as_str())).map_err(|errno| {
        Error::File { operation: "mount a tmpfs on", path: directory.clone(), source: errno.into() }
    })?;
    Ok(Some(directory))
}

/// Takes it away again, if it is there. Containers that have it keep it.
pub(crate) fn unmount_shm(config: &HostConfig, run_dir: &Path) -> Result<(), Error> {
    if config.ipc_mode != "shareable" {
        return Ok(());
    }
    let directory = shm_dir(run_dir);
    match umount2(&directory, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::errno::Errno::ENOENT | nix::errno::Errno::EINVAL) => Ok(()),
        Err(errno) => Err(Error::File { operation: "unmount", path: directory, source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(|host: &mut HostConfig| host.pid_mode = "container:".into(), "invalid PID mode: container:")]
    #[case(|host: &mut HostConfig| host.pid_mode = "shareable".into(), "invalid PID mode: shareable")]
    #[case(|host: &mut HostConfig| host.ipc_mode = "public".into(), "invalid IPC mode: public")]
    #[case(|host: &mut HostConfig| host.uts_mode = "container:x".into(), "invalid UTS mode: container:x")]
    #[case(|host: &mut HostConfig| host.cgroupns_mode = "x".into(), "invalid cgroup namespace mode: x")]
    fn modes_that_there_are_not_are_named(#[case] change: fn(&mut HostConfig), #[case] text: &str) {
        let mut config = ContainerConfig::default();
        change(&mut config.host);
        assert_eq!(check(&config).unwrap_err().to_string(), text);
    }

    #[test]
    fn a_process_outside_of_the_containers_group_is_not_its_init() {
        let own = std::process::id();
        assert!(open_of(own, "", "pid").is_some());
        assert!(open_of(own, &"ab".repeat(32), "pid").is_none());
    }

    #[test]
    fn a_name_cannot_be_given_to_the_hosts_namespace() {
        let mut config = ContainerConfig::default();
        config.host.uts_mode = "host".into();
        check(&config).unwrap();
        config.hostname = "box".into();
        assert!(check(&config).unwrap_err().to_string().contains("hostname and the UTS mode"));
    }
}
