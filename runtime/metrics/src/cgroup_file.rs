//! The formats of a control group's files. A file that is absent says nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A file that holds one number. `max` and absent files are `None`.
pub(crate) fn number(dir: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

/// A line of numbers.
pub(crate) fn numbers(dir: &Path, file: &str) -> Vec<u64> {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect()
}

/// The processes in a group.
pub(crate) fn processes(dir: &Path) -> Option<Vec<u32>> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).ok()?;
    Some(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// A file of `key value` lines, the kernel's "flat keyed" format.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<String, u64>);

impl Table {
    pub(crate) fn read(dir: &Path, file: &str) -> Self {
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        let row = |line: &str| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(row).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<u64> {
        self.0.get(key).copied()
    }

    pub(crate) fn scaled(&self, key: &str, factor: u64) -> Option<u64> {
        self.get(key).map(|value| value.saturating_mul(factor))
    }
}
