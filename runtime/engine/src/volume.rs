//! Volumes: directories, or file systems, that outlive containers.
//!
//! ```text
//! ROOT/volumes/NAME/_data     what containers see, Docker's place for it; a mount of the volume's options goes on it
//!                  /copying   an image's content that is being copied; removed at boot
//!                  /copied    such content that is complete and moves to _data; finished at boot
//!             /.NAME          a volume that is being removed; removed at boot
//! ```
//! One task makes and removes volumes, and each has a task of its own for what may take long: mounting and copying.
//! Which containers have a volume is kept with it, so that nobody has to ask all of them.

mod config;
mod copy;
mod filter;
mod keeper;
mod mount;
mod options;
mod reconcile;
mod remove;
mod set;
mod task;
mod view;

pub use config::VolumeConfig;
pub use view::VolumeView;

pub(crate) use config::{ANONYMOUS, VolumeRecord, check_driver, check_name};
pub(crate) use filter::select;
pub(crate) use keeper::{Request, keep, queue};
pub(crate) use mount::is_mounted;
pub(crate) use options::check as check_options;
pub(crate) use reconcile::{reconcile, settle};
pub(crate) use set::{Volume, Volumes};
pub(crate) use view::view;

use std::path::{Path, PathBuf};

/// Where volumes are, below the daemon's root.
pub(crate) fn volumes_dir(root: &Path) -> PathBuf {
    root.join("volumes")
}

/// What containers see of a volume.
pub(crate) fn data_dir(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name).join("_data")
}
