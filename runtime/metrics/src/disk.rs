//! What containers have written into their layers.
//!
//! Nothing tells the size of a directory but a walk through it, as cAdvisor's. It is done by one thread at a time, at a
//! bounded rate, only while somebody scrapes, and no layer more often than once a minute.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

/// How old a figure may be before it is taken anew.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Entries that are looked at between two pauses: at most fifty thousand a second.
const STRIDE: u32 = 250;
const PAUSE: Duration = Duration::from_millis(5);

/// The last known sizes of directories.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskUsage(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    sizes: HashMap<PathBuf, (u64, Instant)>,
    walking: bool,
}

impl DiskUsage {
    /// The bytes that a directory occupies, as of its last walk.
    pub(crate) fn size(&self, directory: &Path) -> Option<u64> {
        self.lock().sizes.get(directory).map(|(size, _)| *size)
    }

    /// Has old figures of these directories taken anew, and forgets all others.
    pub(crate) fn refresh(&self, directories: &[&Path]) {
        let mut known = self.lock();
        known.sizes.retain(|path, _| directories.contains(&path.as_path()));
        let is_due = |path: &&&Path| known.sizes.get(**path).is_none_or(|(_, at)| at.elapsed() >= MAX_AGE);
        let due: Vec<PathBuf> = directories.iter().filter(is_due).map(|path| path.to_path_buf()).collect();
        if known.walking || due.is_empty() {
            return;
        }
        let walker = self.clone();
        match thread::Builder::new().name("disk usage".into()).spawn(move || walker.walk_all(due)) {
            Ok(_) => known.walking = true,
            Err(error) => tracing::warn!(%error, "the containers' layers cannot be measured"),
        }
    }

    fn walk_all(&self, directories: Vec<PathBuf>) {
        for directory in directories {
            let size = walk(&directory);
            self.lock().sizes.insert(directory, (size, Instant::now()));
        }
        self.lock().walking = false;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic of another holder left whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of disk below a directory; a file with several names counts once. What goes while we look is not counted.
fn walk(directory: &Path) -> u64 {
    let (mut size, mut seen) = (0, 0);
    let mut linked = HashSet::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            if seen % STRIDE == 0 {
                thread::sleep(PAUSE);
            }
            // Links are not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
            if metadata.nlink() == 1 || metadata.is_dir() || linked.insert((metadata.dev(), metadata.ino())) {
                size += metadata.blocks() * 512;
            }
        }
    }
    size
}

/// The file system that a path is on: its device's name as cAdvisor has it, and its size in bytes.
pub(crate) fn file_system(path: &Path) -> Option<(String, u64)> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let size = statvfs(path).ok()?;
    Some((device_name((major, minor)), size.blocks() * size.fragment_size()))
}

/// `/dev/sda1`, or the number where the kernel has no name for it, as for file systems without a block device.
pub(crate) fn device_name((major, minor): (u64, u64)) -> String {
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok();
    match link.as_deref().and_then(Path::file_name) {
        Some(name) => format!("/dev/{}", name.to_string_lossy()),
        None => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_occupies_its_files_blocks_and_names_of_one_file_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let empty = walk(dir.path());
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/file"), vec![7; 1 << 20]).unwrap();
        let once = walk(dir.path()) - empty;
        assert!((1 << 20..(1 << 20) + 65_536).contains(&once), "{once}");
        fs::hard_link(dir.path().join("below/file"), dir.path().join("again")).unwrap();
        assert_eq!(walk(dir.path()) - empty, once);
    }

    #[test]
    fn a_size_is_known_some_time_after_it_was_first_asked_for_and_forgotten_with_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let usage = DiskUsage::default();
        assert_eq!(usage.size(dir.path()), None);
        usage.refresh(&[dir.path()]);
        let known = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            usage.size(dir.path())
        });
        assert!(known.is_some());
        usage.refresh(&[]);
        assert_eq!(usage.size(dir.path()), None);
    }

    #[test]
    fn a_file_system_has_a_size() {
        let (device, size) = file_system(Path::new("/")).unwrap();
        assert!(!device.is_empty() && size > 0);
    }
}
