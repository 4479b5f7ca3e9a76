//! The configurations of images: Docker's fields beside OCI's, and the platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What Docker keeps in an image's configuration beside what OCI specifies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DockerConfig {
    /// How to tell whether the container works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions for builds on top of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// The shell of commands in shell form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// A check that is run in the container from time to time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Nanoseconds between two checks; 0 is the default.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Nanoseconds a check may take; 0 is the default.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Nanoseconds at the start in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Nanoseconds between two checks in the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make the container unhealthy; 0 is the default.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// An empty JSON object: Docker writes sets as maps to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Empty {}

/// The execution parameters of an image that is made here; its maps are ordered, so that its digest is reproducible.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Execution {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) volumes: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stop_signal: String,
    #[serde(flatten)]
    pub(crate) docker: DockerConfig,
}

/// A whole configuration, as written to the store.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    pub(crate) architecture: &'a str,
    pub(crate) config: &'a Execution,
    pub(crate) created: &'a str,
    pub(crate) history: [History<'a>; 1],
    pub(crate) os: &'a str,
    pub(crate) rootfs: RootFs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct History<'a> {
    pub(crate) created: &'a str,
    pub(crate) comment: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct RootFs<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) diff_ids: [Digest; 1],
}

/// Operating system, architecture and variant in Go's names, as images carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// The machine's own.
    pub(crate) fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Reads `os/architecture[/variant]`, or an architecture alone; none when it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let (os, architecture, variant) = match parts.as_slice() {
            ["linux"] => return Some(Self::host()),
            [architecture] => ("linux", *architecture, None),
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return None,
        };
        let architecture = match architecture {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Some(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_as_docker_writes_them() {
        assert_eq!(Platform::parse("linux"), Some(Platform::host()));
        assert_eq!(Platform::parse("linux/x86_64").unwrap().architecture, "amd64");
        assert_eq!(Platform::parse("linux/arm/v7").unwrap().variant.as_deref(), Some("v7"));
        assert_eq!(Platform::parse("linux//v7"), None);
        assert_eq!(Platform::parse("a/b/c/d"), None);
    }

    #[test]
    fn a_healthcheck_reads_as_docker_writes_it() {
        let text =
            r#"{"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000},"OnBuild":null,"Cmd":["x"]}"#;
        let config: DockerConfig = serde_json::from_str(text).unwrap();
        let healthcheck = config.healthcheck.unwrap();
        assert_eq!((healthcheck.interval, healthcheck.retries), (5_000_000_000, 0));
    }
}
