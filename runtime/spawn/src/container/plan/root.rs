//! The container's root file system, and what is done to it last.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};
use rustix::mount::MountPropagationFlags;

use super::namespaces::Namespaces;
use super::{c_path, c_string, made};
use crate::container::step::{Op, Overlay, Propagation, Root, Step, Target};
use crate::container::{Error, Rootfs};
use crate::view;

/// `fsconfig(2)` takes values up to this many bytes, their end included.
const MAX_VALUE: usize = 256;

/// Mounts the root.
pub(super) fn steps(
    rootfs: &Rootfs,
    linux: &Linux,
    makes_mounts: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let propagation = match linux.rootfs_propagation().as_deref() {
        Some("shared" | "rshared") => Propagation::Shared,
        None | Some("" | "private" | "rprivate" | "slave" | "rslave" | "unbindable" | "runbindable") => {
            Propagation::Slave
        }
        Some(other) => return Err(Error::config(format!("linux.rootfsPropagation is {other:?}"))),
    };
    steps.push(Step::new("keep mounts apart from the host's", Op::Propagation(propagation)));
    let (what, root) = match rootfs {
        Rootfs::Overlay { lower, upper, work } if makes_mounts => {
            let upper_and_work = Some((upper.clone(), work.clone()));
            let overlay = view::Overlay { lower: lower.clone(), upper: upper_and_work, read_only: false };
            (overlay_on(upper), Root::Mount(made::overlay(&overlay, linux)?))
        }
        Rootfs::Overlay { lower, upper, work } => {
            if lower.is_empty() {
                return Err(Error::config("the root has no layer"));
            }
            let lower: Vec<_> =
                lower.iter().map(|layer| c_path(layer, "a layer")).collect::<Result<_, _>>()?;
            let overlay = Overlay {
                always_legacy: lower.iter().any(|layer| layer.count_bytes() >= MAX_VALUE),
                lower,
                upper: c_path(upper, "the upper directory")?,
                work: c_path(work, "the work directory")?,
            };
            (overlay_on(upper), Root::Overlay(overlay))
        }
        Rootfs::Directory(path) if makes_mounts => {
            (format!("mount {} as root", path.display()), Root::Mount(made::tree(path, None, true)?))
        }
        Rootfs::Directory(path) => {
            (format!("mount {} as root", path.display()), Root::Directory(c_path(path, "root.path")?))
        }
    };
    steps.push(Step::new(what, Op::Root(root)));
    Ok(())
}

fn overlay_on(upper: &Path) -> String {
    format!("mount overlay on {}", upper.display())
}

/// Sets kernel parameters, and hides what the container must not see.
pub(super) fn finish(
    spec: &Spec,
    linux: &Linux,
    process: &Process,
    namespaces: &Namespaces,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    for (key, value) in linux.sysctl().iter().flatten() {
        let (path, kind) = sysctl_path(key)?;
        if !namespaces.has_apart(kind) {
            return Err(Error::config(format!(
                "linux.sysctl {key} needs a {kind} namespace of the container's own"
            )));
        }
        if !has_proc(spec) {
            return Err(Error::config(format!("linux.sysctl {key} needs a mount of type proc on /proc")));
        }
        let path = format!("sys/{path}");
        let op = Op::Sysctl {
            path: c_string(path, "linux.sysctl")?,
            value: c_string(value.as_str(), "linux.sysctl")?,
        };
        steps.push(Step::new(format!("set kernel parameter {key} to {value}"), op));
    }
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        return Err(Error::config(format!("process.cwd {} is not absolute", cwd.display())));
    }
    let target = Target::new(cwd, false, "process.cwd")?;
    if !target.prefixes.is_empty() {
        let what = format!("make the working directory {}", cwd.display());
        steps.push(Step::new(what, Op::Directory(target)));
    }
    for path in linux.readonly_paths().iter().flatten() {
        let op = Op::Readonly(relative(path, "linux.readonlyPaths")?);
        steps.push(Step::new(format!("make {path} read-only"), op));
    }
    for path in linux.masked_paths().iter().flatten() {
        steps.push(Step::new(format!("mask {path}"), Op::Mask(relative(path, "linux.maskedPaths")?)));
    }
    Ok(())
}

/// Makes the root the container's own.
pub(super) fn enter(spec: &Spec, linux: &Linux, pivot: bool, steps: &mut Vec<Step>) -> Result<(), Error> {
    if pivot {
        steps.push(Step::new("pivot into the root", Op::Pivot));
    } else {
        steps.push(Step::new("change the root", Op::Chroot));
    }
    if let Some(name) = linux.rootfs_propagation().as_deref().filter(|name| !name.is_empty()) {
        let mut flags = super::options::propagation(name)
            .ok_or_else(|| Error::config(format!("linux.rootfsPropagation is {name:?}")))?;
        if flags.contains(MountPropagationFlags::PRIVATE) {
            // Mounts are private unless they ask for something else.
            flags -= MountPropagationFlags::REC;
        }
        steps.push(Step::new(format!("make the root {name}"), Op::RootPropagation(flags)));
    }
    if spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false) {
        steps.push(Step::new("make the root read-only", Op::ReadonlyRoot));
    }
    Ok(())
}

fn has_proc(spec: &Spec) -> bool {
    spec.mounts()
        .iter()
        .flatten()
        .any(|mount| mount.typ().as_deref() == Some("proc") && mount.destination() == Path::new("/proc"))
}

/// A parameter's path below /proc/sys, and the namespace it is of. With a slash in the key, slashes separate and dots are part of names.
fn sysctl_path(key: &str) -> Result<(String, LinuxNamespaceType), Error> {
    let path = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    if path.split('/').any(|name| name.is_empty() || name == "..") {
        return Err(Error::config(format!("linux.sysctl has no parameter {key:?}")));
    }
    // These belong to the container's namespaces; the others would change the host.
    const IPC: [&str; 8] =
        ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];
    let kernel = path.strip_prefix("kernel/");
    let kind = if path.starts_with("net/") {
        LinuxNamespaceType::Network
    } else if path.starts_with("fs/mqueue/") || kernel.is_some_and(|name| IPC.contains(&name)) {
        LinuxNamespaceType::Ipc
    } else if kernel == Some("domainname") {
        LinuxNamespaceType::Uts
    } else {
        return Err(Error::config(format!("linux.sysctl {key} is not of a namespace")));
    };
    Ok((path, kind))
}

/// A path relative to the root.
fn relative(path: &str, field: &str) -> Result<std::ffi::CString, Error> {
    if !Path::new(path).is_absolute() {
        return Err(Error::config(format!("{field} {path} is not absolute")));
    }
    c_string(path.trim_start_matches('/'), field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_a_namespace_are_taken() {
        let path = |key| sysctl_path(key).map(|(path, _)| path).map_err(|error| error.to_string());
        assert_eq!(path("net.ipv4.ip_forward"), Ok("net/ipv4/ip_forward".into()));
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), Ok("net/ipv4/conf/eth0.1/forwarding".into()));
        assert_eq!(path("kernel.shmmax"), Ok("kernel/shmmax".into()));
        assert!(path("kernel.core_pattern").is_err());
        assert!(path("net/../kernel/core_pattern").is_err());
    }
}
