//! A group whose processes are held still for a moment, so that their files do not change under a reader.

use super::{Cgroup, Error};

/// Holds the processes of a group still until it is dropped.
#[derive(Debug)]
pub struct Still(Cgroup);

impl Cgroup {
    /// Holds all processes of the group still. None if they are held already: then it is not ours to let them go.
    ///
    /// # Errors
    /// As [`Cgroup::freeze`].
    pub fn hold_still(self) -> Result<Option<Still>, Error> {
        if self.is_frozen() {
            return Ok(None);
        }
        // From here on dropping lets them go.
        let still = Still(self);
        still.0.freeze(true)?;
        Ok(Some(still))
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // A group that is gone has nobody to let go.
        let _ = self.0.freeze(false);
    }
}
