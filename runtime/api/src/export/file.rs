//! A file that begins anew when it is large enough.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Addresses of peers are nobody's business.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    max_size: u64,
    max_files: u32,
    file: File,
    size: u64,
}

impl Rotated {
    pub(super) fn open(path: PathBuf, max_size: u64, max_files: u32) -> io::Result<Self> {
        let (file, size) = open(&path)?;
        Ok(Self { path, max_size, max_files, file, size })
    }

    /// Writes whole lines, or none of them.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.size > 0 && self.size + length > self.max_size {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(lines) {
            // Half a line would spoil the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += length;
        Ok(())
    }

    /// Begins a new file. The oldest makes way.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.max_files).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
            match fs::rename(from, numbered(&self.path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.max_files <= 1 {
            fs::remove_file(&self.path)?;
        }
        (self.file, self.size) = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_as_many_files_as_there_may_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows");
        let mut file = Rotated::open(path.clone(), 10, 3).unwrap();
        for number in 0..10 {
            file.write(format!("line{number}\n").as_bytes()).unwrap();
        }
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(text(&path), "line9\n");
        assert_eq!(
            (text(&numbered(&path, 1)), text(&numbered(&path, 2))),
            ("line8\n".into(), "line7\n".into())
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
        // A daemon that begins goes on where the last one ended.
        drop(file);
        let mut file = Rotated::open(path.clone(), 20, 3).unwrap();
        file.write(b"more\n").unwrap();
        assert_eq!(text(&path), "line9\nmore\n");
    }

    #[test]
    fn a_single_file_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows");
        let mut file = Rotated::open(path.clone(), 10, 1).unwrap();
        file.write(b"the first\n").unwrap();
        file.write(b"second\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_leaves_no_half_of_a_line() {
        // Nothing fits on this device; its size is zero before and after.
        let mut file = Rotated::open(PathBuf::from("/dev/full"), 10, 1).unwrap();
        assert!(file.write(b"line\n").is_err());
        assert_eq!(file.size, 0);
    }
}
