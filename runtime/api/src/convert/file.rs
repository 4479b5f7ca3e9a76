//! A container's files.

use beeline_engine::{ChangeKind, FileStat};
use beeline_wire::container::files::{Change, PathStat};
use jiff::Timestamp;

use super::signed;

pub(crate) fn stat(stat: &FileStat) -> PathStat {
    let (seconds, nanoseconds) = stat.modified;
    let mtime =
        Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).unwrap_or(Timestamp::UNIX_EPOCH);
    PathStat {
        name: stat.name.clone(),
        size: signed(stat.size),
        mode: go_mode(stat.mode),
        mtime: mtime.to_string(),
        link_target: stat.link_target.clone(),
    }
}

pub(crate) fn change(change: &beeline_engine::Change) -> Change {
    let kind = match change.kind {
        ChangeKind::Modified => 0,
        ChangeKind::Added => 1,
        ChangeKind::Deleted => 2,
    };
    Change { path: change.path.clone(), kind }
}

/// The kernel's mode as Go's `os.FileMode`.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => PathStat::DIRECTORY,
        0o120_000 => PathStat::SYMLINK,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go);
    special.fold(kind | mode & 0o777, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_go_s() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), 1 << 31 | 1 << 20 | 0o777);
        assert_eq!(go_mode(0o120_777), 1 << 27 | 0o777);
        assert_eq!(go_mode(0o104_755), 1 << 23 | 0o755);
        assert_eq!(go_mode(0o020_620), 1 << 26 | 1 << 21 | 0o620);
    }
}
