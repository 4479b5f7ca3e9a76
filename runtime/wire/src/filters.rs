//! The `filters` query parameter: `{"status":["running"],"label":["a=b"]}`, or the older
//! `{"status":{"running":true}}` that Docker's own client still sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Values by filter name. Values of one name are alternatives, names are conditions that all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads the parameter's JSON. Empty text is no filter.
    ///
    /// # Errors
    /// Returns serde's error for anything but the two forms.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        if json.is_empty() { Ok(Self::default()) } else { serde_json::from_str(json) }
    }

    /// The values given for `name`; empty when it is not filtered on.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first filter name that is not in `known`.
    pub fn unknown<'a>(&'a self, known: &[&str]) -> Option<&'a str> {
        self.0.keys().map(String::as_str).find(|name| !known.contains(name))
    }

    /// Adds one value, as `--filter name=value` does.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(value.into());
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Values {
            List(Vec<String>),
            Set(BTreeMap<String, bool>),
        }
        let raw = BTreeMap::<String, Values>::deserialize(deserializer)?;
        let names = raw.into_iter().map(|(name, values)| {
            let values = match values {
                Values::List(list) => list,
                Values::Set(set) => set.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect(),
            };
            (name, values)
        });
        Ok(Self(names.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_read_alike() {
        let new = Filters::parse(r#"{"status":["running","exited"]}"#).unwrap();
        let old = Filters::parse(r#"{"status":{"running":true,"exited":true,"dead":false}}"#).unwrap();
        assert_eq!(new.values("status"), ["running", "exited"]);
        assert_eq!(old.values("status"), ["exited", "running"]);
        assert_eq!(old.unknown(&["name"]), Some("status"));
        assert!(Filters::parse("").unwrap().0.is_empty());
        assert!(Filters::parse("[1]").is_err());
    }
}
