//! A container's files: copied in and out, compared with its image, and made an image of.

use std::io::{Read, Write};
use std::sync::Arc;

use beeline_image::files::{FileStat, Root, Unpack};
use beeline_spawn::container::user;
use beeline_spawn::view;
use tokio::sync::OwnedRwLockReadGuard;

use crate::container::mounts::UserMount;
use crate::container::view::ContainerView;
use crate::error::Error;

/// The files of a container at one moment of its life, open as long as this lives: a container does not start before.
#[derive(Debug, Clone)]
pub struct ContainerFiles {
    pub(crate) root: Arc<Root>,
    /// Who the container's root is on the host, while it runs in a user namespace.
    pub(crate) acting_as: Option<(u32, u32)>,
    pub(crate) view: Arc<ContainerView>,
    pub(crate) _lock: Arc<OwnedRwLockReadGuard<()>>,
}

/// How a container becomes an image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommitContainer {
    /// The image's name, without or with a tag.
    pub reference: Option<String>,
    /// Who made it.
    pub author: String,
    /// A remark in the image's history.
    pub comment: String,
    /// Dockerfile instructions that change the configuration.
    pub changes: Vec<String>,
    /// Hold its processes still meanwhile.
    pub pause: bool,
    /// What the configuration is to have instead of the container's, by Docker's names.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl ContainerFiles {
    /// What is known of a file. A link at the path's end is followed only if a slash comes after it.
    ///
    /// # Errors
    /// There is no such file.
    pub async fn stat(&self, path: &str) -> Result<FileStat, Error> {
        let text = path.to_owned();
        self.blocking(path, move |files| files.root.stat(&text)).await
    }

    /// Writes an archive of a file or directory.
    ///
    /// # Errors
    /// There is no such file, or `out` fails.
    pub async fn pack(&self, path: &str, out: impl Write + Send + 'static) -> Result<(), Error> {
        let text = path.to_owned();
        self.blocking(path, move |files| files.root.pack(&text, out)).await
    }

    /// Writes an archive of everything.
    ///
    /// # Errors
    /// `out` fails.
    pub async fn export(&self, out: impl Write + Send + 'static) -> Result<(), Error> {
        self.blocking("/", move |files| files.root.export(out)).await
    }

    /// Unpacks an archive into a directory. With `keep_kinds`, no directory is replaced by anything else nor the other way
    /// round; with `own`, everything is the container's user's.
    ///
    /// # Errors
    /// There is no such directory, it is read-only, or the archive is broken.
    pub async fn unpack(
        &self,
        path: &str,
        archive: impl Read + Send + 'static,
        keep_kinds: bool,
        own: bool,
    ) -> Result<(), Error> {
        let wanted = Some(self.view.config.user.clone()).filter(|user| own && !user.is_empty());
        let owner = wanted.map(|user| user::lookup(self.root.fd(), &user));
        let owner = owner.transpose().map_err(|error| Error::Invalid(error.to_string()))?;
        let text = path.to_owned();
        let options = Unpack { keep_kinds, owner };
        self.blocking(path, move |files| files.unpack_now(&text, archive, options)).await
    }

    fn unpack_now(
        &self,
        path: &str,
        archive: impl Read + Send + 'static,
        options: Unpack,
    ) -> Result<(), beeline_image::Error> {
        let Some(root) = self.acting_as else { return self.root.unpack(path, archive, options) };
        // The host's root is nobody there, and may make no file.
        let (files, text) = (self.root.clone(), path.to_owned());
        let done = view::acting_as(root, move || files.unpack(&text, archive, options));
        done.unwrap_or_else(|source| Err(beeline_image::Error::Entry { path: path.to_owned(), source }))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Self) -> Result<T, beeline_image::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let files = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        let done = done.map_err(|error| Error::internal("work on a container's files", &error))?;
        done.map_err(|error| self.told(path, error))
    }

    /// A failure in the words that Docker's clients know.
    fn told(&self, path: &str, error: beeline_image::Error) -> Error {
        use beeline_image::Error as Failure;
        match error {
            Failure::NoFile(_) => {
                Error::NoSuchFile { path: path.to_owned(), container: self.view.name.to_string() }
            }
            Failure::ReadOnly(_) => Error::Forbidden(
                if self.is_in_mount(path) {
                    "mounted volume is marked read-only"
                } else {
                    "container rootfs is marked read-only"
                }
                .to_owned(),
            ),
            other => other.into(),
        }
    }

    fn is_in_mount(&self, path: &str) -> bool {
        let path = std::path::Path::new("/").join(path);
        self.view.user_mounts.iter().any(|mount: &UserMount| path.starts_with(&mount.destination))
    }
}
