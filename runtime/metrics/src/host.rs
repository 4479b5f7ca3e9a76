//! What the host's processors did, to set a container's share against.

use std::fs;

/// The kernel's unit in /proc/stat, USER_HZ: a hundredth of a second on every architecture Linux runs containers on.
const TICK_NS: u64 = 10_000_000;

/// The host's processor time at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCpu {
    /// Nanoseconds of all processors together, idling included.
    pub total_ns: u64,
    /// Processors that are on.
    pub online: u32,
}

impl HostCpu {
    /// Reads /proc/stat; zeroes if it cannot be read.
    pub fn read() -> Self {
        parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }
}

fn parse(text: &str) -> HostCpu {
    let mut host = HostCpu::default();
    for line in text.lines().take_while(|line| line.starts_with("cpu")) {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some("cpu") {
            // user, nice, system, idle, iowait, irq, softirq, steal; the time of guests is part of user's.
            let ticks: u64 = words.take(8).filter_map(|word| word.parse::<u64>().ok()).sum();
            host.total_ns = ticks.saturating_mul(TICK_NS);
        } else {
            host.online += 1;
        }
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_guests_is_not_counted_twice() {
        let text =
            "cpu  1 2 3 4 5 6 7 8 900 900\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 0 1 2 3 4 5 6 7 0 0\nintr 5\n";
        assert_eq!(parse(text), HostCpu { total_ns: 36 * TICK_NS, online: 2 });
    }
}
