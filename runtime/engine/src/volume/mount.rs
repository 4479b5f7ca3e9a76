//! Mounting a volume's file system where containers will bind it from, and taking it off again.

use std::net::ToSocketAddrs as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::options::Mounting;
use crate::error::Error;

/// How many mounts on one place are taken off: more than one is what somebody else put there.
const LAYERS: usize = 16;

/// Mounts a volume's file system, unless it is mounted already.
pub(super) fn attach(mounting: &Mounting, target: &Path) -> Result<(), Error> {
    if is_mounted(target) {
        return Ok(());
    }
    let (kind, data) = (mounting.kind.as_str(), resolve(mounting)?);
    let failed = |errno: Errno| {
        let data = if data.is_empty() { String::new() } else { format!(", data: {data}") };
        Error::Internal {
            operation: "error while mounting volume".into(),
            message: format!(
                "failed to mount local volume: mount {}:{}{data}: {}",
                mounting.device,
                target.display(),
                errno.desc().to_lowercase()
            ),
        }
    };
    let data = Some(data.as_str()).filter(|data| !data.is_empty());
    mount(Some(mounting.device.as_str()), target, Some(kind), mounting.flags, data).map_err(failed)?;
    let attributes = mounting.flags - (MsFlags::MS_BIND | MsFlags::MS_REC);
    if mounting.flags.contains(MsFlags::MS_BIND) && !attributes.is_empty() {
        // A bind mount takes attributes only when it is there.
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | attributes;
        mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(|errno| {
            let _ = umount2(target, MntFlags::MNT_DETACH);
            failed(errno)
        })?;
    }
    Ok(())
}

/// Takes off whatever is mounted on a volume.
pub(super) fn detach(target: &Path) -> Result<(), Error> {
    for _ in 0..LAYERS {
        if !is_mounted(target) {
            return Ok(());
        }
        // Detached, so that a server that does not answer holds nobody up.
        umount2(target, MntFlags::MNT_DETACH).map_err(|errno| Error::File {
            operation: "unmount",
            path: target.to_owned(),
            source: errno.into(),
        })?;
    }
    Ok(())
}

/// Whether something is mounted on `target`.
pub(crate) fn is_mounted(target: &Path) -> bool {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let wanted = escape(target);
    table.split(|byte| *byte == b'\n').any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&wanted))
}

/// A path as the kernel's table of mounts has it.
fn escape(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            byte => escaped.push(*byte),
        }
    }
    escaped
}

/// A network file system's options: the kernel wants the address of `addr=NAME`.
fn resolve(mounting: &Mounting) -> Result<String, Error> {
    if !matches!(mounting.kind.as_str(), "nfs" | "nfs4" | "cifs") {
        return Ok(mounting.data.clone());
    }
    let mut words = Vec::new();
    for word in mounting.data.split(',') {
        let Some(name) = word.strip_prefix("addr=") else {
            words.push(word.to_owned());
            continue;
        };
        let mut addresses = (name, 0).to_socket_addrs().map_err(|error| {
            Error::internal(format!("error resolving passed in network volume address {name}"), &error)
        })?;
        let address = addresses.next().map_or_else(|| name.to_owned(), |address| address.ip().to_string());
        words.push(format!("addr={address}"));
    }
    Ok(words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_mounted_and_a_directory_of_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(directory.path()));
        assert_eq!(escape(Path::new("/a b\\c")), b"/a\\040b\\134c");
    }

    #[test]
    fn the_address_of_a_server_is_looked_up_for_network_file_systems_alone() {
        let mounting = |kind: &str| Mounting {
            kind: kind.to_owned(),
            device: ":/srv".to_owned(),
            flags: MsFlags::empty(),
            data: "addr=127.0.0.1,vers=4".to_owned(),
        };
        assert_eq!(resolve(&mounting("nfs")).unwrap(), "addr=127.0.0.1,vers=4");
        let named = Mounting { data: "addr=no.such.host.invalid".to_owned(), ..mounting("tmpfs") };
        assert_eq!(resolve(&named).unwrap(), named.data);
    }
}
