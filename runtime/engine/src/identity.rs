//! Names of things: instances and containers.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The root directory whose instance is `0`.
const DEFAULT_ROOT: &str = "/var/lib/beeline";

/// Tells daemons on one machine apart: 1 to 6 characters of `[a-z0-9]`. Devices, pins and control groups carry it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceId(String);

impl InstanceId {
    /// The instance of a root directory: `0` for the default one, else derived from its canonical path.
    #[must_use]
    pub fn of_root(root: &Path) -> Self {
        if root == Path::new(DEFAULT_ROOT) {
            return Self("0".into());
        }
        // 30 bits of SHA-256 in base 32, as RFC 4648 writes it, in lower case.
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let digest = <sha2::Sha256 as sha2::Digest>::digest(root.as_os_str().as_encoded_bytes());
        let bits = digest.iter().take(4).fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
        let text = (0..6).map(|at| char::from(ALPHABET[(bits >> (27 - 5 * at) & 31) as usize])).collect();
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for InstanceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if (1..=6).contains(&text.len()) && text.bytes().all(valid) {
            return Ok(Self(text.into()));
        }
        Err(Error::Invalid(format!(
            "invalid instance {text:?}: 1 to 6 characters of a-z and 0-9 are allowed"
        )))
    }
}

/// A container's id: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// A new random id.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::internal("draw a container id", &error))?;
        Ok(Self(hex::encode(bytes)))
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as listings show them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(digit) {
            return Ok(Self(text));
        }
        Err(Error::Invalid(format!("invalid container id {text:?}: 64 hexadecimal digits are expected")))
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// A container's name, without the leading slash Docker shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let first = |byte: &u8| byte.is_ascii_alphanumeric();
        let rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
        let bytes = name.as_bytes();
        if bytes.len() >= 2 && bytes.first().is_some_and(first) && bytes.iter().all(rest) {
            return Ok(Self(name.into()));
        }
        Err(Error::Invalid(format!(
            "Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

impl TryFrom<String> for ContainerName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", true)]
    #[case("/web", true)]
    #[case("w", false)]
    #[case("web_1.a-b", true)]
    #[case("_web", false)]
    #[case("web app", false)]
    #[case("", false)]
    #[case("wéb", false)]
    fn names_are_dockers(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<ContainerName>().is_ok(), valid);
    }

    #[test]
    fn an_instance_belongs_to_its_root() {
        assert_eq!(InstanceId::of_root(Path::new(DEFAULT_ROOT)).as_str(), "0");
        let one = InstanceId::of_root(Path::new("/srv/one"));
        assert_ne!(one, InstanceId::of_root(Path::new("/srv/two")));
        assert_eq!(one, InstanceId::of_root(Path::new("/srv/one")));
        assert!("Abc".parse::<InstanceId>().is_err());
        assert!("1234567".parse::<InstanceId>().is_err());
    }

    proptest! {
        #[test]
        fn a_derived_instance_is_a_valid_one(path in "/[a-zA-Z0-9/._ -]{1,40}") {
            let derived = InstanceId::of_root(Path::new(&path));
            prop_assert_eq!(derived.as_str().parse::<InstanceId>().unwrap(), derived);
        }
    }

    #[test]
    fn a_random_id_is_a_valid_one() {
        let id = ContainerId::random().unwrap();
        assert_eq!(ContainerId::try_from(id.to_string()).unwrap(), id);
        assert_eq!(id.short().len(), 12);
    }
}
