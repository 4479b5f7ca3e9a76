//! Who owns the files of a tree, as an archive says it: a container in a user namespace knows its users by other numbers
//! than the host.

use std::io;

/// Who an archive says for an owner that the container does not know.
const NOBODY: u32 = 65_534;

/// The numbers of users and groups in archives, and in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Ranges of users; none if their numbers are the same.
    pub users: Vec<OwnerRange>,
    /// The same of groups.
    pub groups: Vec<OwnerRange>,
}

/// Owners one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerRange {
    /// The first, in archives.
    pub inside: u32,
    /// The first, in the tree.
    pub outside: u32,
    /// How many they are.
    pub size: u32,
}

impl Owners {
    /// A user and a group of the tree, as an archive has them.
    pub(super) fn inside(&self, user: u32, group: u32) -> (u32, u32) {
        let inside = |ranges: &[OwnerRange], id| {
            moved(ranges, id, |range| (range.outside, range.inside)).unwrap_or(NOBODY)
        };
        (inside(&self.users, user), inside(&self.groups, group))
    }

    /// A user and a group of an archive, as the tree has them.
    pub(super) fn outside(&self, (user, group): (u32, u32)) -> io::Result<(u32, u32)> {
        let outside = |ranges: &[OwnerRange], id| {
            moved(ranges, id, |range| (range.inside, range.outside)).ok_or_else(|| {
                let text = format!("the container has no user or group {id}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            })
        };
        Ok((outside(&self.users, user)?, outside(&self.groups, group)?))
    }
}

fn moved(ranges: &[OwnerRange], id: u32, from_to: impl Fn(&OwnerRange) -> (u32, u32)) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    ranges.iter().find_map(|range| {
        let (from, to) = from_to(range);
        id.checked_sub(from).filter(|distance| *distance < range.size).map(|distance| to + distance)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_moved_by_their_range_and_back() {
        assert_eq!(Owners::default().inside(7, 8), (7, 8));
        let range = |inside, outside, size| OwnerRange { inside, outside, size };
        let owners = Owners {
            users: vec![range(0, 100_000, 10), range(10, 500, 1)],
            groups: vec![range(0, 200_000, 65_536)],
        };
        assert_eq!(owners.inside(100_009, 200_033), (9, 33));
        assert_eq!(owners.outside((10, 33)).unwrap(), (500, 200_033));
        assert_eq!(owners.inside(0, 0), (NOBODY, NOBODY));
        assert!(owners.outside((11, 0)).unwrap_err().to_string().contains("no user or group 11"));
    }
}
