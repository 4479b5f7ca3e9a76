//! Query parameters, read with Docker's leniency.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use beeline_wire::filters::Filters;
use jiff::Timestamp;

use super::error::ApiError;

/// A request's query parameters, repeated ones included.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::bad_request(format!("invalid query: {error}")))?;
        Ok(Self(pairs))
    }

    /// The first value, also if empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every value.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A flag: anything but nothing, `0`, `no`, `false` and `none` is true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.get(name).unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| text.parse().map_err(|_| invalid(name, text))).transpose()
    }

    /// A moment: seconds since the epoch with an optional fraction, or RFC 3339. Zero is none.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let time = unix_time(text).or_else(|| text.parse().ok()).ok_or_else(|| invalid(name, text))?;
        Ok(Some(time).filter(|time| *time != Timestamp::UNIX_EPOCH))
    }

    /// The `filters` parameter, whose names must be among `known`.
    pub(crate) fn filters(&self, known: &[&str]) -> Result<Filters, ApiError> {
        let filters = Filters::parse(self.get("filters").unwrap_or_default())
            .map_err(|_| ApiError::bad_request("invalid filter"))?;
        match filters.unknown(known) {
            Some(name) => Err(ApiError::bad_request(format!("invalid filter '{name}'"))),
            None => Ok(filters),
        }
    }
}

fn invalid(name: &str, text: &str) -> ApiError {
    ApiError::bad_request(format!("invalid value for \"{name}\": {text}"))
}

/// `SECONDS[.FRACTION]`, the fraction up to nine digits.
fn unix_time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanos).ok()
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn flags_are_as_lenient_as_docker_s() {
        let given = params("a=1&b=True&c=0&d=&e=none&f=yes");
        for (name, set) in
            [("a", true), ("b", true), ("c", false), ("d", false), ("e", false), ("f", true), ("g", false)]
        {
            assert_eq!(given.flag(name), set, "{name}");
        }
    }

    #[test]
    fn moments_are_unix_or_rfc3339() {
        let given = params("a=1700000000.5&b=2023-11-14T22:13:20.5Z&c=0&d=soon&e=1.1234567890");
        assert_eq!(given.time("a").unwrap(), given.time("b").unwrap());
        assert_eq!(given.time("a").unwrap().unwrap().as_nanosecond(), 1_700_000_000_500_000_000);
        assert_eq!(given.time("c").unwrap(), None);
        let error = given.time("d").unwrap_err();
        assert_eq!(error.message, "invalid value for \"d\": soon");
        assert!(given.time("e").is_err());
    }

    #[test]
    fn an_unknown_filter_is_named() {
        let given = params("filters=%7B%22colour%22%3A%5B%22red%22%5D%7D");
        assert_eq!(given.filters(&["name"]).unwrap_err().message, "invalid filter 'colour'");
    }
}
