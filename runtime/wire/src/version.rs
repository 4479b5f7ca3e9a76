//! API versions and their negotiation.

use std::fmt;
use std::str::FromStr;

/// A version of the Engine API, such as 1.50. Ordered as versions are: 1.9 < 1.24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    pub major: u16,
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest version served, so that old clients keep working.
    pub const MIN: Self = Self::new(1, 24);
    /// The newest version served, and what an unversioned path gets.
    pub const MAX: Self = Self::new(1, 50);

    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether this is at least version 1.`minor`.
    pub fn since(self, minor: u16) -> bool {
        self >= Self::new(1, minor)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not `MAJOR.MINOR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidVersion(pub String);

impl fmt::Display for InvalidVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid API version \"{}\": must be MAJOR.MINOR", self.0)
    }
}

impl std::error::Error for InvalidVersion {}

impl FromStr for ApiVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self::new(number(major)?, number(minor)?)))
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number_not_by_text() {
        assert!("1.9".parse::<ApiVersion>().unwrap() < ApiVersion::MIN);
        assert!("1.50".parse::<ApiVersion>().unwrap() == ApiVersion::MAX);
        assert!("2.0".parse::<ApiVersion>().unwrap() > ApiVersion::MAX);
    }

    #[test]
    fn anything_but_two_numbers_is_refused() {
        for text in ["", "1", "1.", ".5", "1.x", "1.+5", "v1.24", "1.2.3"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
    }
}
