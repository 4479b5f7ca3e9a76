//! One kind of work, done in several ways that take turns; what it took, and what it may take.

use anyhow::Result;
use serde_json::{Value, json};

use super::report;
use crate::interrupt;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    PerSecond,
    Gigabits,
    Percent,
    KiB,
    MiB,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Gigabits => format!("{value:.1} Gbit/s"),
            Self::Percent => format!("{value:.3} %"),
            Self::KiB => format!("{value:.0} KiB"),
            Self::MiB => format!("{value:.1} MiB"),
        }
    }
}

/// The way that is judged, and the first of every table.
pub(super) const OURS: &str = "beeline";

/// What [`OURS`] is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// At most this share of another way's figure.
    ShareOf(&'static str, f64),
    /// At least this share of it.
    LeastShareOf(&'static str, f64),
}

#[derive(Debug)]
struct Way {
    /// Told apart by this.
    name: &'static str,
    /// What is shown: with a version, for instance.
    title: String,
    figures: Vec<f64>,
    /// Why there are none.
    absent: Option<String>,
}

/// The figures of all ways, [`OURS`] first.
#[derive(Debug)]
pub(super) struct Work {
    title: String,
    unit: Unit,
    ways: Vec<Way>,
    goals: Vec<Goal>,
}

impl Work {
    pub(super) fn new(title: impl Into<String>, unit: Unit, goals: &[Goal]) -> Self {
        let mut work = Self { title: title.into(), unit, ways: Vec::new(), goals: goals.to_vec() };
        work.way(OURS, OURS);
        work
    }

    /// Notes a figure of the way with this name.
    pub(super) fn add(&mut self, name: &'static str, title: &str, figure: f64) {
        let way = self.way(name, title);
        title.clone_into(&mut way.title);
        way.figures.push(figure);
    }

    /// Notes that a way cannot be gone here, and why.
    pub(super) fn absent(&mut self, name: &'static str, reason: &str) {
        self.way(name, name).absent = Some(reason.to_owned());
    }

    fn way(&mut self, name: &'static str, title: &str) -> &mut Way {
        let at = self.ways.iter().position(|way| way.name == name).unwrap_or_else(|| {
            let title = title.to_owned();
            self.ways.push(Way { name, title, figures: Vec::new(), absent: None });
            self.ways.len() - 1
        });
        &mut self.ways[at]
    }

    /// Our figures and those of another way, of the same turns.
    pub(super) fn pairs(&self, name: &str) -> Vec<(f64, f64)> {
        let figures =
            |name| self.ways.iter().find(|way| way.name == name).map_or(&[][..], |way| &way.figures);
        figures(OURS).iter().copied().zip(figures(name).iter().copied()).collect()
    }

    /// The share of another way's figures that ours are, each beside that of the same turn: a machine's mood
    /// changes less within a turn than between two.
    fn share(&self, of: &Way) -> f64 {
        let pairs = self.pairs(of.name);
        report::median(&pairs.into_iter().map(|(ours, its)| ours / its).collect::<Vec<f64>>())
    }

    /// The goal that concerns this way, with whether it is met.
    fn goal(&self, at: usize, way: &Way) -> String {
        let median = report::median(&way.figures);
        let said = self.goals.iter().filter_map(|goal| {
            let (text, met) = match *goal {
                Goal::AtMost(most) if at == 0 => (format!("<= {}", self.unit.show(most)), median <= most),
                Goal::AtLeast(least) if at == 0 => (format!(">= {}", self.unit.show(least)), median >= least),
                Goal::ShareOf(name, most) if name == way.name => {
                    (format!("<= {most:.3}x"), self.share(way) <= most)
                }
                Goal::LeastShareOf(name, least) if name == way.name => {
                    (format!(">= {least:.3}x"), self.share(way) >= least)
                }
                _ => return None,
            };
            Some(format!("{text}: {}", if met { "met" } else { "missed" }))
        });
        said.collect::<Vec<String>>().join(", ")
    }

    /// The rows of the table: a way each, with the share of its figure that Beeline's is.
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |(at, way): (usize, &Way)| {
            let work = if at == 0 { self.title.clone() } else { String::new() };
            if let Some(reason) = &way.absent {
                return vec![
                    work,
                    way.title.clone(),
                    format!("not here: {reason}"),
                    String::new(),
                    String::new(),
                    String::new(),
                ];
            }
            let fold =
                |pick: fn(f64, f64) -> f64| way.figures.iter().copied().reduce(pick).unwrap_or(f64::NAN);
            vec![
                work,
                way.title.clone(),
                self.unit.show(report::median(&way.figures)),
                format!("{} - {}", self.unit.show(fold(f64::min)), self.unit.show(fold(f64::max))),
                if at == 0 { String::new() } else { format!("{:.3}x", self.share(way)) },
                self.goal(at, way),
            ]
        };
        self.ways.iter().enumerate().map(row).collect()
    }

    pub(super) fn json(&self) -> Value {
        let entry = |(at, way): (usize, &Way)| {
            json!({
                "way": way.title,
                "median": (way.absent.is_none()).then(|| report::median(&way.figures)),
                "runs": way.figures,
                "beeline_is": (at > 0 && way.absent.is_none()).then(|| self.share(way)),
                "goal": self.goal(at, way),
                "absent": way.absent,
            })
        };
        let ways: Vec<Value> = self.ways.iter().enumerate().map(entry).collect();
        json!({ "work": self.title, "unit": format!("{:?}", self.unit), "ways": ways })
    }
}

