//! Pressure stall information: for how long tasks of a group waited for what they needed.
//!
//! Documentation/accounting/psi.rst in the kernel's tree. The cgroup2 hierarchy has it, also beside version 1.

use std::fs;
use std::path::Path;

/// Microseconds for which tasks stalled for want of one resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stall {
    /// At least one task waited.
    pub some_us: u64,
    /// All that could run waited.
    pub full_us: u64,
}

/// Stalls by resource. `None` where the kernel does not account for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Processors.
    pub cpu: Option<Stall>,
    /// Memory.
    pub memory: Option<Stall>,
    /// Block devices.
    pub io: Option<Stall>,
}

impl Pressure {
    /// Reads a cgroup2 directory.
    pub(crate) fn read(dir: &Path) -> Self {
        let stall = |file: &str| parse(&fs::read_to_string(dir.join(file)).ok()?);
        Self { cpu: stall("cpu.pressure"), memory: stall("memory.pressure"), io: stall("io.pressure") }
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=7`, and a line `full` unless the kernel is older than 5.13.
fn parse(text: &str) -> Option<Stall> {
    let total = |kind: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(kind))?;
        line.rsplit_once("total=")?.1.parse().ok()
    };
    Some(Stall { some_us: total("some ")?, full_us: total("full ").unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let text = "some avg10=0.00 avg60=0.12 avg300=0.00 total=7000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(parse(text), Some(Stall { some_us: 7000, full_us: 12 }));
        assert_eq!(parse("some avg10=0 avg60=0 avg300=0 total=5\n"), Some(Stall { some_us: 5, full_us: 0 }));
        assert_eq!(parse(""), None);
    }
}
