//! The long form: a kind, a source, a target and options by name.

use std::path::{Component, Path};

use super::{MountKind, UserMount, absolute, destination, is_propagation, tmpfs, volume};
use crate::container::config::MountRequest;
use crate::error::Error;
use crate::volume::VolumeConfig;

/// Reads a mount in the long form.
///
/// # Errors
/// It is malformed, or of a kind that is not supported.
pub(super) fn parse(mount: &MountRequest) -> Result<UserMount, Error> {
    if !matches!(mount.kind.as_str(), "bind" | "volume" | "tmpfs") {
        return Err(Error::NotImplemented(format!(
            "mounts of type {:?} are not supported: use \"bind\", \"volume\" or \"tmpfs\"",
            mount.kind
        )));
    }
    let invalid = |reason: String| {
        Error::Invalid(format!("invalid mount config for type \"{}\": {reason}", mount.kind))
    };
    if mount.target.is_empty() {
        return Err(invalid("field Target must not be empty".into()));
    }
    let destination = destination(&mount.target, &mount.target)?;
    let kind = match mount.kind.as_str() {
        "bind" => bind(mount),
        "volume" => named(mount),
        _ => temporary(mount),
    };
    let kind =
        kind.map_err(|error| if let Error::Invalid(reason) = error { invalid(reason) } else { error })?;
    let mode = if matches!(kind, MountKind::Volume { .. }) { "z" } else { "" };
    Ok(UserMount { destination, kind, writable: !mount.read_only, mode: mode.into() })
}

fn bind(mount: &MountRequest) -> Result<MountKind, Error> {
    let invalid = |reason: String| Err(Error::Invalid(reason));
    if mount.source.is_empty() {
        return invalid("field Source must not be empty".into());
    }
    let Some(source) = absolute(&mount.source) else {
        return invalid(format!("invalid mount path: '{}' mount path must be absolute", mount.source));
    };
    if !mount.create_mountpoint && !source.exists() {
        return invalid(format!("bind source path does not exist: {}", source.display()));
    }
    let given = if mount.propagation.is_empty() { "rprivate" } else { mount.propagation.as_str() };
    if !is_propagation(given) {
        return invalid(format!("invalid propagation: {given}"));
    }
    if mount.read_only_non_recursive && mount.read_only_force_recursive {
        return invalid("ReadOnlyNonRecursive and ReadOnlyForceRecursive contradict each other".into());
    }
    if (mount.read_only_non_recursive || mount.read_only_force_recursive) && !mount.read_only {
        return invalid("ReadOnlyNonRecursive and ReadOnlyForceRecursive need ReadOnly".into());
    }
    if mount.read_only_force_recursive && (given != "rprivate" || mount.non_recursive) {
        return invalid(
            "ReadOnlyForceRecursive needs a recursive mount with the propagation rprivate".into(),
        );
    }
    Ok(MountKind::Bind {
        source,
        propagation: given.to_owned(),
        recursive: !mount.non_recursive,
        writable_below: mount.read_only_non_recursive,
        create: mount.create_mountpoint,
    })
}

fn named(mount: &MountRequest) -> Result<MountKind, Error> {
    let wish = VolumeConfig {
        name: mount.source.clone(),
        driver: mount.volume_driver.clone(),
        options: mount.volume_options.clone(),
        labels: mount.volume_labels.clone(),
    };
    let mut kind = volume(wish, !mount.no_copy);
    let path = Path::new(&mount.subpath);
    if !path.components().all(|name| matches!(name, Component::Normal(_) | Component::CurDir)) {
        return Err(Error::Invalid(format!(
            "subpath {} must be a relative path within the volume",
            mount.subpath
        )));
    }
    if let MountKind::Volume { subpath, anonymous, .. } = &mut kind {
        if *anonymous && !mount.subpath.is_empty() {
            return Err(Error::Invalid("must not set Subpath when using anonymous volumes".into()));
        }
        *subpath = path.components().filter(|name| matches!(name, Component::Normal(_))).collect();
    }
    Ok(kind)
}

fn temporary(mount: &MountRequest) -> Result<MountKind, Error> {
    if !mount.source.is_empty() {
        return Err(Error::Invalid("field Source must not be specified".into()));
    }
    let mut options = tmpfs::defaults();
    if mount.tmpfs_size < 0 {
        return Err(Error::Invalid("the size must not be negative".into()));
    }
    if mount.tmpfs_size > 0 {
        options.push(format!("size={}", mount.tmpfs_size));
    }
    if mount.tmpfs_mode > 0 {
        options.push(format!("mode={:o}", mount.tmpfs_mode & 0o7777));
    }
    for words in &mount.tmpfs_options {
        options.push(tmpfs::check(&words.join("="))?);
    }
    Ok(MountKind::Tmpfs(options))
}
