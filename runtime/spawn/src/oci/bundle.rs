//! A bundle: a directory with a configuration and, usually, a root.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};

use super::Error;

/// A configuration, read.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) path: PathBuf,
    /// As it is in the file.
    pub(super) text: Vec<u8>,
    pub(super) spec: Spec,
    pub(super) rootfs: PathBuf,
}

impl Bundle {
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let path = fs::canonicalize(path).map_err(|error| Error::io("find the bundle", path, error))?;
        let file = path.join("config.json");
        let text = fs::read(&file).map_err(|error| Error::io("read", &file, error))?;
        let mut spec: Spec =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: file, source })?;
        check_version(spec.version())?;
        if let Some(process) = spec.process_mut() {
            // Names of users are for Windows; the numbers hold.
            process.user_mut().set_username(None);
            pass_listeners_on(process);
        }
        let root = spec.root().as_ref().map(|root| root.path().clone());
        let root = root.ok_or_else(|| Error::Request("config.json: root is missing".to_owned()))?;
        let rootfs = path.join(root);
        let rootfs = fs::canonicalize(&rootfs).map_err(|error| Error::io("find the root", &rootfs, error))?;
        Ok(Self { path, text, spec, rootfs })
    }

    /// The path of the container's group.
    pub(super) fn cgroup(&self, id: &str) -> Result<String, Error> {
        let linux = self.spec.linux().as_ref();
        let path = linux.and_then(|linux| linux.cgroups_path().as_ref()).map(|path| path.to_string_lossy());
        match path.as_deref() {
            None | Some("") => Ok(format!("/beeline-oci-{id}")),
            Some(path) if path.starts_with('/') => Ok(plain(path)),
            Some(path) if path.split(':').count() == 3 => Err(Error::Request(format!(
                "linux.cgroupsPath {path:?} is for systemd's driver: have the engine use the cgroupfs driver"
            ))),
            // Relative to what the runtime chooses: the hierarchies' roots.
            Some(path) => Ok(plain(path)),
        }
    }
}

/// Tells the command of the sockets that a service manager has opened for it, which it inherits.
fn pass_listeners_on(process: &mut Process) {
    let Ok(count) = std::env::var("LISTEN_FDS") else { return };
    let mut env = process.env().clone().unwrap_or_default();
    env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
    process.set_env(Some(env));
}

/// Without empty components at any place.
fn plain(path: &str) -> String {
    path.split('/').filter(|name| !name.is_empty()).fold(String::new(), |path, name| path + "/" + name)
}

/// Minor versions only add; another major one could mean anything.
fn check_version(version: &str) -> Result<(), Error> {
    if version.split('.').next() == Some("1") {
        return Ok(());
    }
    Err(Error::Request(format!(
        "config.json: ociVersion {version:?} is not supported: this runtime knows 1.0 to 1.2"
    )))
}
