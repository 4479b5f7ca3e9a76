//! What a container uses by the second, from the sums that the daemon tells.

use std::collections::VecDeque;

use beeline_wire::overview::{ContainerOverview, UsageOverview};

/// For how many seconds a container's curve is kept.
const REMEMBERED: usize = 600;

/// What a container used between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    /// The share of one processor, in percent: 200 is two.
    pub(super) cpu: f64,
    /// Bytes a second.
    pub(super) received: u64,
    pub(super) transmitted: u64,
    pub(super) read: u64,
    pub(super) written: u64,
}

/// One second of a container's curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) rates: Rates,
    /// Bytes.
    pub(super) memory: u64,
}

/// A container, and how it came to what it uses now.
#[derive(Debug, Default)]
pub(super) struct Container {
    pub(super) now: ContainerOverview,
    /// None until there are two moments to compare, and when it does not run.
    pub(super) rates: Option<Rates>,
    /// The oldest first.
    pub(super) history: VecDeque<Point>,
}

impl Container {
    /// Takes what the daemon tells next.
    pub(super) fn update(&mut self, next: ContainerOverview) {
        let is_same = |next: &UsageOverview| self.now.usage.as_ref().is_some_and(|now| now.time == next.time);
        match (&self.now.usage, &next.usage) {
            // The sampler is late: there is nothing new to compare.
            (Some(_), Some(usage)) if is_same(usage) => {}
            (Some(before), Some(usage)) => {
                let rates = rates(before, usage);
                self.rates = Some(rates);
                if self.history.len() == REMEMBERED {
                    self.history.pop_front();
                }
                self.history.push_back(Point { rates, memory: usage.memory });
            }
            _ => self.rates = None,
        }
        self.now = next;
    }
}

/// A sum that is smaller than before is another run's: nothing is known of it.
fn rates(before: &UsageOverview, now: &UsageOverview) -> Rates {
    let seconds = (now.time - before.time) as f64 / 1e9;
    let grown = |of: fn(&UsageOverview) -> u64| {
        if seconds > 0.0 { of(now).saturating_sub(of(before)) as f64 / seconds } else { 0.0 }
    };
    Rates {
        cpu: grown(|usage| usage.cpu) / 1e9 * 100.0,
        received: grown(|usage| usage.received) as u64,
        transmitted: grown(|usage| usage.transmitted) as u64,
        read: grown(|usage| usage.read) as u64,
        written: grown(|usage| usage.written) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, cpu_ms: u64, received: u64) -> ContainerOverview {
        let usage = UsageOverview {
            time: second * 1_000_000_000,
            cpu: cpu_ms * 1_000_000,
            received,
            memory: 7,
            ..UsageOverview::default()
        };
        ContainerOverview { usage: Some(usage), ..ContainerOverview::default() }
    }

    #[test]
    fn rates_are_what_was_used_by_the_second() {
        let mut container = Container::default();
        container.update(at(10, 1000, 500));
        assert_eq!(container.rates, None, "there is nothing to compare with");
        container.update(at(12, 4000, 2500));
        let expected = Rates { cpu: 150.0, received: 1000, ..Rates::default() };
        assert_eq!(container.rates, Some(expected));
        container.update(at(12, 4000, 2500));
        assert_eq!((container.rates, container.history.len()), (Some(expected), 1), "the same sample twice");
        container.update(at(13, 10, 2500));
        assert_eq!(container.rates, Some(Rates::default()), "it was started again");
        container.update(ContainerOverview::default());
        assert_eq!(container.rates, None);
        assert_eq!(container.history.len(), 2, "what was is still drawn");
    }
}