/// All works of a part of the bench.
pub(super) struct Report(pub(super) Vec<Work>);

impl Report {
    pub(super) fn table(&self) -> String {
        table(&self.0)
    }

    pub(super) fn json(&self) -> Value {
        self.0.iter().map(Work::json).collect()
    }
}

/// One table of all works.
fn table(works: &[Work]) -> String {
    let rows: Vec<Vec<String>> = works.iter().flat_map(Work::rows).collect();
    report::table(&["work", "way", "median", "range", "beeline is", "goal"], &rows)
}

/// Lets `ways` take `count` turns, another one first in each. `once` is given each way, and whether the turn counts: the
/// first only warms the caches up.
pub(super) fn take_turns<T>(
    count: u32,
    ways: &mut [T],
    mut once: impl FnMut(&mut T, bool) -> Result<()>,
) -> Result<()> {
    for turn in 0..=count as usize {
        for place in 0..ways.len() {
            interrupt::check()?;
            let at = if turn == 0 { place } else { (turn + place) % ways.len() };
            once(&mut ways[at], turn > 0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_medians_and_by_shares_of_the_same_turn() {
        let goals = [Goal::AtMost(8.0), Goal::ShareOf("runc", 0.25), Goal::LeastShareOf("runc", 0.3)];
        let mut work = Work::new("run", Unit::Milliseconds, &goals);
        for (ours, its) in [(5.0, 40.0), (9.0, 30.0), (6.0, 20.0)] {
            work.add("beeline", "beeline", ours);
            work.add("runc", "runc 1.1", its);
        }
        work.absent("crun", "cgroups in hybrid mode");
        let table = table(std::slice::from_ref(&work));
        assert!(table.contains("<= 8.0 ms: met"), "{table}");
        assert!(table.contains("0.300x") && table.contains("<= 0.250x: missed, >= 0.300x: met"), "{table}");
        assert!(table.contains("not here: cgroups in hybrid mode"), "{table}");
        assert_eq!(work.json()["ways"][1]["runs"][2], 20.0);
    }

    #[test]
    fn another_way_begins_each_turn_and_the_first_turn_does_not_count() {
        let mut order = Vec::new();
        take_turns(2, &mut ["a", "b"], |way, counts| {
            order.push((*way, counts));
            Ok(())
        })
        .unwrap();
        let expected = [("a", false), ("b", false), ("b", true), ("a", true), ("a", true), ("b", true)];
        assert_eq!(order, expected);
    }
}
