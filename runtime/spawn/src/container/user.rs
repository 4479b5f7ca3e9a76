//! Who a container's user is: Docker's user string against the container's own /etc/passwd and /etc/group.
//!
//! The files are read by the parent, when the root is mounted and before init has done anything with it, through the
//! root's descriptor: no path of theirs can lead out of it, and nothing of a file's content runs through the child.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use oci_spec::runtime::Process;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

/// The most supplementary groups a container's user may have.
pub(super) const MAX_GROUPS: usize = 1024;
/// The longest `HOME=` entry, with its end.
pub(super) const MAX_HOME: usize = 4096;

/// The annotation with more groups of the user, by name or number, separated by commas. OCI's own field has numbers only,
/// and what a name means is known when the root is mounted.
pub const GROUPS: &str = "beeline.additional-groups";

/// More than any sensible file, and little enough to read.
const MAX_FILE: u64 = 4 << 20;

/// Why the container's user cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such name in the container.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// No such group in the container.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
    /// More than the kernel's interface to init takes.
    #[error("user {0:?} is in more than {MAX_GROUPS} groups")]
    Groups(String),
    /// A file of the container cannot be read.
    #[error("read {file} of the container's root")]
    File {
        /// Its path in the container.
        file: &'static str,
        /// The system call's error.
        source: io::Error,
    },
}

/// A user, as the kernel knows it, and the home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: Vec<u8>,
}

/// What the configuration says about the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Docker's user string: `user`, `uid`, `user:group`, `uid:gid` or a mixture; it wins over the numbers.
    name: Option<String>,
    uid: u32,
    gid: u32,
    additional: Vec<u32>,
    /// By name or number.
    more: Vec<String>,
}

impl Wanted {
    /// `more` are groups by name or number.
    pub(super) fn new(process: &Process, more: Vec<String>) -> Self {
        let user = process.user();
        Self {
            name: user.username().clone().filter(|name| !name.is_empty()),
            uid: user.uid(),
            gid: user.gid(),
            additional: user.additional_gids().clone().unwrap_or_default(),
            more,
        }
    }

    /// Looks the user up in the container whose root is given.
    pub(super) fn identify(&self, root: BorrowedFd<'_>) -> Result<Identity, UserError> {
        let passwd = read(root, "etc/passwd", "/etc/passwd")?;
        // Only words ask for groups.
        let group = match (&self.name, self.more.is_empty()) {
            (None, true) => Vec::new(),
            _ => read(root, "etc/group", "/etc/group")?,
        };
        self.find(&String::from_utf8_lossy(&passwd), &String::from_utf8_lossy(&group))
    }

    fn find(&self, passwd: &str, group: &str) -> Result<Identity, UserError> {
        let mut identity = match &self.name {
            Some(name) => by_name(name, passwd, group)?,
            None => by_number(self.uid, self.gid, passwd),
        };
        identity.groups.extend(&self.additional);
        for wanted in &self.more {
            identity.groups.push(group_id(wanted, group)?);
        }
        if identity.groups.len() > MAX_GROUPS {
            return Err(UserError::Groups(self.name.clone().unwrap_or_else(|| self.uid.to_string())));
        }
        Ok(identity)
    }
}

/// The groups that a configuration's annotations name.
pub(super) fn named_groups(annotations: Option<&HashMap<String, String>>) -> Vec<String> {
    let names = annotations.and_then(|annotations| annotations.get(GROUPS)).map_or("", String::as_str);
    names.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

/// The numbers of a Docker user string (`user`, `uid`, `user:group`, …) in a container's root.
///
/// # Errors
/// The container has no such name.
pub fn lookup(root: BorrowedFd<'_>, name: &str) -> Result<(u32, u32), UserError> {
    let wanted =
        Wanted { name: Some(name.to_owned()), uid: 0, gid: 0, additional: Vec::new(), more: Vec::new() };
    let identity = wanted.identify(root)?;
    Ok((identity.uid, identity.gid))
}

/// A line of /etc/passwd.
struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?;
        Some(PasswdEntry { name, uid, gid, home })
    })
}

/// Lines of /etc/group: name, number, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or("")))
    })
}

fn home(entry: Option<&PasswdEntry<'_>>) -> Vec<u8> {
    match entry {
        Some(entry) if !entry.home.is_empty() && entry.home.len() + "HOME=".len() < MAX_HOME => {
            entry.home.as_bytes().to_vec()
        }
        _ => b"/".to_vec(),
    }
}

fn by_number(uid: u32, gid: u32, passwd: &str) -> Identity {
    let entry = users(passwd).find(|entry| entry.uid == uid);
    Identity { uid, gid, groups: Vec::new(), home: home(entry.as_ref()) }
}

