//! What the chosen container used, second by second, the newest at the right.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier};
use ratatui::widgets::{Block, Borders, Sparkline};

use super::Style;
use crate::command::top::column::compact;
use crate::command::top::meter::{Container, Point};

/// One curve: its title, how a value of it is written, and its colour.
struct Curve {
    title: &'static str,
    of: fn(&Point) -> u64,
    text: fn(u64) -> String,
    colour: Color,
}

const CURVES: [Curve; 6] = [
    Curve { title: "CPU", of: |point| (point.rates.cpu * 10.0) as u64, text: percent, colour: Color::Green },
    Curve { title: "RX/s", of: |point| point.rates.received, text: compact, colour: Color::Cyan },
    Curve { title: "READ/s", of: |point| point.rates.read, text: compact, colour: Color::Magenta },
    Curve { title: "MEM", of: |point| point.memory, text: compact, colour: Color::Yellow },
    Curve { title: "TX/s", of: |point| point.rates.transmitted, text: compact, colour: Color::Cyan },
    Curve { title: "WRITE/s", of: |point| point.rates.written, text: compact, colour: Color::Magenta },
];

/// From tenths of a percent.
fn percent(tenths: u64) -> String {
    format!("{:.1}%", tenths as f64 / 10.0)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, container: &Container, style: Style) {
    let title = format!(" {} ", container.now.name);
    let frame_of_all = Block::new().borders(Borders::TOP).title(title).title_style(Modifier::BOLD);
    let inner = frame_of_all.inner(area);
    frame.render_widget(frame_of_all, area);
    let rows = Layout::vertical([Constraint::Fill(1); 2]).split(inner);
    let places = rows.iter().flat_map(|row| {
        Layout::horizontal([Constraint::Fill(1); 3])
            .spacing(2)
            .split(*row)
            .iter()
            .copied()
            .collect::<Vec<_>>()
    });
    for (curve, place) in CURVES.iter().zip(places) {
        draw_curve(frame, place, curve, container, style);
    }
}

fn draw_curve(frame: &mut Frame<'_>, area: Rect, curve: &Curve, container: &Container, style: Style) {
    let skipped = container.history.len().saturating_sub(usize::from(area.width));
    let values: Vec<u64> = container.history.iter().skip(skipped).map(curve.of).collect();
    let highest = values.iter().copied().max().unwrap_or(0);
    let now = container.rates.and(values.last().copied()).map_or_else(|| "-".to_owned(), curve.text);
    let title = format!("{} {now}, max {}", curve.title, (curve.text)(highest));
    // The newest stands at the right from the first second on.
    let absent = usize::from(area.width).saturating_sub(values.len());
    let bars: Vec<Option<u64>> =
        std::iter::repeat_n(None, absent).chain(values.into_iter().map(Some)).collect();
    let sparkline = Sparkline::default()
        .data(bars)
        .absent_value_symbol(" ")
        .max(highest.max(1))
        .style(style.colour(curve.colour))
        .block(Block::new().title(title));
    frame.render_widget(sparkline, area);
}
