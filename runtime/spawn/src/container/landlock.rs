//! Landlock: rules of a container's own for files and TCP ports, below all that confines it otherwise.
//!
//! OCI has no words for them, so they are ours: `read=/usr`, `connect=443`, separated by commas. As soon as a path is named,
//! nothing can be done with files that no rule allows; the same holds for connecting, and for binding, to ports.

use std::collections::HashMap;
use std::ffi::CString;

use oci_spec::runtime::Spec;

use super::step::{Op, Step};
use super::{Error, syscall};

/// The annotation with the rules.
pub const LANDLOCK: &str = "beeline.landlock";

// `LANDLOCK_ACCESS_FS_*`.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIRECTORY: u64 = 1 << 3;
const MAKE_CHARACTER_DEVICE: u64 = 1 << 6;
const MAKE_BLOCK_DEVICE: u64 = 1 << 11;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEVICE: u64 = 1 << 15;

// `LANDLOCK_ACCESS_NET_*`.
const BIND: u64 = 1;
const CONNECT: u64 = 1 << 1;

/// What can be allowed of a file that is no directory.
pub(super) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE;

/// All that the kernel asks rules for, by the version of its interface.
const FILES: [u64; 5] = [(1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1];

/// The first version that knows ports.
const PORTS_SINCE: u32 = 4;

/// A container's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LandlockRules {
    /// A path, and what may be done with it and what is below it.
    paths: Vec<(String, u64)>,
    /// A port, and what may be done with it.
    ports: Vec<(u16, u64)>,
    /// What is refused with all ports that are not named.
    ports_handled: u64,
}

/// The same for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(super) paths: Vec<(CString, u64)>,
    pub(super) ports: Vec<(u16, u64)>,
    /// What needs a rule to be allowed.
    pub(super) handled_files: u64,
    pub(super) handled_ports: u64,
}

impl LandlockRules {
    /// Reads rules, separated by commas.
    ///
    /// # Errors
    /// One has no meaning; the text names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for word in text.split(',') {
            let wrong = |reason: &str| {
                format!(
                    "landlock rule {word:?}: {reason}; rules are read=PATH, exec=PATH, write=PATH, all=PATH, connect=PORT and \
                     bind=PORT, or connect=none and bind=none"
                )
            };
            let (what, object) = word.split_once('=').ok_or_else(|| wrong("it has no ="))?;
            if let Some(access) = files(what) {
                if !object.starts_with('/') || object.contains('\0') {
                    return Err(wrong("the path is not absolute"));
                }
                rules.paths.push((object.to_owned(), access));
                continue;
            }
            let access = match what {
                "bind" => BIND,
                "connect" => CONNECT,
                _ => return Err(wrong("there is no such rule")),
            };
            rules.ports_handled |= access;
            match object.parse() {
                Ok(port) => rules.ports.push((port, access)),
                Err(_) if object == "none" => {}
                Err(_) => return Err(wrong("it names no port")),
            }
        }
        Ok(rules)
    }

    /// Whether this kernel can hold a container to them.
    ///
    /// # Errors
    /// It cannot; the text says what it lacks.
    pub fn check(&self) -> Result<(), String> {
        self.ruleset(syscall::landlock_version()).map(drop)
    }

    fn ruleset(&self, version: Option<u32>) -> Result<Ruleset, String> {
        let Some(version) = version else {
            return Err(
                "this kernel has no Landlock: it was built without, or `lsm=` at its start leaves it out"
                    .into(),
            );
        };
        if self.ports_handled != 0 && version < PORTS_SINCE {
            return Err(format!(
                "this kernel's Landlock knows no ports (version {version} of its interface; {PORTS_SINCE} does, with Linux 6.7)"
            ));
        }
        let known = FILES.get(version as usize - 1).or(FILES.last()).copied().unwrap_or_default();
        let path = |(path, access): &(String, u64)| {
            let path = CString::new(path.as_str()).map_err(|_| "a path has a zero byte".to_owned())?;
            Ok::<_, String>((path, access & known))
        };
        Ok(Ruleset {
            paths: self.paths.iter().map(path).collect::<Result<_, _>>()?,
            ports: self.ports.clone(),
            handled_files: if self.paths.is_empty() { 0 } else { known },
            handled_ports: self.ports_handled,
        })
    }
}

/// What a word allows.
fn files(word: &str) -> Option<u64> {
    let every = u64::from(u16::MAX);
    let read = READ_FILE | READ_DIRECTORY;
    Some(match word {
        "read" => read,
        "exec" => read | EXECUTE,
        "write" => every & !(EXECUTE | MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE),
        "all" => every,
        _ => return None,
    })
}

/// The rules that a configuration's annotations have.
pub(super) fn of(annotations: Option<&HashMap<String, String>>) -> Result<Option<Ruleset>, Error> {
    let Some(text) = annotations.and_then(|annotations| annotations.get(LANDLOCK)) else { return Ok(None) };
    let rules = LandlockRules::parse(text).map_err(Error::config)?;
    rules.ruleset(syscall::landlock_version()).map(Some).map_err(Error::config)
}

/// The same of a whole configuration.
pub(crate) fn ruleset(spec: &Spec) -> Result<Option<Ruleset>, Error> {
    of(spec.annotations().as_ref())
}

pub(super) fn step(ruleset: Ruleset) -> Step {
    Step::new("apply the Landlock rules", Op::Landlock(ruleset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_handled_and_nothing_else() {
        let rules = LandlockRules::parse("exec=/usr,write=/tmp,connect=443").unwrap();
        let set = rules.ruleset(Some(7)).unwrap();
        assert_eq!(set.handled_files, 0xffff);
        assert_eq!(set.handled_ports, CONNECT);
        assert_eq!(set.paths[0], (c"/usr".to_owned(), EXECUTE | READ_FILE | READ_DIRECTORY));
        assert_eq!(set.paths[1].1 & (EXECUTE | MAKE_BLOCK_DEVICE | MAKE_CHARACTER_DEVICE), 0);
        assert_eq!(set.ports, [(443, CONNECT)]);
        let ports = LandlockRules::parse("bind=none").unwrap().ruleset(Some(4)).unwrap();
        assert_eq!((ports.handled_files, ports.handled_ports, ports.ports.len()), (0, BIND, 0));
    }

    #[test]
    fn an_older_kernel_is_not_asked_for_what_it_does_not_know() {
        let rules = LandlockRules::parse("all=/").unwrap();
        let first = rules.ruleset(Some(1)).unwrap();
        assert_eq!((first.handled_files, first.paths[0].1), ((1 << 13) - 1, (1 << 13) - 1));
        assert!(rules.ruleset(None).unwrap_err().contains("no Landlock"));
        let ports = LandlockRules::parse("bind=80").unwrap();
        assert!(ports.ruleset(Some(3)).unwrap_err().contains("knows no ports"));
    }

    #[test]
    fn a_rule_without_meaning_is_named() {
        for (text, part) in [
            ("", "it has no ="),
            ("read=usr", "\"read=usr\": the path is not absolute"),
            ("read=/usr,see=/tmp", "\"see=/tmp\": there is no such rule"),
            ("bind=70000", "\"bind=70000\": it names no port"),
        ] {
            let error = LandlockRules::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
