//! The short form: `source:destination[:options]`.

use super::{MountKind, UserMount, absolute, destination, is_propagation, volume};
use crate::error::Error;
use crate::volume::VolumeConfig;

/// Reads a mount in the short form. A source that is no path is a volume's name, made with `driver`.
///
/// # Errors
/// It is malformed.
pub(super) fn parse(text: &str, driver: &str) -> Result<UserMount, Error> {
    let invalid = || Error::Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(invalid()),
    };
    if target.is_empty() || (source.is_empty() && parts.len() > 1) {
        return Err(invalid());
    }
    let kind = if source.starts_with('/') {
        MountKind::Bind {
            source: absolute(source).ok_or_else(invalid)?,
            propagation: "rprivate".into(),
            recursive: true,
            writable_below: false,
            create: true,
        }
    } else {
        volume(VolumeConfig { name: source.into(), driver: driver.into(), ..VolumeConfig::default() }, true)
    };
    let mut mount =
        UserMount { destination: destination(target, text)?, kind, writable: true, mode: mode.into() };
    options(&mut mount, mode)?;
    if mode.is_empty() && !source.is_empty() && mount.volume().is_some() {
        // What Docker shows of a volume that is shared, as it may be.
        mount.mode = "z".into();
    }
    Ok(mount)
}

fn options(mount: &mut UserMount, mode: &str) -> Result<(), Error> {
    // Of words that say the same thing, one is enough: the other may say the opposite.
    let (mut access, mut spread) = (0, 0);
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        let known = match (option, &mut mount.kind) {
            ("ro" | "rw", _) => {
                access += 1;
                mount.writable = option == "rw";
                access == 1
            }
            // SELinux labels mean nothing here.
            ("z" | "Z", _) => true,
            ("nocopy", MountKind::Volume { copy, .. }) => {
                *copy = false;
                true
            }
            ("nocopy", _) => true,
            (word, MountKind::Bind { propagation, .. }) if is_propagation(word) => {
                spread += 1;
                *propagation = word.into();
                spread == 1
            }
            _ => false,
        };
        if !known {
            return Err(Error::Invalid(format!("invalid mode: {mode}")));
        }
    }
    Ok(())
}
