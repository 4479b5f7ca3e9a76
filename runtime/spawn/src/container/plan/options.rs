//! Mount options of the OCI configuration, as mount(8) and runc know them.

use rustix::mount::MountPropagationFlags as Propagation;

use crate::container::Error;
use crate::container::step::Attributes;

const SUBDIR: &str = "X-mount.subdir=";

/// The words that are not a file system's, as `features` lists them.
pub(crate) const MOUNT_OPTIONS: [&str; 44] = [
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "idmap",
    "loud",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnodev",
    "rnoexec",
    "rnosuid",
    "ro",
    "rprivate",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rsuid",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "tmpcopyup",
    "unbindable",
];

/// A mount's options, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `bind` or `rbind`.
    pub(super) bind: bool,
    /// `rbind`.
    pub(super) recursive: bool,
    /// Of the mount itself.
    pub(super) attributes: Attributes,
    /// Of it and everything below it.
    pub(super) recursive_attributes: Attributes,
    pub(super) propagation: Option<Propagation>,
    /// A path below a bind mount's source that is mounted instead, as mount(8) knows it.
    pub(super) subdir: Option<String>,
    /// `idmap` or `ridmap`; whether it holds for what is below, too.
    pub(super) identity_map: Option<bool>,
    /// `tmpcopyup`: a tmpfs begins with what it covers.
    pub(super) copy_up: bool,
    /// What the file system itself understands, with values where there are.
    pub(super) data: Vec<(String, Option<String>)>,
}

/// The attribute that a word sets, or clears if the flag is false.
fn attribute(word: &str) -> Option<(u64, bool)> {
    Some(match word {
        "ro" => (libc::MOUNT_ATTR_RDONLY, true),
        "rw" => (libc::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (libc::MOUNT_ATTR_NOSUID, true),
        "suid" => (libc::MOUNT_ATTR_NOSUID, false),
        "nodev" => (libc::MOUNT_ATTR_NODEV, true),
        "dev" => (libc::MOUNT_ATTR_NODEV, false),
        "noexec" => (libc::MOUNT_ATTR_NOEXEC, true),
        "exec" => (libc::MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => (libc::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (libc::MOUNT_ATTR_NODIRATIME, false),
        "nosymfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, false),
        _ => return None,
    })
}

/// Access time modes are one field, not flags: setting one replaces the others.
fn access_time(word: &str) -> Option<u64> {
    Some(match word {
        "relatime" | "atime" | "nostrictatime" => libc::MOUNT_ATTR_RELATIME,
        "noatime" => libc::MOUNT_ATTR_NOATIME,
        "strictatime" | "norelatime" => libc::MOUNT_ATTR_STRICTATIME,
        _ => return None,
    })
}

pub(super) fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::PRIVATE,
        "rprivate" => Propagation::PRIVATE | Propagation::REC,
        "slave" => Propagation::DOWNSTREAM,
        "rslave" => Propagation::DOWNSTREAM | Propagation::REC,
        "shared" => Propagation::SHARED,
        "rshared" => Propagation::SHARED | Propagation::REC,
        "unbindable" => Propagation::UNBINDABLE,
        "runbindable" => Propagation::UNBINDABLE | Propagation::REC,
        _ => return None,
    })
}

impl Attributes {
    fn apply(&mut self, flag: u64, set: bool) {
        if set {
            self.set |= flag;
            self.clear &= !flag;
        } else {
            self.set &= !flag;
            self.clear |= flag;
        }
    }

    fn apply_access_time(&mut self, mode: u64) {
        self.set = self.set & !libc::MOUNT_ATTR__ATIME | mode;
        self.clear |= libc::MOUNT_ATTR__ATIME;
    }

    pub(in crate::container) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Options {
    /// Reads the options of the mount on `destination`.
    pub(super) fn parse(options: &[String], destination: &str) -> Result<Self, Error> {
        let mut parsed = Self::default();
        for word in options {
            // A recursive attribute is the attribute with an `r` before it: `rro`.
            let recursive = word.strip_prefix('r').filter(|_| !matches!(word.as_str(), "relatime"));
            if let Some((flag, set)) = attribute(word) {
                parsed.attributes.apply(flag, set);
            } else if let Some(mode) = access_time(word) {
                parsed.attributes.apply_access_time(mode);
            } else if let Some(flags) = propagation(word) {
                parsed.propagation = Some(flags);
            } else if let Some((flag, set)) = recursive.and_then(attribute) {
                parsed.recursive_attributes.apply(flag, set);
            } else if let Some(mode) = recursive.and_then(access_time) {
                parsed.recursive_attributes.apply_access_time(mode);
            } else {
                parsed.other(word, destination)?;
            }
        }
        Ok(parsed)
    }

    fn other(&mut self, word: &str, destination: &str) -> Result<(), Error> {
        match word {
            "" | "defaults" => {}
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "idmap" => self.identity_map = Some(false),
            "ridmap" => self.identity_map = Some(true),
            "tmpcopyup" => self.copy_up = true,
            // Messages on the console, which new mounts do not write.
            "silent" | "loud" => {}
            "remount" | "copy-symlink" => {
                return Err(Error::unsupported(format!("mount option {word:?} for {destination}")));
            }
            _ if word.starts_with(SUBDIR) => self.subdir = word.strip_prefix(SUBDIR).map(str::to_owned),
            _ => self.data.push(match word.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (word.to_owned(), None),
            }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Options::parse(&words, "/x").unwrap()
    }

    #[test]
    fn every_word_that_is_told_is_understood() {
        for word in MOUNT_OPTIONS {
            assert!(parse(&[word]).data.is_empty(), "{word}");
        }
    }

    #[test]
    fn a_later_word_wins_over_an_earlier_one() {
        assert_eq!(parse(&["ro", "rw"]).attributes, Attributes { set: 0, clear: libc::MOUNT_ATTR_RDONLY });
        assert_eq!(parse(&["rw", "ro"]).attributes, Attributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0 });
    }

    #[test]
    fn an_access_time_mode_replaces_another() {
        let attributes = parse(&["noatime", "strictatime"]).attributes;
        assert_eq!(
            attributes,
            Attributes { set: libc::MOUNT_ATTR_STRICTATIME, clear: libc::MOUNT_ATTR__ATIME }
        );
    }

    #[test]
    fn recursive_and_plain_attributes_are_told_apart() {
        let options = parse(&["rbind", "rro", "rprivate", "relatime"]);
        assert!(options.bind && options.recursive);
        assert_eq!(options.recursive_attributes.set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(options.attributes.set, 0);
        assert_eq!(options.propagation, Some(Propagation::PRIVATE | Propagation::REC));
        assert!(options.data.is_empty());
    }

    #[test]
    fn what_is_not_known_here_is_the_file_systems() {
        let data = parse(&["mode=755", "size=65536k", "newinstance"]).data;
        let pair = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
        let expected = [pair("mode", Some("755")), pair("size", Some("65536k")), pair("newinstance", None)];
        assert_eq!(data, expected);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let error = Options::parse(&["remount".to_owned()], "/x").unwrap_err();
        assert_eq!(error.to_string(), "config.json: mount option \"remount\" for /x is not supported");
    }
}
