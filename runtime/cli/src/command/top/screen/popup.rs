//! What stands before the table for a moment.

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use crate::command::top::app::{Action, Verb};
use crate::command::top::keys::HELP;

/// What the keys do.
pub(super) fn help(frame: &mut Frame<'_>) {
    let lines = HELP.iter().map(|(keys, does)| Line::from(format!("{keys:>16}   {does}"))).collect();
    draw(frame, " Keys ", lines);
}

/// Whether this is meant.
pub(super) fn confirm(frame: &mut Frame<'_>, action: &Action) {
    let consequence = match action.verb {
        Verb::Stop => "Its stop signal, then SIGKILL after its timeout.",
        Verb::Restart => "It is stopped, and started again.",
        Verb::Pause => "Its processes stand still until it is unpaused.",
        Verb::Unpause => "Its processes go on.",
    };
    let question = format!("{} {}?", action.verb.name(), action.container.name);
    let lines = [question.as_str(), consequence, "", "y does it, any other key does not."];
    draw(frame, " Sure? ", lines.map(|line| Line::from(line.to_owned())).to_vec());
}

fn draw(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>) {
    let width = lines.iter().map(Line::width).max().unwrap_or(0) + 4;
    let size = |length: usize| Constraint::Length(u16::try_from(length).unwrap_or(u16::MAX));
    let [area] = Layout::horizontal([size(width)]).flex(Flex::Center).areas(frame.area());
    let [area]: [Rect; 1] = Layout::vertical([size(lines.len() + 2)]).flex(Flex::Center).areas(area);
    let block = Block::bordered().title(title.to_owned()).padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
