//! How Go's encoding/json differs from serde: null is the zero value, a set is a map to empty objects.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Go's zero `time.Time`, what Docker sends for "never".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// A set as Go spells it: `{"80/tcp": {}}`.
pub type Set = BTreeMap<String, Empty>;

/// The empty object `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Reads null as the type's default. For `#[serde(default, deserialize_with = "…")]`.
///
/// # Errors
/// Returns what the inner type's deserialization returns.
pub fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a value is its type's zero: Go's `omitempty`.
pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A command line that clients may also send as one plain string (Docker's `strslice`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StrSlice(pub Vec<String>);

impl Serialize for StrSlice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StrSlice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(word) => Self(vec![word]),
            OneOrMany::Many(words) => Self(words),
        })
    }
}

impl From<Vec<String>> for StrSlice {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_a_string_or_a_list() {
        assert_eq!(serde_json::from_str::<StrSlice>(r#""/bin/sh""#).unwrap().0, ["/bin/sh"]);
        assert_eq!(serde_json::from_str::<StrSlice>(r#"["a","b"]"#).unwrap().0, ["a", "b"]);
    }
}
