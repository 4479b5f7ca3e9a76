//! Bind mounts and temporary file systems a user asks for.

use std::path::{Component, Path, PathBuf};

use crate::container::config::{ContainerConfig, MountRequest};
use crate::container::view::MountView;
use crate::error::Error;

/// A mount, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserMount {
    pub(crate) destination: PathBuf,
    pub(crate) kind: MountKind,
    pub(crate) writable: bool,
    /// As the user gave them, for listings.
    pub(crate) mode: String,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A path of the host.
    Bind {
        source: PathBuf,
        /// `rprivate`, `rslave`, `rshared` or without `r`.
        propagation: String,
        /// Mounts below the source come along.
        recursive: bool,
        /// A missing source is made, as a directory.
        create: bool,
    },
    /// A temporary file system with these options.
    Tmpfs(Vec<String>),
}

/// All mounts `config` asks for, ordered so that one below another comes after it.
///
/// # Errors
/// One is malformed, or a destination is named twice.
pub(crate) fn parse(config: &ContainerConfig) -> Result<Vec<UserMount>, Error> {
    let host = &config.host;
    let mut mounts = Vec::new();
    for bind in &host.binds {
        mounts.push(parse_bind(bind)?);
    }
    for mount in &host.mounts {
        mounts.push(parse_mount(mount)?);
    }
    for (path, options) in &host.tmpfs {
        let destination = destination(path, path)?;
        let mut all: Vec<String> = ["noexec", "nosuid", "nodev"].map(Into::into).into();
        all.extend(options.split(',').filter(|option| !option.is_empty()).map(Into::into));
        let writable = !all.iter().any(|option| option == "ro");
        mounts.push(UserMount { destination, kind: MountKind::Tmpfs(all), writable, mode: options.clone() });
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    if let Some(pair) = mounts.windows(2).find(|pair| pair[0].destination == pair[1].destination) {
        return Err(Error::Invalid(format!("Duplicate mount point: {}", pair[0].destination.display())));
    }
    Ok(mounts)
}

/// Mounts as `inspect` shows them.
pub(crate) fn views(config: &ContainerConfig) -> Vec<MountView> {
    // A configuration that was accepted has readable mounts.
    let mounts = parse(config).unwrap_or_default();
    let view = |mount: UserMount| {
        let (kind, source, propagation) = match mount.kind {
            MountKind::Bind { source, propagation, .. } => {
                ("bind", source.display().to_string(), propagation)
            }
            MountKind::Tmpfs(_) => ("tmpfs", String::new(), String::new()),
        };
        MountView {
            kind: kind.into(),
            name: String::new(),
            source,
            destination: mount.destination.display().to_string(),
            mode: mount.mode,
            writable: mount.writable,
            propagation,
        }
    };
    // Docker does not list what --tmpfs mounts.
    let listed =
        |mount: &UserMount| !config.host.tmpfs.keys().any(|path| Path::new(path) == mount.destination);
    mounts.into_iter().filter(listed).map(view).collect()
}

/// Reads `source:destination[:options]`.
fn parse_bind(text: &str) -> Result<UserMount, Error> {
    let invalid = || Error::Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(invalid()),
    };
    if source.is_empty() || target.is_empty() {
        return Err(invalid());
    }
    if !source.starts_with('/') {
        return Err(Error::NotImplemented(format!(
            "the volume {source:?} cannot be mounted: Beeline has no named volumes, give an absolute path of the host"
        )));
    }
    let destination = destination(target, text)?;
    let mut mount = UserMount {
        destination,
        kind: MountKind::Bind {
            source: absolute(source).ok_or_else(invalid)?,
            propagation: "rprivate".into(),
            recursive: true,
            create: true,
        },
        writable: true,
        mode: mode.into(),
    };
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        let MountKind::Bind { propagation, .. } = &mut mount.kind else { continue };
        match option {
            "ro" => mount.writable = false,
            // SELinux labels and copying from the image mean nothing for a host path here.
            "rw" | "z" | "Z" | "nocopy" => {}
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {
                *propagation = option.into();
            }
            _ => return Err(Error::Invalid(format!("invalid mode: {option}"))),
        }
    }
    Ok(mount)
}

