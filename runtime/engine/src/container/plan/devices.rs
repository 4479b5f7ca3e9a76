//! The host's devices in a container.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::stat::{FileStat, SFlag, lstat, major, minor, stat};
use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};

use crate::container::config::{DeviceRequest, HostConfig};

/// What /dev has that a container makes itself or that is no device.
const OWN: [&str; 8] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"];

/// A device node, and what may be done with it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) node: LinuxDevice,
    /// Of `rwm`.
    pub(super) access: String,
}

/// The devices the user asks for, as they are on the host now; every one for the privileged.
pub(super) fn of(host: &HostConfig) -> Result<Vec<Device>, OciSpecError> {
    let mut devices = Vec::new();
    if host.privileged {
        below(Path::new("/dev"), Path::new("/dev"), "rwm", &mut devices)?;
    }
    // The privileged have what is at its own path already.
    let at_its_path = |request: &&DeviceRequest| {
        request.path_in_container.is_empty() || request.path_in_container == request.path_on_host
    };
    for request in host.devices.iter().filter(|request| !(host.privileged && at_its_path(request))) {
        requested(request, &mut devices)?;
    }
    Ok(devices)
}

/// A device, or all in a directory.
fn requested(request: &DeviceRequest, devices: &mut Vec<Device>) -> Result<(), OciSpecError> {
    let path = Path::new(&request.path_on_host);
    let gather = |reason: &str| {
        OciSpecError::Other(format!(
            "error gathering device information while adding custom device \"{}\": {reason}",
            request.path_on_host
        ))
    };
    let inside = Path::new(if request.path_in_container.is_empty() {
        &request.path_on_host
    } else {
        &request.path_in_container
    });
    let access = if request.cgroup_permissions.is_empty() { "rwm" } else { &request.cgroup_permissions };
    let found = stat(path).map_err(|error| gather(error.desc()))?;
    let before = devices.len();
    if file_type(&found) == SFlag::S_IFDIR {
        below(path, inside, access, devices)?;
    } else {
        devices.extend(device(&found, inside, access)?);
    }
    if devices.len() == before { Err(gather("not a device node")) } else { Ok(()) }
}

/// All device nodes in a directory of the host, at the same places below another one.
fn below(
    directory: &Path,
    inside: &Path,
    access: &str,
    devices: &mut Vec<Device>,
) -> Result<(), OciSpecError> {
    let mut waiting: Vec<(PathBuf, PathBuf)> = vec![(directory.to_owned(), inside.to_owned())];
    while let Some((directory, inside)) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| OWN.contains(&name)) {
                continue;
            }
            let (path, inside) = (entry.path(), inside.join(&name));
            // What is gone meanwhile is no device.
            let Ok(found) = lstat(&path) else { continue };
            if file_type(&found) == SFlag::S_IFDIR {
                waiting.push((path, inside));
            } else {
                devices.extend(device(&found, &inside, access)?);
            }
        }
    }
    Ok(())
}

fn file_type(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}

fn device(found: &FileStat, inside: &Path, access: &str) -> Result<Option<Device>, OciSpecError> {
    let typ = match file_type(found) {
        SFlag::S_IFCHR => LinuxDeviceType::C,
        SFlag::S_IFBLK => LinuxDeviceType::B,
        _ => return Ok(None),
    };
    let number = |number: u64| i64::try_from(number).unwrap_or_default();
    let node = LinuxDeviceBuilder::default()
        .path(inside)
        .typ(typ)
        .major(number(major(found.st_rdev)))
        .minor(number(minor(found.st_rdev)))
        .file_mode(found.st_mode & 0o7777)
        .uid(found.st_uid)
        .gid(found.st_gid)
        .build()?;
    Ok(Some(Device { node, access: access.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(host: &HostConfig) -> Vec<(String, String)> {
        let devices = of(host).unwrap();
        devices.into_iter().map(|device| (device.node.path().display().to_string(), device.access)).collect()
    }

    fn request(host: &str, inside: &str, access: &str) -> DeviceRequest {
        DeviceRequest {
            path_on_host: host.into(),
            path_in_container: inside.into(),
            cgroup_permissions: access.into(),
        }
    }

    #[test]
    fn a_device_has_its_place_and_its_permissions() {
        let devices = vec![request("/dev/null", "/dev/nil", "r"), request("/dev/zero", "", "")];
        let host = HostConfig { devices, ..HostConfig::default() };
        let expected = [("/dev/nil", "r"), ("/dev/zero", "rwm")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(paths(&host), expected);
    }

    #[test]
    fn the_privileged_have_every_device_once() {
        let devices = vec![request("/dev/null", "/dev/null", "r"), request("/dev/null", "/dev/nil", "rwm")];
        let host = HostConfig { devices, privileged: true, ..HostConfig::default() };
        let all = paths(&host);
        let count = |path: &str| all.iter().filter(|(known, _)| known == path).count();
        assert_eq!((count("/dev/null"), count("/dev/nil"), count("/dev/console")), (1, 1, 0));
        assert!(!all.iter().any(|(path, _)| path.starts_with("/dev/pts/")), "{all:?}");
    }

    #[test]
    fn what_is_no_device_is_named() {
        let host = HostConfig { devices: vec![request("/etc/passwd", "", "")], ..HostConfig::default() };
        let error = of(&host).unwrap_err().to_string();
        assert!(error.contains("\"/etc/passwd\": not a device node"), "{error}");
    }
}
