//! The store: blobs and layers by digest, images by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::FlockOperation;
use tempfile::TempDir;

use crate::error::at;
use crate::image::Image;
use crate::layer::Layers;
use crate::records::{self, Records};
use crate::{Digest, Error, ImageId, ImageRef};

const LOCK: &str = "lock";
const RECORDS: &str = "images.json";
const BLOBS: &str = "blobs/sha256";
const LAYERS: &str = "layers";
const TEMPORARY: &str = "tmp";

/// The images under a daemon's root. Safe to use from several threads; one process at a time has it open.
pub struct Store {
    directory: PathBuf,
    layers: Layers,
    state: Mutex<State>,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held as long as the store is open.
    _lock: File,
}

struct State {
    records: Records,
    /// Layers that an operation relies on before an image does, with how many do.
    leases: HashMap<Digest, usize>,
}

/// The images as readers see them.
type Snapshot = BTreeMap<ImageId, Arc<Image>>;

/// Keeps layers from being removed as long as it lives, and removes them at its end when no image took them over.
pub(crate) struct Lease<'a> {
    store: &'a Store,
    diff_ids: Vec<Digest>,
}

/// What removing an image did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// The image lost this name.
    Untagged(ImageRef),
    /// The image is gone.
    Deleted(ImageId),
    /// A layer that no other image has is gone.
    DeletedLayer(Digest),
}

