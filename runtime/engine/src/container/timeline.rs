//! Where the time of an operation goes, for the log at debug level and for the metrics.

use std::fmt;
use std::time::{Duration, Instant};

use beeline_metrics::Recorder;

/// The steps of one operation and what each took.
#[derive(Debug)]
pub(crate) struct Timeline {
    last: Instant,
    steps: Vec<(&'static str, Duration)>,
}

impl Timeline {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), steps: Vec::with_capacity(8) }
    }

    /// The step with this name ends now.
    pub(crate) fn step(&mut self, name: &'static str) {
        let now = Instant::now();
        self.steps.push((name, now - self.last));
        self.last = now;
    }

    /// Counts the steps as phases of a start.
    pub(crate) fn record(&self, recorder: &Recorder) {
        for (name, took) in &self.steps {
            recorder.start_phase(name, *took);
        }
    }
}

/// `prepare 1.204 ms, publish 0.310 ms, …`.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, took)) in self.steps.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {:.3} ms", took.as_secs_f64() * 1000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_shown_in_order() {
        let mut timeline = Timeline::start();
        timeline.steps = vec![("a", Duration::from_micros(1500)), ("b", Duration::ZERO)];
        assert_eq!(timeline.to_string(), "a 1.500 ms, b 0.000 ms");
    }
}
