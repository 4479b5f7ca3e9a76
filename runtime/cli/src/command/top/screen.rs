//! The screen: from what there is to a frame. Everything is said in words and signs; colours only underline it.

mod curves;
mod popup;
mod table;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style as Look};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::app::{App, Mode};
use super::column::compact;

/// The height of the curves.
const CURVES: u16 = 9;
/// The least height of a screen that shows curves.
const LEAST_WITH_CURVES: u16 = 18;

/// Whether colours may be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    colours: bool,
}

impl Style {
    /// As <https://no-color.org> has it.
    pub(super) fn of_environment() -> Self {
        Self { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn colour(self, colour: Color) -> Look {
        if self.colours { Look::new().fg(colour) } else { Look::new() }
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, style: Style) {
    let with_curves = app.graphs && app.selected().is_some() && frame.area().height >= LEAST_WITH_CURVES;
    let heights = [
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(if with_curves { CURVES } else { 0 }),
        Constraint::Length(1),
    ];
    let [head, table, curves, foot] = Layout::vertical(heights).areas(frame.area());
    draw_head(frame, head, app);
    table::draw(frame, table, app, style);
    if let Some(container) = app.selected().filter(|_| with_curves) {
        curves::draw(frame, curves, container, style);
    }
    draw_foot(frame, foot, app);
    match &app.mode {
        Mode::Help => popup::help(frame),
        Mode::Confirm(action) => popup::confirm(frame, action),
        Mode::Table | Mode::Filter => {}
    }
}

/// One line about all containers, or that the daemon does not answer.
fn draw_head(frame: &mut Frame<'_>, area: Rect, app: &App) {
    if let Some(why) = &app.lost {
        let text = format!(" NO ANSWER, asking again every second; below is what was. {why}");
        frame.render_widget(Paragraph::new(text).style(Modifier::REVERSED | Modifier::BOLD), area);
        return;
    }
    let (mut all, mut running, mut cpu, mut memory) = (0, 0, 0.0, 0);
    for container in app.all_containers() {
        all += 1;
        running += usize::from(container.now.usage.is_some());
        cpu += container.rates.map_or(0.0, |rates| rates.cpu);
        memory += container.now.usage.as_ref().map_or(0, |used| used.memory);
    }
    let descends = app.sort.is_text() == app.reversed;
    let way = if descends { "\u{25bc}" } else { "\u{25b2}" };
    let mut text = format!(
        " {running} of {all} containers run   CPU {cpu:.1}%   MEM {}   by {} {way}",
        compact(memory),
        app.sort.title()
    );
    if !app.filter.is_empty() {
        text.push_str(&format!("   only \"{}\"", app.filter));
    }
    frame.render_widget(Paragraph::new(text).style(Modifier::BOLD), area);
}

/// What is being typed, what became of the last command, or the keys.
fn draw_foot(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let keys = " ? help  / filter  < > sort  Enter curves  l logs  e shell  s stop  q quit";
    let line = match (&app.mode, &app.message) {
        (Mode::Filter, _) => {
            Line::from(format!(" show only: {}\u{2588}   Enter keeps it, Esc shows all", app.filter))
        }
        (_, Some(message)) => Line::from(format!(" {message}")).style(Modifier::BOLD),
        (_, None) => Line::from(keys),
    };
    frame.render_widget(Paragraph::new(line), area);
}

#[cfg(test)]
pub(super) mod tests;
