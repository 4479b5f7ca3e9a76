//! Copying what an image has at a volume's place into the volume, if it is empty.
//!
//! The copy is made beside the volume's data and moved there when it is complete: a daemon that dies in between leaves
//! either nothing of it, or all, of which its successor moves the rest.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::Path;

use beeline_image::files::{Root, Unpack};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::libc::{O_DIRECTORY, O_PATH};

use crate::error::Error;

const DATA: &str = "_data";
const COPYING: &str = "copying";
const COPIED: &str = "copied";

/// Fills the volume in `directory` with what is at `path` in `image`, unless it has something already. What is
/// `mounted` there is filled in place: it is not ours to rename in.
pub(super) fn populate(directory: &Path, mounted: bool, image: &Root, path: &Path) -> Result<(), Error> {
    let data = directory.join(DATA);
    let empty = fs::read_dir(&data).map(|mut entries| entries.next().is_none());
    let source = format!("{}/.", path.display());
    if !empty.map_err(at("list", &data))? || image.stat(&source).is_err() {
        return Ok(());
    }
    if mounted {
        return copy(image, &source, &data);
    }
    let copying = directory.join(COPYING);
    fs::create_dir(&copying).map_err(at("create directory", &copying))?;
    let copied = copy(image, &source, &copying).and_then(|()| {
        let copied = directory.join(COPIED);
        fs::rename(&copying, &copied).map_err(at("rename", &copying))
    });
    if let Err(error) = copied {
        // The reason is worth more than another failure.
        let _ = fs::remove_dir_all(&copying);
        return Err(error);
    }
    finish(directory)
}

/// Brings a volume in order in which a daemon died while it copied.
pub(super) fn recover(directory: &Path) -> Result<(), Error> {
    let copying = directory.join(COPYING);
    match fs::remove_dir_all(&copying) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(at("remove", &copying)(error)),
        _ => {}
    }
    finish(directory)
}

/// Moves a complete copy to its place. What a container has made there meanwhile stays.
fn finish(directory: &Path) -> Result<(), Error> {
    let (copied, data) = (directory.join(COPIED), directory.join(DATA));
    let metadata = match fs::metadata(&copied) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("examine", &copied)(error)),
    };
    chown(&data, Some(metadata.uid()), Some(metadata.gid())).map_err(at("change the owner of", &data))?;
    fs::set_permissions(&data, metadata.permissions()).map_err(at("change the mode of", &data))?;
    for entry in fs::read_dir(&copied).map_err(at("list", &copied))? {
        let name = entry.map_err(at("list", &copied))?.file_name();
        let (from, to) = (copied.join(&name), data.join(&name));
        match renameat2(AT_FDCWD, &from, AT_FDCWD, &to, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(at("move to the volume", &from)(errno.into())),
        }
    }
    fs::remove_dir_all(&copied).map_err(at("remove", &copied))
}

/// Copies a directory's content by way of an archive: owners, modes, times, extended attributes, links and devices.
fn copy(image: &Root, source: &str, to: &Path) -> Result<(), Error> {
    let target: OwnedFd = fs::OpenOptions::new()
        .read(true)
        .custom_flags(O_PATH | O_DIRECTORY)
        .open(to)
        .map_err(at("open", to))?
        .into();
    let (reader, writer) = io::pipe().map_err(at("make a pipe for", to))?;
    let target = Root::new(target);
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || image.pack(source, writer));
        let unpacked = target.unpack("/", reader, Unpack::default());
        let packed = packing.join();
        // An archive that breaks off is the packer's fault.
        match packed {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) => unpacked.map_err(Error::from),
            Err(_) => {
                Err(Error::Internal { operation: "copy to a volume".into(), message: "panicked".into() })
            }
        }
    })
}

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &Path) -> Root {
        let opened = fs::OpenOptions::new().read(true).custom_flags(O_PATH | O_DIRECTORY).open(path).unwrap();
        Root::new(opened.into())
    }

    fn volume() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(DATA)).unwrap();
        directory
    }

    #[test]
    fn an_empty_volume_takes_the_content_with_modes_and_links_and_a_full_one_keeps_its_own() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let image = tempfile::tempdir().unwrap();
        let place = image.path().join("var/db");
        fs::create_dir_all(place.join("sub")).unwrap();
        fs::write(place.join("sub/a"), "text").unwrap();
        fs::hard_link(place.join("sub/a"), place.join("b")).unwrap();
        chown(place.join("b"), Some(101), Some(102)).unwrap();
        fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o2750)).unwrap();
        let volume = volume();
        let data = volume.path().join(DATA);
        populate(volume.path(), false, &root(image.path()), Path::new("/var/db")).unwrap();
        let (one, other) = (fs::metadata(data.join("b")).unwrap(), fs::metadata(data.join("sub/a")).unwrap());
        assert_eq!((one.ino(), one.uid(), one.gid(), one.nlink()), (other.ino(), 101, 102, 2));
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o2750);
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 1, "nothing of the copy is left");

        fs::remove_file(data.join("b")).unwrap();
        populate(volume.path(), false, &root(image.path()), Path::new("/var/db")).unwrap();
        assert!(!data.join("b").exists());
    }

    #[test]
    fn a_copy_that_was_cut_off_goes_and_one_that_was_complete_is_moved() {
        let volume = volume();
        let data = volume.path().join(DATA);
        fs::create_dir(volume.path().join(COPYING)).unwrap();
        fs::write(volume.path().join(COPYING).join("half"), "").unwrap();
        recover(volume.path()).unwrap();
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 1);

        let copied = volume.path().join(COPIED);
        fs::create_dir(&copied).unwrap();
        fs::write(copied.join("a"), "image").unwrap();
        fs::write(copied.join("b"), "image").unwrap();
        fs::write(data.join("a"), "container").unwrap();
        recover(volume.path()).unwrap();
        assert_eq!(fs::read_to_string(data.join("a")).unwrap(), "container");
        assert_eq!(fs::read_to_string(data.join("b")).unwrap(), "image");
        assert!(!copied.exists());
    }

    #[test]
    fn a_place_that_the_image_does_not_have_leaves_the_volume_empty() {
        let (image, volume) = (tempfile::tempdir().unwrap(), volume());
        populate(volume.path(), false, &root(image.path()), Path::new("/none")).unwrap();
        assert_eq!(fs::read_dir(volume.path().join(DATA)).unwrap().count(), 0);
    }
}
