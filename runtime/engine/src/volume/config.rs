//! What a user asks for when creating a volume, and what is stored of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::identity::ContainerId;

/// The label of a volume that nobody gave a name, as Docker has it.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeConfig {
    /// The name; one is invented if empty.
    pub name: String,
    /// `local`, also if empty.
    pub driver: String,
    /// The driver's options: `type`, `o` and `device`.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// It is this container's alone and goes with it, should the next daemon not know the container: it is being made or
    /// removed.
    #[serde(default)]
    pub(crate) pending: Option<ContainerId>,
}

/// Checks a name that a user gave.
///
/// # Errors
/// It cannot be a volume's.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.len() < 2 {
        return Err(Error::Invalid(
            "volume name is too short, names should be at least two alphanumeric characters".into(),
        ));
    }
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !name.as_bytes()[0].is_ascii_alphanumeric() || !name.bytes().all(inside) || name.len() > 255 {
        return Err(Error::Invalid(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
             allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(())
}

/// Checks a driver that a user named.
///
/// # Errors
/// It is not the one that there is.
pub(crate) fn check_driver(driver: &str) -> Result<(), Error> {
    if matches!(driver, "" | "local") {
        Ok(())
    } else {
        Err(Error::NoSuchVolumeDriver { name: driver.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_docker() {
        for good in ["ab", "data", "A.b_c-9", &"f".repeat(64)] {
            check_name(good).unwrap();
        }
        for bad in ["", "a", ".ab", "-ab", "a/b", "../x", "a b", "ä1", &"x".repeat(256)] {
            check_name(bad).unwrap_err();
        }
    }

    #[test]
    fn there_is_one_driver() {
        check_driver("").unwrap();
        check_driver("local").unwrap();
        let error = check_driver("rexray").unwrap_err();
        assert!(error.to_string().contains("plugin \"rexray\" not found"), "{error}");
    }
}
