//! `userns-remap`: which of the host's users and groups those of containers are.
//!
//! The binary is static, so no NSS is asked: what counts is in the files.

use std::fs;
use std::path::Path;

use beeline_spawn::container::Identities;
use beeline_spawn::view::{self, Overlay};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

use crate::error::Error;

/// The user that Docker calls the default one.
const DEFAULT: &str = "dockremap";

/// Whose subordinate users and groups those of containers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    pub(crate) identities: Identities,
}

/// A user or group of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    name: String,
    id: u32,
}

/// The files that the setting is looked up in.
struct Files {
    passwd: String,
    group: String,
    subuid: String,
    subgid: String,
}

impl Remap {
    /// Reads the setting: `default`, or `user[:group]` by name or number, whose subordinate identities are in /etc/subuid
    /// and /etc/subgid.
    ///
    /// # Errors
    /// There is no such user or group, or it has no subordinate identities.
    pub fn of_host(setting: &str) -> Result<Self, Error> {
        let read = |path: &str| {
            fs::read_to_string(path).map_err(|source| Error::File {
                operation: "read",
                path: Path::new(path).to_owned(),
                source,
            })
        };
        let files = Files {
            passwd: read("/etc/passwd")?,
            group: read("/etc/group")?,
            subuid: fs::read_to_string("/etc/subuid").unwrap_or_default(),
            subgid: fs::read_to_string("/etc/subgid").unwrap_or_default(),
        };
        files.remap(setting).map_err(Error::Invalid)
    }

    /// Makes sure that the kernel can do it with files in `directory`: a container would find out too late.
    ///
    /// # Errors
    /// It cannot; the error says what to do.
    pub(crate) fn probe(&self, directory: &Path) -> Result<(), Error> {
        let failed = |source| Error::File {
            operation: "make a directory to try idmapped mounts in",
            path: directory.to_owned(),
            source,
        };
        let scratch = directory.join("userns-remap");
        let parts = ["lower", "upper", "work"].map(|part| scratch.join(part));
        for part in &parts {
            fs::create_dir_all(part).map_err(failed)?;
        }
        let [lower, upper, work] = parts;
        let overlay = Overlay { lower: vec![lower], upper: Some((upper, work)), read_only: false };
        let mounted = view::mapped(&overlay, &self.identities).map(drop);
        fs::remove_dir_all(&scratch).map_err(failed)?;
        mounted.map_err(|error| {
            Error::Unavailable(format!(
                "userns-remap needs a kernel whose overlays take idmapped layers, and a file system with idmapped mounts below \
                 {} (Linux 5.19 or newer with ext4, xfs or btrfs): {}; leave userns-remap out, or use another --root",
                directory.display(),
                crate::error::chain(&error)
            ))
        })
    }
}

impl Files {
    fn remap(&self, setting: &str) -> Result<Remap, String> {
        let (wanted, group) = match setting.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (setting, None),
        };
        let default = wanted == "default" && group.is_none();
        let wanted = if default { DEFAULT } else { wanted };
        let user = account(&self.passwd, wanted).ok_or_else(|| {
            if default {
                format!(
                    "the default user {DEFAULT} does not exist: make it with `useradd --system {DEFAULT}` and `usermod \
                     --add-subuids 100000-165535 --add-subgids 100000-165535 {DEFAULT}`, or name another"
                )
            } else {
                format!("there is no user {wanted:?} in /etc/passwd")
            }
        })?;
        let group = match group {
            Some(group) => account(&self.group, group)
                .ok_or_else(|| format!("there is no group {group:?} in /etc/group"))?,
            None => user.clone(),
        };
        if user.id == 0 || group.id == 0 {
            return Err("root cannot be mapped to itself: name another user".to_owned());
        }
        let users = ranges(&self.subuid, &user)?;
        let groups = ranges(&self.subgid, &group)?;
        let lacks = |file: &str, flag: &str, account: &Account| {
            let name = &account.name;
            format!(
                "{file} has no identities of {name:?}: give it some, as with `usermod --add-{flag} 100000-165535 {name}`"
            )
        };
        if users.is_empty() {
            return Err(lacks("/etc/subuid", "subuids", &user));
        }
        if groups.is_empty() {
            return Err(lacks("/etc/subgid", "subgids", &group));
        }
        Ok(Remap { identities: Identities { users, groups } })
    }
}