/// A name wins over a number that looks the same, as in Docker. With a group named, supplementary groups are not looked
/// up.
fn by_name(name: &str, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (user, group_name) = match name.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (name, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok().filter(|uid| *uid <= i32::MAX as u32);
    let entry = users(passwd)
        .find(|entry| entry.name == user)
        .or_else(|| users(passwd).find(|entry| Some(entry.uid) == number));
    let (uid, own_gid) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) => return Err(UserError::User(user.to_owned())),
    };
    let mut identity = Identity { uid, gid: own_gid, groups: Vec::new(), home: home(entry.as_ref()) };
    match group_name {
        Some(wanted) => {
            identity.gid = group_id(wanted, group)?;
        }
        None => {
            if let Some(entry) = &entry {
                let member = |members: &str| members.split(',').any(|member| member.trim() == entry.name);
                let gids = groups(group).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid);
                identity.groups.extend(gids);
            }
        }
    }
    Ok(identity)
}

/// A group by name or number; a number need not be in the file.
fn group_id(wanted: &str, group: &str) -> Result<u32, UserError> {
    let number = wanted.parse::<u32>().ok().filter(|gid| *gid <= i32::MAX as u32);
    let found = groups(group).find(|(name, gid, _)| *name == wanted || Some(*gid) == number);
    found.map(|(_, gid, _)| gid).or(number).ok_or_else(|| UserError::Group(wanted.to_owned()))
}

/// A regular file in the root, empty when it is missing. `O_NONBLOCK`: a FIFO in its place must not stop us.
fn read(root: BorrowedFd<'_>, path: &str, file: &'static str) -> Result<Vec<u8>, UserError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let failed = |source: io::Error| UserError::File { file, source };
    let opened = match openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error.into())),
    };
    let stat = fstat(&opened).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut content = Vec::new();
    std::fs::File::from(opened).take(MAX_FILE).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n7:x:70:70::/seven:\n";
    const GROUP: &str = "root:x:0:\nann:x:1001:\nwheel:x:10:bob,ann\nvideo:x:44:ann\n";

    fn find(name: &str) -> Result<Identity, String> {
        let wanted = Wanted { name: Some(name.to_owned()), uid: 9, gid: 9, additional: vec![], more: vec![] };
        wanted.find(PASSWD, GROUP).map_err(|error| error.to_string())
    }

    #[test]
    fn a_user_string_is_understood_as_docker_does() {
        let identity = |uid, gid, groups: &[u32], home: &str| {
            Ok(Identity { uid, gid, groups: groups.to_vec(), home: home.as_bytes().to_vec() })
        };
        assert_eq!(find("ann"), identity(1000, 1001, &[10, 44], "/home/ann"));
        assert_eq!(find("1000"), identity(1000, 1001, &[10, 44], "/home/ann"));
        assert_eq!(find("ann:video"), identity(1000, 44, &[], "/home/ann"));
        assert_eq!(find("ann:55"), identity(1000, 55, &[], "/home/ann"));
        assert_eq!(find("4242:4343"), identity(4242, 4343, &[], "/"));
        assert_eq!(find("4242"), identity(4242, 0, &[], "/"));
        assert_eq!(find("7"), identity(70, 70, &[], "/seven"));
        assert_eq!(find(":wheel"), identity(0, 10, &[], "/root"));
        assert!(find("eve").unwrap_err().contains("unable to find user eve"));
        assert!(find("ann:nobody").unwrap_err().contains("unable to find group nobody"));
        assert!(find("-1").is_err());
    }

    #[test]
    fn numbers_are_taken_as_they_are_and_home_is_looked_up() {
        let wanted = Wanted { name: None, uid: 1000, gid: 5, additional: vec![8], more: vec![] };
        let identity = wanted.find(PASSWD, "").unwrap();
        assert_eq!(identity, Identity { uid: 1000, gid: 5, groups: vec![8], home: b"/home/ann".to_vec() });
    }

    #[test]
    fn more_groups_are_looked_up_by_name_and_by_number() {
        let more = |more: &[&str]| {
            let more = more.iter().map(|&group| group.to_owned()).collect();
            let wanted = Wanted { name: Some("4242".into()), uid: 0, gid: 0, additional: vec![], more };
            wanted.find(PASSWD, GROUP).map(|identity| identity.groups).map_err(|error| error.to_string())
        };
        assert_eq!(more(&["video", "10", "777"]), Ok(vec![44, 10, 777]));
        assert!(more(&["audio"]).unwrap_err().contains("unable to find group audio"));
    }
}
