//! What was measured: by way and kind, in the order it was measured.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{Kind, report};
use super::goals::Goal;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::bench) struct Figure {
    /// Requests, connections or bits per second.
    pub(in crate::bench) rate: f64,
    /// The 99th percentile of a request's time, in seconds; zero for a stream.
    p99: f64,
}

impl Figure {
    /// Reads what `load measure` prints.
    pub(in crate::bench) fn parse(printed: &str) -> Option<Self> {
        let (rate, p99) = printed.trim().split_once(' ')?;
        Some(Self { rate: rate.parse().ok()?, p99: p99.parse().ok()? })
    }
}

/// All figures of a scenario. Its first way is what the others are compared with.
pub(super) struct Figures {
    pub(super) title: &'static str,
    names: Vec<&'static str>,
    goals: &'static [Goal],
    figures: BTreeMap<(&'static str, &'static str), Vec<Figure>>,
}

impl Figures {
    pub(super) fn new(title: &'static str, names: Vec<&'static str>, goals: &'static [Goal]) -> Self {
        Self { title, names, goals, figures: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, way: &'static str, kind: Kind, figure: Figure) {
        self.figures.entry((way, kind.argument())).or_default().push(figure);
    }

    fn runs(&self, way: &'static str, kind: Kind) -> &[Figure] {
        self.figures.get(&(way, kind.argument())).map_or(&[], Vec::as_slice)
    }

    fn rate(&self, way: &'static str, kind: Kind) -> f64 {
        report::median(&rates(self.runs(way, kind)))
    }

    /// The share of the first way's rate.
    fn share(&self, way: &'static str, kind: Kind) -> f64 {
        self.names.first().map_or(f64::NAN, |first| self.beside(way, first, kind, |figure| figure.rate))
    }

    /// A figure's share of another way's, each run beside that of the same round: a machine's mood changes less within a
    /// round than between two.
    fn beside(&self, way: &'static str, other: &'static str, kind: Kind, of: impl Fn(&Figure) -> f64) -> f64 {
        let runs = self.runs(way, kind).iter().zip(self.runs(other, kind));
        report::median(&runs.map(|(run, other)| of(run) / of(other)).collect::<Vec<f64>>())
    }

    /// What is to be reached beside ways that are here, and whether it is.
    pub(super) fn goals(&self) -> String {
        let here = self.goals.iter().filter(|goal| self.names.contains(&goal.beside));
        let rows: Vec<Vec<String>> = here.map(|goal| self.judge(goal)).collect();
        let heads = ["goal", "requests", "connections", "stream", "p99 of requests, of connections"];
        report::table(&heads, &rows)
    }

    fn judge(&self, goal: &Goal) -> Vec<String> {
        let said = |met| if met { "met" } else { "missed" };
        let rates = Kind::ALL.map(|kind| {
            let share = self.beside(goal.way, goal.beside, kind, |figure| figure.rate);
            match goal.rate(kind) {
                Some(least) => format!("{share:.2}x, >= {least:.2}x: {}", said(share >= least)),
                None => format!("{share:.2}x"),
            }
        });
        let latencies = [Kind::Requests, Kind::Connections].map(|kind| {
            let share = self.beside(goal.way, goal.beside, kind, |figure| figure.p99);
            if goal.p99 { format!("{share:.2}x: {}", said(share <= 1.0)) } else { format!("{share:.2}x") }
        });
        let title = format!("{} beside {}", goal.way, goal.beside);
        std::iter::once(title).chain(rates).chain([latencies.join(", ")]).collect()
    }

    /// The median of the 99th percentiles of a request's time, in microseconds.
    fn p99(&self, way: &'static str, kind: Kind) -> f64 {
        let runs = self.runs(way, kind).iter().map(|figure| figure.p99 * 1e6);
        report::median(&runs.collect::<Vec<f64>>())
    }

    /// Rates, and their share of the first way's; and how long all but one request in a hundred take.
    pub(super) fn table(&self) -> String {
        let row = |&way: &&'static str| {
            let cells = Kind::ALL.map(|kind| {
                let rate = self.rate(way, kind);
                let figure = match kind {
                    Kind::Stream => format!("{:.1} Gbit/s", rate / 1e9),
                    Kind::Requests | Kind::Connections => format!("{rate:.0} /s"),
                };
                format!("{figure} ({:.2}x)", self.share(way, kind))
            });
            let latency = format!("{:.0} µs", self.p99(way, Kind::Requests));
            std::iter::once(way.to_owned()).chain(cells).chain([latency]).collect()
        };
        let rows: Vec<Vec<String>> = self.names.iter().map(row).collect();
        report::table(&[self.title, "requests", "connections", "stream", "p99 of requests"], &rows)
    }

    pub(super) fn json(&self) -> Value {
        let entry = |&way: &&'static str| {
            let kinds = Kind::ALL.map(|kind| {
                let figures = json!({
                    "median": self.rate(way, kind),
                    "of_first": self.share(way, kind),
                    "p99_microseconds": self.p99(way, kind),
                    "runs": rates(self.runs(way, kind)),
                });
                (kind.argument(), figures)
            });
            let mut value = json!(BTreeMap::from(kinds));
            value["way"] = json!(way);
            value
        };
        json!({ "scenario": self.title, "ways": self.names.iter().map(entry).collect::<Vec<Value>>() })
    }
}

fn rates(runs: &[Figure]) -> Vec<f64> {
    runs.iter().map(|figure| figure.rate).collect()
}

#[cfg(test)]
mod tests {
    use super::super::goals;
    use super::*;

    #[test]
    fn figures_are_read_as_they_are_printed() {
        assert_eq!(Figure::parse("1234.5 0.00025\n"), Some(Figure { rate: 1234.5, p99: 0.000_25 }));
        assert_eq!(Figure::parse("refused"), None);
    }

    #[test]
    fn the_median_counts_and_shares_are_of_the_same_round() {
        let mut figures = Figures::new("scenario", vec!["ceiling", "beeline"], goals::LOOPBACK);
        for (ceiling, beeline) in [(100.0, 90.0), (10.0, 9.5), (200.0, 100.0)] {
            for (way, rate) in [("ceiling", ceiling), ("beeline", beeline)] {
                figures.add(way, Kind::Requests, Figure { rate, p99: 0.000_25 });
            }
        }
        assert!(figures.table().contains("90 /s (0.90x)"), "{}", figures.table());
        assert!(figures.table().contains("250 µs"), "{}", figures.table());
        assert_eq!(figures.json()["ways"][1]["requests"]["of_first"], 0.9);
        let goals = figures.goals();
        assert!(goals.contains("0.90x, >= 0.90x: met") && !goals.contains("dockerd"), "{goals}");
    }
}