/// A user or group by name or number, from lines `name:password:number…`.
fn account(file: &str, wanted: &str) -> Option<Account> {
    let mut accounts = file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some(Account { name: fields.next()?.to_owned(), id: fields.nth(1)?.parse().ok()? })
    });
    let number = wanted.parse().ok();
    accounts.find(|account| account.name == wanted || Some(account.id) == number)
}

/// The ranges of lines `account:first:size`, one after another from the container's root on.
fn ranges(file: &str, account: &Account) -> Result<Vec<LinuxIdMapping>, String> {
    let own = |line: &&str| {
        let owner = line.split(':').next().unwrap_or_default();
        owner == account.name || owner.parse() == Ok(account.id)
    };
    let mut parts = Vec::new();
    for line in file.lines().filter(own) {
        let mut numbers = line.split(':').skip(1).map(|field| field.trim().parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(first), Some(size)) if size > 0 && first.checked_add(size).is_some() => {
                parts.push((first, size));
            }
            _ => return Err(format!("the range {line:?} is none: it has to be NAME:FIRST:SIZE")),
        }
    }
    parts.sort_unstable();
    let mut inside = 0_u32;
    let mut mapped = Vec::new();
    for (first, size) in parts {
        let range = LinuxIdMappingBuilder::default().container_id(inside).host_id(first).size(size);
        mapped.push(range.build().map_err(|error| error.to_string())?);
        inside = inside.checked_add(size).ok_or("the ranges are more than there are identities")?;
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn files() -> Files {
        Files {
            passwd:
                "root:x:0:0::/:\nbroken\nann:x:1001:1001::/:\ndockremap:x:990:990::/:\nbob:x:1002:1002::/:\n"
                    .into(),
            group: "root:x:0:\nteam:x:2000:\n".into(),
            subuid: "ann:300000:10\n990:100000:65536\nann:200000:5\n1002:x\n".into(),
            subgid: "ann:200000:65536\ndockremap:100000:65536\nteam:400000:1000\n1002:500000:1\n".into(),
        }
    }

    fn shown(setting: &str) -> Result<String, String> {
        let text = |ranges: &[LinuxIdMapping]| {
            let one = |range: &LinuxIdMapping| {
                format!("{}:{}:{}", range.container_id(), range.host_id(), range.size())
            };
            ranges.iter().map(one).collect::<Vec<_>>().join(",")
        };
        let Remap { identities } = files().remap(setting)?;
        Ok(format!("{} {}", text(&identities.users), text(&identities.groups)))
    }

    #[rstest]
    #[case("default", "0:100000:65536 0:100000:65536")]
    #[case("dockremap", "0:100000:65536 0:100000:65536")]
    #[case("990", "0:100000:65536 0:100000:65536")]
    #[case("ann", "0:200000:5,5:300000:10 0:200000:65536")]
    #[case("ann:team", "0:200000:5,5:300000:10 0:400000:1000")]
    #[case("1001:2000", "0:200000:5,5:300000:10 0:400000:1000")]
    fn users_and_groups_are_found_by_name_and_number(#[case] setting: &str, #[case] maps: &str) {
        assert_eq!(shown(setting).as_deref(), Ok(maps));
    }

    #[rstest]
    #[case("eve", "there is no user \"eve\"")]
    #[case("ann:crew", "there is no group \"crew\"")]
    #[case("root", "root cannot be mapped")]
    #[case("ann:root", "root cannot be mapped")]
    #[case("bob", "the range \"1002:x\" is none")]
    #[case("", "there is no user \"\"")]
    fn what_is_missing_is_named(#[case] setting: &str, #[case] part: &str) {
        let error = shown(setting).unwrap_err();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn a_user_without_identities_is_told_how_to_get_some() {
        let mut files = files();
        files.subgid.clear();
        let error = files.remap("ann").unwrap_err();
        assert!(
            error.contains("/etc/subgid has no identities") && error.contains("--add-subgids"),
            "{error}"
        );
        files.passwd.clear();
        assert!(files.remap("default").unwrap_err().contains("useradd --system dockremap"));
    }
}
