//! Layers reach the disk behind their users' backs: waiting for it would make every import as slow as the disk.
//!
//! A layer is used as soon as it is extracted, and says in which boot that was. A thread writes it back and takes the
//! note away. A layer that still has the note of an earlier boot was there when power was lost; the store checks it
//! against its digest before it is used again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{INFO, Info};
use crate::Error;
use crate::error::at;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Which boot this is; empty where the kernel does not tell, so that such layers are checked.
pub(super) fn boot() -> String {
    fs::read_to_string(BOOT).map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The thread that writes layers back, while there are any.
#[derive(Clone, Default)]
pub(super) struct WriteBack(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Directories of layers that may not be on the disk.
    waiting: Vec<PathBuf>,
    running: bool,
    /// The store is closed: its directory may go at any time.
    closed: bool,
}

impl WriteBack {
    /// Has a layer written back some time soon.
    pub(super) fn request(&self, place: PathBuf) {
        let mut state = self.state();
        state.waiting.push(place);
        if state.running {
            return;
        }
        let worker = self.clone();
        let started = thread::Builder::new().name("layer-sync".to_owned()).spawn(move || worker.run());
        match started {
            Ok(_) => state.running = true,
            Err(error) => tracing::warn!(%error, "layers are written back when the kernel likes"),
        }
    }

    /// Nothing is written to the store after this. A write-back under way goes on, and its layers keep their notes.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    fn run(&self) {
        loop {
            let layers = {
                let mut state = self.state();
                if state.waiting.is_empty() || state.closed {
                    state.running = false;
                    return;
                }
                std::mem::take(&mut state.waiting)
            };
            let written = layers.iter().find_map(|place| File::open(place).ok()).map(rustix::fs::syncfs);
            if let Some(Err(error)) = written {
                tracing::warn!(%error, "cannot write layers back");
                continue;
            }
            let state = self.state();
            if state.closed {
                continue;
            }
            for place in layers {
                // A layer may have been removed meanwhile.
                if let Err(error) = settle(&place)
                    && place.exists()
                {
                    tracing::warn!(%error, "layer is checked again after the next boot");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the note from a layer that is known to be whole.
pub(super) fn settle(place: &Path) -> Result<(), Error> {
    let path = place.join(INFO);
    let text = fs::read(&path).map_err(at("read", &path))?;
    let record = |source| Error::Record { path: path.clone(), source };
    let mut info: Info = serde_json::from_slice(&text).map_err(record)?;
    info.unsynced_in_boot = None;
    let text = serde_json::to_vec(&info).map_err(record)?;
    let new = place.join("layer.new");
    fs::write(&new, text).map_err(at("write", &new))?;
    fs::rename(&new, &path).map_err(at("replace", &path))
}
