//! What is different in a container, as the archive of a layer.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::fs::{self, AtFlags, FileType};
use rustix::io::Errno;

use super::Root;
use super::changes::{ChangeKind, Changes};
use super::pack::{Packer, open_below};
use crate::Error;
use crate::layer::tree::split_path;

impl Root {
    /// Writes the layer that makes of `image` what it is with this directory, an overlay's upper one, on top. `own` as
    /// for [`Root::changes`].
    ///
    /// # Errors
    /// What reading the directory or `out` says.
    pub fn layer(&self, image: &Self, own: &[&str], out: impl Write) -> Result<(), Error> {
        let changes = self.compare(image, own)?;
        let mut packer = Packer::new(out, &self.owners);
        let packed = self.write(&changes, &mut packer).and_then(|()| packer.finish());
        packed.map_err(|source| Error::Read { what: "pack the changes".to_owned(), source })
    }

    fn write(&self, changes: &Changes, packer: &mut Packer<'_, impl Write>) -> io::Result<()> {
        for (path, kind) in changes {
            let (directory, name) = split_path(path);
            if *kind == ChangeKind::Deleted {
                let mark = [directory, if directory.is_empty() { b"" } else { b"/" }, b".wh.", name].concat();
                packer.mark(&mark, &fs::fstat(self.fd())?)?;
                continue;
            }
            let parent = match open_below(self.fd(), directory) {
                Ok(parent) => parent,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error.into()),
            };
            match fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    packer.directory(open_below(parent.as_fd(), name)?.as_fd(), path)?;
                }
                Ok(_) => packer.file(parent.as_fd(), name, path)?,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