fn parse_mount(mount: &MountRequest) -> Result<UserMount, Error> {
    let invalid = |reason: String| {
        Error::Invalid(format!("invalid mount config for type \"{}\": {reason}", mount.kind))
    };
    if mount.target.is_empty() {
        return Err(invalid("field Target must not be empty".into()));
    }
    let destination = destination(&mount.target, &mount.target)?;
    let kind = match mount.kind.as_str() {
        "bind" => {
            let source = absolute(&mount.source).ok_or_else(|| {
                invalid(format!("invalid mount path: '{}' mount path must be absolute", mount.source))
            })?;
            if !mount.create_mountpoint && !source.exists() {
                return Err(invalid(format!("bind source path does not exist: {}", source.display())));
            }
            let given = mount.propagation.as_str();
            let propagation = match given {
                "" => "rprivate",
                "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => given,
                _ => return Err(invalid(format!("invalid propagation: {given}"))),
            };
            let propagation = propagation.to_owned();
            MountKind::Bind { source, propagation, recursive: true, create: mount.create_mountpoint }
        }
        "tmpfs" => {
            let mut options: Vec<String> = ["noexec", "nosuid", "nodev"].map(Into::into).into();
            if mount.tmpfs_size > 0 {
                options.push(format!("size={}", mount.tmpfs_size));
            }
            if mount.tmpfs_mode > 0 {
                options.push(format!("mode={:o}", mount.tmpfs_mode));
            }
            MountKind::Tmpfs(options)
        }
        other => {
            return Err(Error::NotImplemented(format!(
                "mounts of type {other:?} are not supported: use \"bind\" or \"tmpfs\""
            )));
        }
    };
    Ok(UserMount { destination, kind, writable: !mount.read_only, mode: String::new() })
}

/// A path inside, absolute and free of `.` and `..`.
fn destination(text: &str, specification: &str) -> Result<PathBuf, Error> {
    let path = absolute(text).ok_or_else(|| {
        Error::Invalid(format!("invalid volume specification: '{specification}': invalid mount path: '{text}' mount path must be absolute"))
    })?;
    if path == Path::new("/") {
        return Err(Error::Invalid(format!(
            "invalid volume specification: '{specification}': invalid specification: destination can't be '/'"
        )));
    }
    Ok(path)
}

/// Resolves `.` and `..` by text alone, as Docker does; `None` if the path is not absolute.
fn absolute(text: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::from("/");
    for component in Path::new(text).has_root().then(|| Path::new(text))?.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn binds(binds: &[&str]) -> Result<Vec<UserMount>, Error> {
        let mut config = ContainerConfig::default();
        config.host.binds = binds.iter().map(|&bind| bind.into()).collect();
        parse(&config)
    }

    #[test]
    fn a_bind_mount_is_read() {
        let mounts = binds(&["/srv/./a/../b:/data:ro,rslave"]).unwrap();
        let kind = MountKind::Bind {
            source: "/srv/b".into(),
            propagation: "rslave".into(),
            recursive: true,
            create: true,
        };
        let mode = "ro,rslave".into();
        assert_eq!(mounts, [UserMount { destination: "/data".into(), kind, writable: false, mode }]);
    }

    #[test]
    fn a_mount_below_another_comes_after_it() {
        let order: Vec<_> = binds(&["/x:/a/b/c", "/x:/a", "/x:/a/b"]).unwrap();
        let order: Vec<_> = order.iter().map(|mount| mount.destination.to_str().unwrap()).collect();
        assert_eq!(order, ["/a", "/a/b", "/a/b/c"]);
    }

    #[rstest]
    #[case("/a", "invalid volume specification: '/a'")]
    #[case("/a:/b:ro:x", "invalid volume specification")]
    #[case(":/b", "invalid volume specification")]
    #[case("/a:b", "mount path must be absolute")]
    #[case("/a:/", "destination can't be '/'")]
    #[case("/a:/x/..", "destination can't be '/'")]
    #[case("/a:/b:sideways", "invalid mode: sideways")]
    #[case("data:/b", "no named volumes")]
    fn a_bad_bind_mount_is_refused(#[case] bind: &str, #[case] text: &str) {
        let error = binds(&[bind]).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }

    #[test]
    fn one_destination_is_mounted_once() {
        let error = binds(&["/a:/x", "/b:/x/"]).unwrap_err().to_string();
        assert_eq!(error, "Duplicate mount point: /x");
    }
}
