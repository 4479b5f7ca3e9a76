//! A seccomp filter that asks about calls: the profile's supervisor gets a descriptor for each process behind it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxSeccomp, Spec};
use rustix::process::Pid;
use serde_json::json;

use super::request::ShimRequest;
use crate::container::{Attendant, Error};
use crate::oci::{self, listener};
use crate::seccomp;

/// What the supervisor is told, beside the process.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    profile: LinuxSeccomp,
    id: String,
    bundle: PathBuf,
    annotations: HashMap<String, String>,
}

impl Asking {
    /// That of a configuration whose filter asks.
    pub(super) fn of(request: &ShimRequest, spec: &Spec) -> Option<Self> {
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
        Some(Self {
            profile: profile.filter(seccomp::asks)?,
            id: request.id.clone(),
            bundle: request.bundle.clone(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        })
    }
}

impl Attendant for Option<Asking> {
    fn filter_listens(&mut self, pid: Pid, fd: OwnedFd) -> Result<(), Error> {
        let Some(asking) = self else { return Ok(()) };
        let state = json!({
            "ociVersion": oci::VERSION,
            "id": asking.id,
            "status": "creating",
            "pid": pid.as_raw_nonzero().get(),
            "bundle": asking.bundle,
            "annotations": asking.annotations,
        });
        listener::send(&asking.profile, &fd, pid, &state).map_err(Error::caller)
    }
}
