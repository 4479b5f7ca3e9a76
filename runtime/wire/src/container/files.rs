//! A container's files.

use serde::{Deserialize, Serialize};

/// What the header `X-Docker-Container-Path-Stat` says of a file, in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathStat {
    pub name: String,
    pub size: i64,
    /// Type and permissions as Go's `os.FileMode` has them.
    pub mode: u32,
    pub mtime: String,
    /// Where a symbolic link leads to.
    pub link_target: String,
}

impl PathStat {
    /// Go's bit of a directory.
    pub const DIRECTORY: u32 = 1 << 31;
    /// Go's bit of a symbolic link.
    pub const SYMLINK: u32 = 1 << 27;
}

/// One element of `GET /containers/{name}/changes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Change {
    pub path: String,
    /// 0 for modified, 1 for added, 2 for deleted.
    pub kind: u8,
}

/// `POST /commit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitResponse {
    #[serde(rename = "Id")]
    pub id: String,
}
