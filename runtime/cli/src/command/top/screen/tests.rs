//! What the screens look like.

use beeline_wire::overview::{ContainerOverview, UsageOverview};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::{Style, draw};
use crate::command::top::app::App;
use crate::command::top::column::Column;
use crate::command::top::feed::News;
use crate::command::top::keys;

/// A container that used so much of everything for `second` seconds.
fn container(name: &str, state: &str, health: &str, second: i64, load: u64) -> ContainerOverview {
    let seconds = second.unsigned_abs();
    let usage = UsageOverview {
        time: second * 1_000_000_000,
        // More and more by the second.
        cpu: load * seconds * (seconds + 5) * 1_000_000,
        memory: load << 20,
        memory_limit: 512 << 20,
        received: load * seconds * 1000,
        transmitted: load * seconds * 250_000,
        read: 0,
        written: load * (seconds % 3) * 4096,
        tasks: 1 + load / 10,
    };
    ContainerOverview {
        id: format!("id-of-{name}"),
        name: name.into(),
        image: format!("registry.test/{name}:1"),
        state: state.into(),
        health: health.into(),
        restarts: load / 30,
        usage: (state != "exited").then_some(usage),
    }
}

/// Three containers that run and one that does not, watched for forty seconds.
pub(in crate::command::top) fn example() -> App {
    let mut app = App::new(Column::Cpu, false, String::new());
    for second in 1..=40 {
        app.update(vec![
            container("web", "running", "", second, 4),
            container("api", "running", "unhealthy", second, 90),
            container("database", "paused", "healthy", second, 0),
            container("job", "exited", "", second, 1),
        ]);
    }
    app
}

fn press(app: &mut App, keys: &[KeyCode]) {
    for key in keys {
        keys::press(app, KeyEvent::from(*key));
    }
}

fn screen(app: &App, columns: u16, rows: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, app, Style { colours: true })).unwrap();
    terminal.backend().clone()
}

#[test]
fn a_small_screen_has_room_for_figures_and_curves() {
    insta::assert_snapshot!(screen(&example(), 80, 24));
}

#[test]
fn a_wide_screen_has_more_columns() {
    insta::assert_snapshot!(screen(&example(), 130, 30));
}

#[test]
fn a_tiny_screen_has_the_table_alone() {
    insta::assert_snapshot!(screen(&example(), 60, 8));
}

#[test]
fn a_stop_is_asked_for() {
    let mut app = example();
    press(&mut app, &[KeyCode::Char('s')]);
    insta::assert_snapshot!(screen(&app, 80, 24));
}

#[test]
fn help_tells_of_every_key() {
    let mut app = example();
    press(&mut app, &[KeyCode::Char('?')]);
    insta::assert_snapshot!(screen(&app, 80, 24));
}

#[test]
fn what_is_filtered_for_is_seen_while_it_is_typed() {
    let mut app = example();
    press(&mut app, &[KeyCode::Char('/'), KeyCode::Char('w'), KeyCode::Char('e')]);
    insta::assert_snapshot!(screen(&app, 80, 12));
}

#[test]
fn a_daemon_that_does_not_answer_is_told_of_until_it_does() {
    let mut app = example();
    app.hear(News::Lost("no daemon answers at unix:///run/beeline/beeline.sock".into()));
    let text = |app: &App| screen(app, 100, 12).to_string();
    assert!(
        text(&app).contains("NO ANSWER, asking again every second; below is what was."),
        "{}",
        text(&app)
    );
    assert!(text(&app).contains("unhealthy"), "what was known is still there");
    app.hear(News::Moment(vec![container("web", "running", "", 41, 4)]));
    assert!(text(&app).contains("1 of 1 containers run"), "{}", text(&app));
}

#[test]
fn without_colours_it_says_the_same() {
    let app = example();
    let drawn = |colours| {
        let mut terminal = Terminal::new(TestBackend::new(100, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &app, Style { colours })).unwrap();
        terminal.backend().clone()
    };
    let (with, without) = (drawn(true), drawn(false));
    assert_eq!(with.to_string(), without.to_string());
    let coloured = |backend: &TestBackend| {
        backend.buffer().content().iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    assert!(coloured(&with) > 0);
    assert_eq!(coloured(&without), 0);
}
