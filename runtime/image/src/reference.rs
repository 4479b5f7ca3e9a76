//! Names of images, as people write them and as the store keeps them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The registry that a name without one means.
const DEFAULT_DOMAIN: &str = "docker.io";
/// The same registry's older name, which references still carry.
const LEGACY_DOMAIN: &str = concat!("index.", "docker.io");
/// The namespace of names without one on the default registry.
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Distribution's bound on a name without tag and digest.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// A normalised reference: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is not an image reference, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: {text:?}: {reason}")]
pub struct InvalidReference {
    text: String,
    reason: &'static str,
}

impl ImageRef {
    /// The name as people write it, without tag and digest: `nginx`, `beeline/whoami`, `localhost:5000/app`.
    pub fn name(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            self.path.strip_prefix(OFFICIAL).unwrap_or(&self.path).to_owned()
        } else {
            format!("{}/{}", self.domain, self.path)
        }
    }

    /// The tag; none when the reference names a digest only.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, when the reference names one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The reference in full: `docker.io/library/nginx:latest`.
    pub fn canonical(&self) -> String {
        self.with_suffixes(format!("{}/{}", self.domain, self.path))
    }

    fn with_suffixes(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for ImageRef {
    /// The familiar form: `nginx:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffixes(self.name()))
    }
}

impl fmt::Debug for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

impl TryFrom<String> for ImageRef {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(reference: ImageRef) -> Self {
        reference.canonical()
    }
}

impl FromStr for ImageRef {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<ImageRef, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| "the digest is not sha256")?)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_end..].split_once(':') {
        Some((last, tag)) => (&rest[..name_end + last.len()], Some(tag)),
        None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(
            "a tag is up to 128 letters, digits, '_', '.' and '-', and starts with neither '.' nor '-'",
        );
    }
    if name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("64 hexadecimal characters are an id, not a name");
    }
    let (domain, path) = split_domain(name);
    let domain = if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if !is_domain(domain) {
        return Err("the registry is not a host name with an optional port");
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("repository name must be lowercase");
    }
    if path.is_empty() || !path.split('/').all(is_component) {
        return Err("a name is lowercase letters and digits, separated by '.', '_', '__', '-' or '/'");
    }
    let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
        format!("{OFFICIAL}{path}")
    } else {
        path.to_owned()
    };
    if domain.len() + 1 + path.len() > NAME_MAX {
        return Err("the name is longer than 255 characters");
    }
    let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None }).map(str::to_owned);
    Ok(ImageRef { domain: domain.to_owned(), path, tag, digest })
}

/// The first component is a registry when it looks like a host: nothing else could tell `a/b` from `a.example/b`.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let port_is_valid =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    port_is_valid
        && literal.map_or_else(
            || host.split('.').all(label),
            |address| address.parse::<std::net::Ipv6Addr>().is_ok(),
        )
}

/// `[a-z0-9]+` joined by one '.', one or two '_', or any number of '-'.
fn is_component(component: &str) -> bool {
    let mut separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let joined = separators.all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    });
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    joined && edge(component.chars().next()) && edge(component.chars().next_back())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<ImageRef>().unwrap().canonical()
    }

    #[test]
    fn short_names_are_completed_as_docker_does() {
        assert_eq!(canonical("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(canonical("beeline/whoami:1"), "docker.io/beeline/whoami:1");
        assert_eq!(canonical("docker.io/nginx"), "docker.io/library/nginx:latest");
        assert_eq!(canonical(&format!("{LEGACY_DOMAIN}/nginx")), "docker.io/library/nginx:latest");
        assert_eq!(canonical("localhost/app"), "localhost/app:latest");
        assert_eq!(canonical("localhost:5000/app:2"), "localhost:5000/app:2");
        assert_eq!(canonical("example.org/a/b__c-d.e"), "example.org/a/b__c-d.e:latest");
        assert_eq!(canonical("[::1]:5000/app"), "[::1]:5000/app:latest");
    }

    #[test]
    fn familiar_names_leave_the_default_registry_out() {
        for text in ["nginx:latest", "beeline/whoami:1", "localhost:5000/app:2", "example.org/a:x"] {
            assert_eq!(text.parse::<ImageRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_digest_stands_in_for_the_tag() {
        let digest = Digest::of(b"");
        let reference: ImageRef = format!("nginx@{digest}").parse().unwrap();
        assert_eq!((reference.tag(), reference.digest()), (None, Some(digest)));
        assert_eq!(reference.canonical(), format!("docker.io/library/nginx@{digest}"));
    }

    #[test]
    fn malformed_references_are_refused() {
        let long = "a".repeat(250);
        for text in [
            "",
            ":tag",
            "Nginx",
            "nginx:",
            "nginx:.a",
            "nginx:-a",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "nginx@sha256:12",
            "nginx:a:b",
            "exa_mple.org/a",
            "host:port/a",
            "../a",
            "a/../b",
            "a:b/c",
            &long,
            &"0".repeat(64),
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_once_reads_back_in_both_forms(text in "([a-z]{1,5}(\\.org|:[0-9]{1,4})?/)?[a-z0-9]{1,4}([._-][a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6})?(:[A-Za-z0-9_.-]{1,8})?") {
            if let Ok(reference) = text.parse::<ImageRef>() {
                prop_assert_eq!(&reference.to_string().parse::<ImageRef>().unwrap(), &reference);
                prop_assert_eq!(&reference.canonical().parse::<ImageRef>().unwrap(), &reference);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ImageRef>();
        }
    }
}
