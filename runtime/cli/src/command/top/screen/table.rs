//! The containers, as many as there is room for.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Color, Modifier, Style as Look};
use ratatui::text::Text;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::Style;
use crate::command::top::app::App;
use crate::command::top::column::{COLUMNS, Column, status};
use crate::command::top::meter::Container;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, style: Style) {
    let columns: Vec<Column> =
        COLUMNS.into_iter().filter(|column| column.least_screen() <= area.width).collect();
    let title = |column: &Column| {
        // Underlined: what the rows are sorted by.
        let sorted = if *column == app.sort { Modifier::UNDERLINED } else { Modifier::empty() };
        cell(*column, column.title().to_owned()).style(sorted | Modifier::BOLD)
    };
    let row = |container: &Container| {
        let cells = columns.iter().map(|column| {
            let look = if *column == Column::Status { look(status(container), style) } else { Look::new() };
            cell(*column, column.cell(container)).style(look)
        });
        Row::new(cells.collect::<Vec<_>>())
    };
    let widths = columns.iter().map(|column| column.width().map_or(Constraint::Fill(1), Constraint::Length));
    let table = Table::new(app.shown().map(row), widths)
        .header(Row::new(columns.iter().map(title)))
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(app.place());
    frame.render_stateful_widget(table, area, &mut state);
    if app.place().is_none() && area.height > 2 {
        let text = if app.filter.is_empty() {
            "No container runs. `a` shows those that do not run, too."
        } else {
            "No container has that in its name, image or state. Esc shows all."
        };
        let below = Rect { y: area.y + 2, height: 1, ..area };
        frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), below);
    }
}

fn cell(column: Column, text: String) -> Cell<'static> {
    let alignment = if column.is_text() { Alignment::Left } else { Alignment::Right };
    Cell::from(Text::from(text).alignment(alignment))
}

/// A state's colour. Its name says the same.
fn look(state: &str, style: Style) -> Look {
    match state {
        "healthy" | "running" => style.colour(Color::Green),
        "unhealthy" | "dead" => style.colour(Color::Red).add_modifier(Modifier::BOLD),
        "starting" | "restarting" | "paused" => style.colour(Color::Yellow),
        _ => Look::new(),
    }
}
