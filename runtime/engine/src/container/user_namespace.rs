//! The user namespace of a container, where the daemon maps users and groups (`userns-remap`).

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use beeline_spawn::container::{Identities, UserNamespace};
use beeline_spawn::view;

use super::mode::NetworkMode;
use super::namespaces::{Owner, open, running};
use crate::container::config::HostConfig;
use crate::error::Error;
use crate::remap::Remap;
use crate::shared::Shared;

/// What the daemon does to a container's users and groups; none if they are the host's.
pub(crate) fn remap<'a>(shared: &'a Shared, host: &HostConfig) -> Option<&'a Remap> {
    shared.config.security.remap.as_ref().filter(|_| host.userns_mode != "host")
}

/// Refuses what a container with a user namespace of its own cannot have, in Docker's words.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check(remap: Option<&Remap>, host: &HostConfig) -> Result<(), Error> {
    if remap.is_none() {
        return Ok(());
    }
    let refused = [
        (
            host.privileged,
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when \
             running privileged mode",
        ),
        (
            host.network_mode == "host",
            "cannot share the host's network namespace when user namespaces are enabled",
        ),
        (host.pid() == Owner::Host, "cannot share the host PID namespace when user namespaces are enabled"),
        (
            host.ipc() == Owner::Host,
            "cannot share the host IPC namespace when user namespaces are enabled: run the container with --userns=host",
        ),
    ];
    match refused.iter().find(|(asked, _)| *asked) {
        Some((_, text)) => Err(Error::Invalid((*text).to_owned())),
        None => Ok(()),
    }
}

/// A user namespace, held until the shim has joined it.
#[derive(Debug)]
pub(super) struct Held {
    namespace: File,
    identities: Identities,
    /// A network namespace that is its, if it is new.
    net: Option<OwnedFd>,
}

/// The same for the shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// A path that leads to the namespace as long as it is held.
    pub(crate) namespace: PathBuf,
    pub(crate) identities: Identities,
}

impl Held {
    /// Makes the container's user namespace, or opens that of the container whose other namespaces it shares: nobody has
    /// privileges over them elsewhere.
    ///
    /// # Errors
    /// Those containers do not run, or have no common user namespace.
    pub(super) fn open(shared: &Shared, host: &HostConfig) -> Result<Option<Self>, Error> {
        let remap = remap(shared, host);
        check(remap, host)?;
        let Some(Remap { identities }) = remap else { return Ok(None) };
        let network = match host.mode() {
            NetworkMode::Container(reference) => Some(reference),
            _ => None,
        };
        let named = |owner| if let Owner::Container(reference) = owner { Some(reference) } else { None };
        let mut shares: Option<File> = None;
        for reference in [network, named(host.pid()), named(host.ipc())].into_iter().flatten() {
            let view = running(shared, reference)?;
            let apart = || {
                Error::Conflict(format!(
                    "cannot share namespaces of container {}, whose users are mapped otherwise: run this one with \
                     --userns=host, or both anew",
                    view.name
                ))
            };
            let theirs = view::identities(view.status.pid, view.id.as_str()).ok().flatten();
            if theirs.as_ref() != Some(identities) {
                return Err(apart());
            }
            let namespace = open(&view, "user")?;
            if shares.as_ref().is_some_and(|shared| inode(shared) != inode(&namespace)) {
                return Err(apart());
            }
            shares = Some(namespace);
        }
        let identities = identities.clone();
        if let Some(namespace) = shares {
            return Ok(Some(Self { namespace, identities, net: None }));
        }
        let failed = |error| Error::internal("make a user namespace", &error);
        let UserNamespace { user, net } = identities.namespaces().map_err(failed)?;
        Ok(Some(Self { namespace: user.into(), identities, net: Some(net) }))
    }

    /// The network namespace that came with it.
    pub(super) fn take_net(&mut self) -> Option<OwnedFd> {
        self.net.take()
    }

    pub(super) fn user(&self) -> User {
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd()).into();
        User { namespace, identities: self.identities.clone() }
    }
}

fn inode(file: &File) -> Option<u64> {
    file.metadata().ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(|host: &mut HostConfig| host.privileged = true, "privileged mode is incompatible")]
    #[case(|host: &mut HostConfig| host.network_mode = "host".into(), "the host's network namespace")]
    #[case(|host: &mut HostConfig| host.pid_mode = "host".into(), "the host PID namespace")]
    #[case(|host: &mut HostConfig| host.ipc_mode = "host".into(), "the host IPC namespace")]
    fn what_is_the_hosts_is_refused_where_users_are_mapped(
        #[case] change: fn(&mut HostConfig),
        #[case] part: &str,
    ) {
        let remap = Remap { identities: Identities::default() };
        let mut host = HostConfig::default();
        check(Some(&remap), &host).unwrap();
        change(&mut host);
        check(None, &host).unwrap();
        let error = check(Some(&remap), &host).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
