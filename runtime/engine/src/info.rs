//! What the engine says about itself.

use std::path::PathBuf;

use beeline_net::Net;

use crate::container::status::ContainerState;
use crate::identity::InstanceId;
use crate::shared::Shared;

/// The engine at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Tells this engine's kernel objects from other engines'.
    pub instance: InstanceId,
    /// A random id made when the root directory was first used; stays the same.
    pub id: String,
    /// The root directory.
    pub root: PathBuf,
    /// All containers.
    pub containers: usize,
    /// Running containers.
    pub running: usize,
    /// Paused containers.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
    /// Images.
    pub images: usize,
    /// `1` or `2`: the cgroup version whose controllers are used.
    pub cgroup_version: &'static str,
    /// The kernel's release.
    pub kernel: String,
    /// The operating system's name from os-release.
    pub operating_system: String,
    /// The operating system's version from os-release.
    pub os_version: String,
    /// The machine's architecture as `uname` has it.
    pub architecture: String,
    /// CPUs the daemon may use.
    pub cpus: usize,
    /// The machine's memory in bytes.
    pub memory: u64,
    /// The host's name.
    pub hostname: String,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// The uplinks with the guard, such as `eth0 (native)`.
    pub guards: Vec<String>,
    /// The seccomp profile of containers that name none.
    pub seccomp_profile: String,
    /// Whether containers have user namespaces of their own.
    pub remaps: bool,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// What an administrator should know of the network: what a firewall of the host's keeps from working, and what the kernel
/// cannot do.
pub(crate) fn network_warnings(net: &Net) -> Vec<String> {
    let warning = |chain| {
        format!(
            "the firewall's chain {chain} drops forwarded packets: packets of containers that are too big for the way \
             out are lost there; accept what comes in by the devices bl-*"
        )
    };
    let acceleration = net.acceleration_failure().map(|reason| {
        format!("connections within this host are not accelerated, although a network asks for it: {reason}")
    });
    net.dropping_chains().into_iter().map(warning).chain(acceleration).collect()
}

/// Asks the kernel and the engine.
pub(crate) fn info(shared: &Shared) -> EngineInfo {
    let views = shared.directory.views();
    let paused = views.iter().filter(|view| view.status.state == ContainerState::Paused).count();
    let running = views.iter().filter(|view| view.status.state.is_running()).count() - paused;
    let uname = nix::sys::utsname::uname().ok();
    let text = |field: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map(|uname| field(uname).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let unified = shared.hierarchy.mode() == beeline_spawn::cgroup::Mode::Unified;
    let guards = shared.net.guards().into_iter();
    EngineInfo {
        instance: shared.instance.clone(),
        id: shared.id.clone(),
        root: shared.config.root.clone(),
        containers: views.len(),
        running,
        paused,
        stopped: views.len() - running - paused,
        images: shared.images.list().len(),
        cgroup_version: if unified { "2" } else { "1" },
        kernel: text(nix::sys::utsname::UtsName::release),
        operating_system: os_field(&release, "PRETTY_NAME"),
        os_version: os_field(&release, "VERSION_ID"),
        architecture: text(nix::sys::utsname::UtsName::machine),
        cpus: shared.cpus,
        memory: memory(),
        hostname: text(nix::sys::utsname::UtsName::nodename),
        log_driver: shared.config.log.name().to_owned(),
        seccomp_profile: shared.config.security.seccomp.name(),
        remaps: shared.config.security.remap.is_some(),
        guards: guards.map(|guard| format!("{} ({})", guard.device, guard.mode)).collect(),
        warnings: network_warnings(&shared.net),
    }
}

/// Bytes of the machine's memory, from /proc/meminfo.
pub(crate) fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A field of os-release, without its quotes.
fn os_field(text: &str, key: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// Bytes of all files below a directory, each counted once.
pub(crate) fn directory_size(path: &std::path::Path) -> u64 {
    let mut size = 0;
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => size += metadata.len(),
                // It went while we looked.
                Err(_) => {}
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_os_release_are_read() {
        let text = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13\"\nVERSION_ID=13\n";
        assert_eq!(os_field(text, "PRETTY_NAME"), "Debian GNU/Linux 13");
        assert_eq!(os_field(text, "VERSION_ID"), "13");
        assert_eq!(os_field("", "PRETTY_NAME"), "Linux");
    }

    #[test]
    fn a_directorys_size_is_that_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("a"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("below/b"), [0; 5]).unwrap();
        assert_eq!(directory_size(dir.path()), 15);
    }
}
