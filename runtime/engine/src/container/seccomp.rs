//! Which seccomp filter a container has, compiled once for all containers that have the same.

use std::fs;
use std::path::PathBuf;

use beeline_spawn::container::defaults;
use beeline_spawn::seccomp::{compile, default_profile, docker_profile};
use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use sha2::{Digest as _, Sha256};

use crate::container::capabilities;
use crate::container::config::HostConfig;
use crate::container::prepare::{make_dir, write};
use crate::container::security::Security;
use crate::error::Error;
use crate::settings::SeccompProfile;

/// A container's filter.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) profile: LinuxSeccomp,
    /// The compiled program's file, unless the spawner has it in memory.
    pub(crate) program: Option<PathBuf>,
}

/// The daemon's filters, in a directory by the digests of their profiles.
#[derive(Debug, Clone)]
pub(crate) struct SeccompFilters {
    directory: PathBuf,
    default: SeccompProfile,
}

impl SeccompFilters {
    /// Begins with an empty directory: an earlier daemon may have compiled otherwise.
    pub(crate) fn open(directory: PathBuf, default: SeccompProfile) -> Result<Self, Error> {
        match fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { operation: "remove", path: directory, source });
            }
            _ => {}
        }
        make_dir(&directory, 0o700)?;
        Ok(Self { directory, default })
    }

    /// The filter of a container; none if it is unconfined.
    ///
    /// # Errors
    /// The profile cannot be used, or its program not be kept.
    pub(crate) fn of(&self, host: &HostConfig) -> Result<Option<Filter>, Error> {
        let Some(profile) = profile(host, &self.default)? else { return Ok(None) };
        let everyones = default_profile(&defaults::capabilities());
        let program = if profile == everyones { None } else { Some(self.keep(&profile)?) };
        Ok(Some(Filter { profile, program }))
    }

    /// The file with the profile's program, which is made if it is not there.
    fn keep(&self, profile: &LinuxSeccomp) -> Result<PathBuf, Error> {
        let what = || "a seccomp profile".to_owned();
        let text = serde_json::to_vec(profile).map_err(|source| Error::Decode { what: what(), source })?;
        let path = self.directory.join(hex::encode(Sha256::digest(&text)));
        if !path.exists() {
            let program = compile(profile).map_err(|error| Error::Invalid(error.to_string()))?;
            // Another start may be at it, too: each writes a file of its own, and the last one stays.
            let own = path.with_extension(format!("{:?}", std::thread::current().id()));
            write(&own, &program.to_bytes(), 0o600)?;
            fs::rename(&own, &path).map_err(|source| Error::File {
                operation: "rename",
                path: own,
                source,
            })?;
        }
        Ok(path)
    }
}

/// Refuses a profile that cannot be used, before anything is made for its container.
///
/// # Errors
/// [`Error::Invalid`], which names the rule.
pub(crate) fn check(host: &HostConfig) -> Result<(), Error> {
    match Security::of(&host.security_opt).seccomp {
        None | Some("" | "unconfined" | "builtin") => Ok(()),
        Some(json) => {
            let Some(profile) = custom(json, &capabilities::effective(host))? else { return Ok(()) };
            compile(&profile).map(drop).map_err(|error| Error::Invalid(error.to_string()))
        }
    }
}

/// The container's profile: its own, the daemon's, or Docker's default. Those that may do everything have none unless they
/// ask for one.
fn profile(host: &HostConfig, default: &SeccompProfile) -> Result<Option<LinuxSeccomp>, Error> {
    let capabilities = capabilities::effective(host);
    match (Security::of(&host.security_opt).seccomp, default) {
        (Some("unconfined"), _) => Ok(None),
        (Some("builtin"), _) => Ok(Some(default_profile(&capabilities))),
        (Some(json), _) if !json.is_empty() => custom(json, &capabilities),
        _ if host.privileged => Ok(None),
        (_, SeccompProfile::Unconfined) => Ok(None),
        (_, SeccompProfile::Custom { json, .. }) => custom(json, &capabilities),
        (_, SeccompProfile::Builtin) => Ok(Some(default_profile(&capabilities))),
    }
}

fn custom(json: &str, capabilities: &Capabilities) -> Result<Option<LinuxSeccomp>, Error> {
    docker_profile(json, capabilities).map_err(|error| Error::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSING: &str =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO"}]}"#;

    fn host(options: &[&str], privileged: bool) -> HostConfig {
        let security_opt = options.iter().map(|&option| option.to_owned()).collect();
        HostConfig { security_opt, privileged, ..HostConfig::default() }
    }

    fn rules(options: &[&str], privileged: bool, default: &SeccompProfile) -> Option<usize> {
        let profile = profile(&host(options, privileged), default).unwrap()?;
        Some(profile.syscalls().as_ref().map_or(0, Vec::len))
    }

    #[test]
    fn the_containers_word_wins_over_the_daemons() {
        let own = format!("seccomp={REFUSING}");
        let custom = SeccompProfile::Custom { path: "/p".into(), json: REFUSING.to_owned() };
        assert!(rules(&[], false, &SeccompProfile::Builtin) > Some(10));
        assert_eq!(rules(&[], false, &custom), Some(1));
        assert_eq!(rules(&[], true, &custom), None);
        assert_eq!(rules(&[], false, &SeccompProfile::Unconfined), None);
        assert_eq!(rules(&["seccomp=unconfined"], false, &custom), None);
        assert!(rules(&["seccomp=builtin"], false, &custom) > Some(10));
        assert_eq!(rules(&[&own], false, &SeccompProfile::Unconfined), Some(1));
        assert_eq!(rules(&[&own], true, &SeccompProfile::Builtin), Some(1));
    }

    #[test]
    fn a_profile_is_compiled_once_and_the_default_one_not_here() {
        let directory = tempfile::tempdir().unwrap();
        let filters =
            SeccompFilters::open(directory.path().join("seccomp"), SeccompProfile::Builtin).unwrap();
        let plain = filters.of(&host(&[], false)).unwrap().unwrap();
        assert_eq!(plain.program, None);
        let own = format!("seccomp={REFUSING}");
        let first = filters.of(&host(&[&own], false)).unwrap().unwrap().program.unwrap();
        let made = fs::metadata(&first).unwrap().modified().unwrap();
        assert_eq!(filters.of(&host(&[&own], true)).unwrap().unwrap().program.unwrap(), first);
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), made);
        assert_eq!(fs::read_dir(directory.path().join("seccomp")).unwrap().count(), 1);
        let program = beeline_spawn::seccomp::Program::from_bytes(&fs::read(&first).unwrap());
        assert!(program.is_some());
    }

    #[test]
    fn a_bad_profile_is_refused_with_its_rule() {
        let bad =
            r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"DENY"}]}"#;
        let error = check(&host(&[bad], false)).unwrap_err().to_string();
        assert!(error.contains("syscalls[0] (mount): unknown action \"DENY\""), "{error}");
        check(&host(&[&format!("seccomp={REFUSING}")], false)).unwrap();
    }
}
