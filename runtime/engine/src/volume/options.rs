//! The local driver's options: what is mounted on a volume, and how.

use std::collections::BTreeMap;

use nix::mount::MsFlags;

use crate::error::Error;

/// A file system that a volume consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounting {
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) flags: MsFlags,
    /// What the file system itself understands.
    pub(crate) data: String,
}

/// Reads a volume's options; none if it is a directory of ours.
///
/// # Errors
/// An option is unknown, or one is missing that another one needs.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<Option<Mounting>, Error> {
    const REQUIRED: [(&str, &[&str]); 3] =
        [("device", &["type"]), ("o", &["device", "type"]), ("type", &["device"])];
    if let Some(key) = options.keys().find(|key| !matches!(key.as_str(), "type" | "o" | "device" | "size")) {
        return Err(Error::Invalid(format!("invalid option: \"{key}\"")));
    }
    if options.contains_key("size") {
        return Err(Error::NotImplemented(
            "the volume option \"size\" is not supported: quotas on directories need a file system with project quotas; \
             use type=tmpfs and o=size=... for a volume in memory"
                .into(),
        ));
    }
    for (key, others) in REQUIRED.into_iter().filter(|(key, _)| options.contains_key(*key)) {
        if let Some(missing) = others.iter().find(|other| !options.contains_key(**other)) {
            return Err(Error::Invalid(format!("missing required option: \"{missing}\" (for \"{key}\")")));
        }
    }
    let (Some(kind), Some(device)) = (options.get("type"), options.get("device")) else { return Ok(None) };
    let (flags, data) = parse(options.get("o").map_or("", String::as_str));
    Ok(Some(Mounting { kind: kind.clone(), device: device.clone(), flags, data }))
}

/// Tells the kernel's flags from what is the file system's.
fn parse(text: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match flag(word) {
            Some((flag, set)) => flags.set(flag, set),
            None if word == "defaults" => {}
            None => data.push(word),
        }
    }
    (flags, data.join(","))
}

fn flag(word: &str) -> Option<(MsFlags, bool)> {
    Some(match word {
        "bind" => (MsFlags::MS_BIND, true),
        "rbind" => (MsFlags::MS_BIND.union(MsFlags::MS_REC), true),
        "ro" => (MsFlags::MS_RDONLY, true),
        "rw" => (MsFlags::MS_RDONLY, false),
        "nosuid" => (MsFlags::MS_NOSUID, true),
        "suid" => (MsFlags::MS_NOSUID, false),
        "nodev" => (MsFlags::MS_NODEV, true),
        "dev" => (MsFlags::MS_NODEV, false),
        "noexec" => (MsFlags::MS_NOEXEC, true),
        "exec" => (MsFlags::MS_NOEXEC, false),
        "sync" => (MsFlags::MS_SYNCHRONOUS, true),
        "async" => (MsFlags::MS_SYNCHRONOUS, false),
        "dirsync" => (MsFlags::MS_DIRSYNC, true),
        "noatime" => (MsFlags::MS_NOATIME, true),
        "atime" => (MsFlags::MS_NOATIME, false),
        "nodiratime" => (MsFlags::MS_NODIRATIME, true),
        "relatime" => (MsFlags::MS_RELATIME, true),
        "strictatime" => (MsFlags::MS_STRICTATIME, true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Option<Mounting>, Error> {
        check(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn without_options_it_is_a_directory() {
        assert_eq!(options(&[]).unwrap(), None);
    }

    #[test]
    fn flags_are_told_from_the_file_systems_data() {
        let mounting =
            options(&[("type", "nfs"), ("device", ":/srv"), ("o", "addr=10.0.0.1,ro,nosuid,vers=4")]);
        let mounting = mounting.unwrap().unwrap();
        assert_eq!(mounting.flags, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID);
        assert_eq!(mounting.data, "addr=10.0.0.1,vers=4");
        assert_eq!((mounting.kind.as_str(), mounting.device.as_str()), ("nfs", ":/srv"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pairs, text) in [
            (&[("colour", "red")][..], "invalid option: \"colour\""),
            (&[("type", "tmpfs")], "missing required option: \"device\""),
            (&[("o", "bind"), ("device", "/x")], "missing required option: \"type\""),
            (&[("size", "1g")], "\"size\" is not supported"),
        ] {
            let error = options(pairs).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
