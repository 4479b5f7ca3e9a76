//! What a task says while it works: one line a step, with the time the step took.

#![allow(clippy::print_stderr, reason = "tasks talk to the terminal")]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// One step of a task. A terminal sees a spinner with the last line of output; a log sees the start and the end.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    title: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    pub(crate) fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let bar = std::io::stderr().is_terminal().then(|| spinner(&title));
        if bar.is_none() {
            eprintln!("     {title} ...");
        }
        Self { title, start: Instant::now(), bar }
    }

    /// Shows `text` behind the title, on a terminal only.
    pub(crate) fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.chars().take(60).collect::<String>());
        }
    }

    /// Ends the step well; `note` says what came of it and may be empty.
    pub(crate) fn done(self, note: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let separator = if note.is_empty() { "" } else { ": " };
        eprintln!("  ok {}{separator}{note} ({})", self.title, seconds(self.start.elapsed()));
    }

    /// Ends the step badly, and hands the error on.
    pub(crate) fn failed(self, error: anyhow::Error) -> anyhow::Error {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("FAIL {} ({})", self.title, seconds(self.start.elapsed()));
        error
    }
}

/// Runs `work` as a step called `title`.
pub(crate) fn step<T>(title: &str, work: impl FnOnce(&Step) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let step = Step::start(title);
    match work(&step) {
        Ok(value) => {
            step.done("");
            Ok(value)
        }
        Err(error) => Err(step.failed(error)),
    }
}

/// A remark between the steps.
pub(crate) fn note(text: &str) {
    eprintln!("   - {text}");
}

/// The error that ended a task, with all its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// A duration as a person reads it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short if short < 1.0 => format!("{:.0} ms", short * 1000.0),
        long if long < 100.0 => format!("{long:.1} s"),
        long => format!("{} min {:02} s", long as u64 / 60, long as u64 % 60),
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix} [{elapsed}] {msg:.dim}") {
        bar.set_style(style);
    }
    bar.set_prefix(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(7)), "7 ms");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
