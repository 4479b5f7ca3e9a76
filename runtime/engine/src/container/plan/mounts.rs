//! What is mounted in a container: Docker's own file systems, the engine's files, the user's wishes.

use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};

use super::Input;
use crate::container::mounts::{MountKind, UserMount};
use crate::container::security::Security;
use crate::volume::{data_dir, is_mounted};

/// The mounts of a container whose defaults are `own`.
pub(super) fn mounts(input: Input<'_>, own: Vec<Mount>) -> Result<Vec<Mount>, OciSpecError> {
    let host = &input.config.host;
    let user = input.mounts;
    let writable_cgroups = Security::of(&host.security_opt).writable_cgroups.unwrap_or(host.privileged);
    let replaced = |path: &Path| user.iter().any(|mount| mount.destination == path);
    let mut mounts = Vec::with_capacity(own.len() + user.len() + 3);
    for mut mount in own {
        if replaced(mount.destination()) {
            continue;
        }
        match (mount.destination().to_str(), &input.shares.shm) {
            (Some("/dev/shm" | "/dev/mqueue"), _) if host.ipc_mode == "none" => continue,
            (Some("/dev/shm"), _) if host.ipc_mode == "host" => {
                mount = bind(Path::new("/dev/shm"), Path::new("/dev/shm"), &["rbind", "rprivate"])?;
            }
            (Some("/dev/shm"), Some(shared)) => {
                mount = bind(Path::new("/dev/shm"), shared, &["rbind", "rprivate"])?;
            }
            (Some("/dev/shm"), None) if host.shm_size > 0 => {
                set_option(&mut mount, "size=", &format!("size={}", host.shm_size));
            }
            // Docker gives the privileged a writable /sys.
            (Some("/sys"), _) if host.privileged => set_option(&mut mount, "ro", "rw"),
            (Some("/sys/fs/cgroup"), _) if writable_cgroups => set_option(&mut mount, "ro", "rw"),
            _ => {}
        }
        mounts.push(mount);
    }
    let files = [
        ("/etc/resolv.conf", &input.paths.resolv_conf),
        ("/etc/hostname", &input.paths.hostname),
        ("/etc/hosts", &input.paths.hosts),
    ];
    for (destination, source) in files {
        if !replaced(Path::new(destination)) {
            mounts.push(engines(Path::new(destination), source, input, vec!["rbind", "rprivate"])?);
        }
    }
    for wish in user {
        mounts.push(wished(wish, input)?);
    }
    Ok(mounts)
}

/// What the container mounts appears on the host only if a mount asks for it.
pub(super) fn propagation(mounts: &[UserMount]) -> Option<String> {
    let shared = |mount: &UserMount| matches!(&mount.kind, MountKind::Bind { propagation, .. } if propagation.ends_with("shared"));
    mounts.iter().any(shared).then(|| "rshared".to_owned())
}

/// Files of the engine's own, which have on the disk the owners that the container is to see.
fn engines(
    destination: &Path,
    source: &Path,
    input: Input<'_>,
    mut options: Vec<&str>,
) -> Result<Mount, OciSpecError> {
    if input.shares.user.is_some() {
        options.push("idmap");
    }
    bind(destination, source, &options)
}

fn wished(wish: &UserMount, input: Input<'_>) -> Result<Mount, OciSpecError> {
    match &wish.kind {
        MountKind::Bind { source, propagation, recursive, writable_below, .. } => {
            let mut options = vec![if *recursive { "rbind" } else { "bind" }, propagation.as_str()];
            // Nothing is said of a writable one: what the host has read-only stays so.
            if !wish.writable {
                options.push(if *writable_below { "ro" } else { "rro" });
            }
            bind(&wish.destination, source, &options)
        }
        MountKind::Volume { name, subpath, .. } => {
            let mut options = vec!["rbind", "rprivate"];
            if !wish.writable {
                options.push("rro");
            }
            let subpath = subpath.to_string_lossy();
            let subdir = format!("X-mount.subdir={subpath}");
            if !subpath.is_empty() {
                options.push(&subdir);
            }
            let data = data_dir(input.volumes, name);
            // What is mounted there is somebody else's.
            if is_mounted(&data) {
                return bind(&wish.destination, &data, &options);
            }
            engines(&wish.destination, &data, input, options)
        }
        MountKind::Tmpfs(options) => {
            let access = if wish.writable { "rw" } else { "ro" };
            MountBuilder::default()
                .destination(wish.destination.clone())
                .typ("tmpfs")
                .source("tmpfs")
                .options(options.iter().cloned().chain([access.to_owned()]).collect::<Vec<_>>())
                .build()
        }
    }
}

/// Replaces the option that begins with `prefix`.
fn set_option(mount: &mut Mount, prefix: &str, with: &str) {
    if let Some(options) = mount.options_mut() {
        options.retain(|option| !option.starts_with(prefix));
        options.push(with.to_owned());
    }
}

fn bind(destination: &Path, source: &Path, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
    MountBuilder::default().destination(destination).typ("bind").source(source).options(options).build()
}
