//! The table's columns: their cells, and what sorting by them means.

use std::cmp::Ordering;

use clap::ValueEnum;

use super::meter::{Container, Rates};

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Column {
    /// The container's name
    Name,
    /// Its health if it is probed, else its state
    Status,
    /// The share of one processor
    Cpu,
    /// Memory without what can be dropped at once
    Memory,
    /// The share of its limit
    Share,
    /// Bytes received by the second
    Rx,
    /// Bytes sent by the second
    Tx,
    /// Bytes read from block devices by the second
    Read,
    /// Bytes written by the second
    Write,
    /// Processes and threads
    Pids,
    /// How often the restart policy has started it again
    Restarts,
    /// The image
    Image,
}

/// All of them, as a wide screen shows them.
pub(super) const COLUMNS: [Column; 12] = [
    Column::Name,
    Column::Status,
    Column::Cpu,
    Column::Memory,
    Column::Share,
    Column::Rx,
    Column::Tx,
    Column::Read,
    Column::Write,
    Column::Pids,
    Column::Restarts,
    Column::Image,
];

/// What a container that does not run uses.
const NONE: &str = "-";

impl Column {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Status => "STATUS",
            Self::Cpu => "CPU%",
            Self::Memory => "MEM",
            Self::Share => "MEM%",
            Self::Rx => "RX/s",
            Self::Tx => "TX/s",
            Self::Read => "READ/s",
            Self::Write => "WRITE/s",
            Self::Pids => "PIDS",
            Self::Restarts => "RST",
            Self::Image => "IMAGE",
        }
    }

    /// Its width on the screen; none takes what the others leave.
    pub(super) fn width(self) -> Option<u16> {
        match self {
            Self::Name | Self::Image => None,
            Self::Status => Some(10),
            Self::Restarts => Some(3),
            Self::Pids => Some(4),
            Self::Write => Some(7),
            Self::Cpu | Self::Memory | Self::Share | Self::Rx | Self::Tx | Self::Read => Some(6),
        }
    }

    /// The screen's width from which on it is shown.
    pub(super) fn least_screen(self) -> u16 {
        match self {
            Self::Image => 110,
            Self::Share => 90,
            _ => 0,
        }
    }

    /// Texts stand left, numbers right; and the largest number comes first.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Status | Self::Image)
    }

    pub(super) fn cell(self, container: &Container) -> String {
        let now = &container.now;
        let used = now.usage.as_ref();
        let rate = |of: fn(&Rates) -> u64| container.rates.as_ref().map(|rates| compact(of(rates)));
        let cell = match self {
            Self::Name => Some(now.name.clone()),
            Self::Status => Some(status(container).to_owned()),
            Self::Cpu => container.rates.map(|rates| format!("{:.1}", rates.cpu)),
            Self::Memory => used.map(|used| compact(used.memory)),
            Self::Share => used.map(|_| format!("{:.1}", share(container))),
            Self::Rx => rate(|rates| rates.received),
            Self::Tx => rate(|rates| rates.transmitted),
            Self::Read => rate(|rates| rates.read),
            Self::Write => rate(|rates| rates.written),
            Self::Pids => used.map(|used| used.tasks.to_string()),
            Self::Restarts => Some(now.restarts.to_string()),
            Self::Image => Some(now.image.clone()),
        };
        cell.unwrap_or_else(|| NONE.to_owned())
    }

    /// The order of a column's cells, the smallest first; what does not run is smallest.
    pub(super) fn compare(self, a: &Container, b: &Container) -> Ordering {
        let by = |of: fn(&Container) -> Option<u64>| of(a).cmp(&of(b));
        match self {
            Self::Name => a.now.name.cmp(&b.now.name),
            Self::Status => status(a).cmp(status(b)),
            Self::Cpu => {
                let cpu = |container: &Container| container.rates.map_or(-1.0, |rates| rates.cpu);
                cpu(a).total_cmp(&cpu(b))
            }
            Self::Memory => by(|container| container.now.usage.as_ref().map(|used| used.memory)),
            Self::Share => share(a).total_cmp(&share(b)),
            Self::Rx => by(|container| container.rates.map(|rates| rates.received)),
            Self::Tx => by(|container| container.rates.map(|rates| rates.transmitted)),
            Self::Read => by(|container| container.rates.map(|rates| rates.read)),
            Self::Write => by(|container| container.rates.map(|rates| rates.written)),
            Self::Pids => by(|container| container.now.usage.as_ref().map(|used| used.tasks)),
            Self::Restarts => by(|container| Some(container.now.restarts)),
            Self::Image => a.now.image.cmp(&b.now.image),
        }
    }
}

/// A probed container that runs is as healthy as it is.
pub(super) fn status(container: &Container) -> &str {
    let now = &container.now;
    if now.state == "running" && !now.health.is_empty() { &now.health } else { &now.state }
}

/// The share of its memory limit in percent, negative if nothing is known.
fn share(container: &Container) -> f64 {
    container.now.usage.as_ref().map_or(-1.0, |used| {
        if used.memory_limit == 0 { 0.0 } else { used.memory as f64 / used.memory_limit as f64 * 100.0 }
    })
}

/// Bytes in at most five characters, in powers of 1024: `0`, `1023`, `1.5K`, `64.0M`, `150G`.
pub(super) fn compact(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "";
    for next in ["K", "M", "G", "T", "P"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let decimals = usize::from(!unit.is_empty() && value < 99.95);
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_a_narrow_column() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (102_348, "99.9K"),
            (102_400, "100K"),
            (1_048_570, "1.0M"),
            (64 << 20, "64.0M"),
            (150 << 30, "150G"),
        ] {
            assert_eq!(compact(bytes), text);
        }
        assert!(compact(u64::MAX).len() <= 6);
    }

    #[test]
    fn at_eighty_columns_a_name_has_room() {
        let shown: Vec<_> = COLUMNS.into_iter().filter(|column| column.least_screen() <= 80).collect();
        let fixed: u16 = shown.iter().filter_map(|column| column.width()).sum();
        let gaps = u16::try_from(shown.len()).unwrap() - 1;
        assert!(80 - fixed - gaps >= 16, "{fixed} and {gaps} of 80 are taken");
    }
}