impl Store {
    /// Opens the store below `root`, the daemon's directory, and makes it when it is not there. What a crash left
    /// behind is removed.
    ///
    /// # Errors
    /// When another process has the store open, or its files cannot be used.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let directory = root.join("image");
        fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        // Layers hold set-uid programs that the machine's users have no business with.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
            .map_err(at("change the mode of", &directory))?;
        let lock = lock(&directory)?;
        let temporary = directory.join(TEMPORARY);
        sweep(&temporary)?;
        let blobs = directory.join(BLOBS);
        fs::create_dir_all(&blobs).map_err(at("create", &blobs))?;
        let layers = Layers::open(directory.join(LAYERS), temporary)?;
        layers.check_unsynced()?;
        let records = Records::read(&directory.join(RECORDS))?;
        let state = Mutex::new(State { records, leases: HashMap::new() });
        let store = Self { directory, layers, state, snapshot: RwLock::default(), _lock: lock };
        store.forget_damaged()?;
        store.sweep_unreferenced();
        Ok(store)
    }

    /// The images, by id.
    pub fn list(&self) -> Vec<Arc<Image>> {
        self.snapshot().values().cloned().collect()
    }

    /// The image that goes by a name, an id or the beginning of an id.
    ///
    /// # Errors
    /// When there is none, or the beginning fits several.
    pub fn resolve(&self, reference_or_id: &str) -> Result<Arc<Image>, Error> {
        self.find(reference_or_id).map(|(image, _)| image)
    }

    /// Gives an image another name; an image that had the name loses it.
    ///
    /// # Errors
    /// When there is no such image, or `target` names a digest.
    pub fn tag(&self, source: &str, target: &ImageRef) -> Result<ImageId, Error> {
        if target.digest().is_some() {
            return Err(Error::DigestAsTag(target.to_string()));
        }
        let mut state = self.state();
        let id = self.resolve(source)?.id;
        self.change(&mut state, |records| records.add(id, [target.clone()]))?;
        Ok(id)
    }

    /// Takes a name from an image, and removes the image with its last name. An image that `in_use` says a container
    /// needs is not removed: with `force`, it loses its names.
    ///
    /// # Errors
    /// When there is no such image, a container needs it, or it has several names and is given by id without `force`.
    pub fn remove(
        &self,
        reference_or_id: &str,
        force: bool,
        in_use: &dyn Fn(&ImageId) -> bool,
    ) -> Result<Vec<Removed>, Error> {
        let mut state = self.state();
        let (image, name) = self.find(reference_or_id)?;
        let untagged = match name {
            Some(name) => vec![name],
            None if image.references.len() > 1 && !force => {
                return Err(Error::ManyReferences(image.id.short()));
            }
            None => image.references.clone(),
        };
        let keeps_names = untagged.len() < image.references.len();
        let used = !keeps_names && in_use(&image.id);
        if used && (!force || untagged.is_empty()) {
            return Err(Error::InUse(reference_or_id.to_owned()));
        }
        let delete = !keeps_names && !used;
        self.change(&mut state, |records| {
            if delete {
                records.images.remove(&image.id);
            } else if let Some(names) = records.images.get_mut(&image.id) {
                names.retain(|name| !untagged.contains(name));
            }
        })?;
        let mut removed: Vec<Removed> = untagged.into_iter().map(Removed::Untagged).collect();
        if delete {
            removed.push(Removed::Deleted(image.id));
            remove_file(&self.blob(&image.id));
            let (gone, files) = self.take_unused(&state, &image.diff_ids);
            drop(state);
            drop(files);
            removed.extend(gone.into_iter().rev().map(Removed::DeletedLayer));
        }
        Ok(removed)
    }

    /// The image, and the name when it was found by name.
    pub(crate) fn find(&self, text: &str) -> Result<(Arc<Image>, Option<ImageRef>), Error> {
        let snapshot = self.snapshot();
        if let Ok(reference) = text.parse::<ImageRef>()
            && let Some(image) = snapshot.values().find(|image| image.references.contains(&reference))
        {
            return Ok((Arc::clone(image), Some(reference)));
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_id =
            !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_id {
            let mut fitting = snapshot.values().filter(|image| image.id.hex().starts_with(digits));
            match (fitting.next(), fitting.next()) {
                (Some(image), None) => return Ok((Arc::clone(image), None)),
                (Some(_), Some(_)) => return Err(Error::Ambiguous(text.to_owned())),
                _ => {}
            }
        }
        // As Docker tells it: with the tag that was looked for.
        let name =
            text.parse::<ImageRef>().map_or_else(|_| text.to_owned(), |reference| reference.to_string());
        Err(Error::NotFound(name))
    }

    /// Puts an image in the store, whose layers are there, under `references`.
    pub(crate) fn add(&self, id: ImageId, config: &[u8], references: Vec<ImageRef>) -> Result<(), Error> {
        self.add_with(id, config, |records| records.add(id, references))
    }

    pub(crate) fn add_with(
        &self,
        id: ImageId,
        config: &[u8],
        change: impl FnOnce(&mut Records),
    ) -> Result<(), Error> {
        let mut state = self.state();
        records::write_atomically(&self.blob(&id), config)?;
        self.change(&mut state, change)
    }

    /// Changes the record, first on disk.
    fn change(&self, state: &mut State, change: impl FnOnce(&mut Records)) -> Result<(), Error> {
        let mut records = state.records.clone();
        change(&mut records);
        records.write(&self.directory.join(RECORDS))?;
        state.records = records;
        // What became unusable is told here, and forgotten at the next start.
        let _unusable = self.publish(state);
        Ok(())
    }

    /// Makes the record what readers see. An image that cannot be read is told and left out, so that one damaged file
    /// does not keep the daemon from starting; returned are those that can never be read again.
    fn publish(&self, state: &State) -> Vec<ImageId> {
        let old = self.snapshot();
        let mut new = Snapshot::new();
        let mut damaged = Vec::new();
        for (id, references) in &state.records.images {
            let known = old.get(id).map(|image| Ok(Image::clone(image)));
            match known.unwrap_or_else(|| self.describe(*id)) {
                Ok(mut image) => {
                    image.references = references.iter().cloned().collect();
                    new.insert(*id, Arc::new(image));
                }
                Err(error) => {
                    tracing::error!(image = %id, ?references, %error, "image is unusable: load it again");
                    damaged.extend(error.is_damage().then_some(*id));
                }
            }
        }
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        damaged
    }

    /// Publishes the images that are whole, and takes the others out of the record.
    fn forget_damaged(&self) -> Result<(), Error> {
        let mut state = self.state();
        let damaged = self.publish(&state);
        if damaged.is_empty() {
            return Ok(());
        }
        self.change(&mut state, |records| records.images.retain(|id, _| !damaged.contains(id)))
    }

    fn describe(&self, id: ImageId) -> Result<Image, Error> {
        let config = self.config(&id)?;
        let found = Digest::of(&config);
        if found != id.digest() {
            return Err(Error::DigestMismatch {
                what: "configuration".to_owned(),
                expected: id.digest(),
                found,
            });
        }
        let mut image = Image::parse(id, &config)?;
        for diff_id in &image.diff_ids {
            let info = self
                .layers
                .info(diff_id)?
                .ok_or_else(|| Error::LayerChanged { diff_id: *diff_id, reason: "it is gone".to_owned() })?;
            image.size += info.content_size;
            image.layers.push(self.layers.diff(diff_id));
        }
        Ok(image)
    }

    /// The configuration of an image as it was given.
    pub(crate) fn config(&self, id: &ImageId) -> Result<Vec<u8>, Error> {
        let path = self.blob(id);
        fs::read(&path).map_err(at("read", &path))
    }

    fn blob(&self, id: &ImageId) -> PathBuf {
        self.directory.join(BLOBS).join(id.hex())
    }

    /// Keeps layers, present or to come, until the lease is dropped.
    pub(crate) fn lease(&self, diff_ids: &[Digest]) -> Lease<'_> {
        let mut state = self.state();
        for diff_id in diff_ids {
            *state.leases.entry(*diff_id).or_default() += 1;
        }
        Lease { store: self, diff_ids: diff_ids.to_vec() }
    }

    /// Takes those layers out of the store that no image and no operation needs; their files go when the second value
    /// is dropped.
    fn take_unused(&self, state: &State, diff_ids: &[Digest]) -> (Vec<Digest>, Vec<TempDir>) {
        let snapshot = self.snapshot();
        let used: BTreeSet<&Digest> = snapshot.values().flat_map(|image| &image.diff_ids).collect();
        let mut unused: Vec<Digest> = Vec::new();
        let mut files = Vec::new();
        for diff_id in diff_ids {
            if used.contains(diff_id) || state.leases.contains_key(diff_id) || unused.contains(diff_id) {
                continue;
            }
            match self.layers.take(diff_id) {
                Ok(Some(directory)) => {
                    unused.push(*diff_id);
                    files.push(directory);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(layer = %diff_id, %error, "unused layer stays"),
            }
        }
        (unused, files)
    }

    /// Removes layers and configurations that a crash left without an image.
    fn sweep_unreferenced(&self) {
        let state = self.state();
        match self.layers.list() {
            // Layers of images that are unusable stay: nothing is known of them.
            Ok(_) if self.snapshot().len() < state.records.images.len() => {}
            Ok(layers) => drop(self.take_unused(&state, &layers)),
            Err(error) => tracing::warn!(%error, "unused layers stay"),
        }
        let blobs = self.directory.join(BLOBS);
        for entry in fs::read_dir(&blobs).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<ImageId>().ok());
            if id.is_none_or(|id| !state.records.images.contains_key(&id)) {
                remove_file(&entry.path());
            }
        }
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    pub(crate) fn temporary(&self) -> &Path {
        self.layers.temporary()
    }

    pub(crate) fn embedded(&self) -> Option<records::Embedded> {
        self.state().records.embedded.clone()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.store.state();
        for diff_id in &self.diff_ids {
            if let Some(count) = state.leases.get_mut(diff_id) {
                *count -= 1;
                if *count == 0 {
                    state.leases.remove(diff_id);
                }
            }
        }
        let (_, files) = self.store.take_unused(&state, &self.diff_ids);
        drop(state);
        drop(files);
    }
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let file = File::create(&path).map_err(at("create", &path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(directory.to_owned())),
        Err(error) => Err(at("lock", &path)(error)),
    }
}

/// Empties the directory of what is not finished.
fn sweep(temporary: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("empty", temporary)(error)),
        _ => {}
    }
    fs::create_dir_all(temporary).map_err(at("create", temporary))
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove");
    }
}
