//! How much is refused, for those who look on.

use beeline_net::DropReason;

use super::Engine;
use crate::error::Error;
use crate::flow::hint;

/// Packets that were refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The reason's name, as metrics label it.
    pub reason: &'static str,
    /// What it means, and what to do about it.
    pub hint: &'static str,
    /// How many there were.
    pub packets: u64,
}

impl Engine {
    /// How many packets were refused, by reason.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn refused(&self) -> Result<Vec<Refused>, Error> {
        let drops = self.shared.net.drops();
        let drops = drops.map_err(|error| Error::internal("read the counters of drops", &error))?;
        let refused = |(reason, packets): (DropReason, u64)| Refused {
            reason: reason.name(),
            hint: hint(reason),
            packets,
        };
        Ok(drops.into_iter().map(refused).collect())
    }
}
