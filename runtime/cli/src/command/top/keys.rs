//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{Action, App, Mode, Target, Verb};

/// How far a page goes.
const PAGE: isize = 10;

/// What the keys do, for the help: in groups of what belongs together.
pub(super) const HELP: [(&str, &str); 14] = [
    ("up, down, k, j", "choose a container; PgUp, PgDn, Home, End too"),
    ("<, >", "sort by the column to the left or right"),
    ("R", "sort the other way round"),
    ("/", "show only containers with a text; Esc shows all"),
    ("a", "also show containers that do not run, or not"),
    ("Enter, g", "show the chosen container's curves, or not"),
    ("l", "follow its log; Ctrl-C comes back"),
    ("e", "run a shell in it; its end comes back"),
    ("i", "show all that is known of it"),
    ("s", "stop it"),
    ("r", "restart it"),
    ("p", "pause it, or let it go on"),
    ("?", "show or close this"),
    ("q, Ctrl-C", "leave"),
];

/// What is to be done beyond the screen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Leave.
    Quit,
    /// Ask the daemon to do it.
    Ask(Action),
    /// Give the terminal to a command of ours about a container.
    Run(Program, Target),
}

/// A command that takes the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Logs,
    Shell,
    Inspect,
}

/// Takes a key; what the screen cannot do itself is the answer.
pub(super) fn press(app: &mut App, key: KeyEvent) -> Option<Effect> {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(Effect::Quit);
    }
    app.message = None;
    match std::mem::take(&mut app.mode) {
        Mode::Table => command(app, key.code),
        Mode::Filter => {
            write_filter(app, key.code);
            None
        }
        Mode::Confirm(action) => match key.code {
            KeyCode::Char('y' | 'Y') => Some(Effect::Ask(action)),
            _ => {
                app.message = Some(format!("not done: {} {}", action.verb.name(), action.container.name));
                None
            }
        },
        Mode::Help => None,
    }
}

fn command(app: &mut App, key: KeyCode) -> Option<Effect> {
    match key {
        KeyCode::Char('q') => return Some(Effect::Quit),
        KeyCode::Char('?' | 'h') => app.mode = Mode::Help,
        KeyCode::Char('/') => app.mode = Mode::Filter,
        KeyCode::Esc => {
            app.filter.clear();
            app.arrange();
        }
        KeyCode::Up | KeyCode::Char('k') => app.go(-1),
        KeyCode::Down | KeyCode::Char('j') => app.go(1),
        KeyCode::PageUp => app.go(-PAGE),
        KeyCode::PageDown => app.go(PAGE),
        KeyCode::Home => app.go(isize::MIN),
        KeyCode::End => app.go(isize::MAX),
        KeyCode::Char('<') => app.sort_on(-1),
        KeyCode::Char('>') => app.sort_on(1),
        KeyCode::Char('R') => {
            app.reversed = !app.reversed;
            app.arrange();
        }
        KeyCode::Char('a') => {
            app.all = !app.all;
            app.arrange();
        }
        KeyCode::Enter | KeyCode::Char('g') => app.graphs = !app.graphs,
        KeyCode::Char('l') => return app.target().map(|target| Effect::Run(Program::Logs, target)),
        KeyCode::Char('e') => return app.target().map(|target| Effect::Run(Program::Shell, target)),
        KeyCode::Char('i') => return app.target().map(|target| Effect::Run(Program::Inspect, target)),
        KeyCode::Char('s') => confirm(app, Verb::Stop),
        KeyCode::Char('r') => confirm(app, Verb::Restart),
        KeyCode::Char('p') => {
            let is_paused = app.selected().is_some_and(|container| container.now.state == "paused");
            confirm(app, if is_paused { Verb::Unpause } else { Verb::Pause });
        }
        _ => {}
    }
    None
}

fn confirm(app: &mut App, verb: Verb) {
    if let Some(container) = app.target() {
        app.mode = Mode::Confirm(Action { verb, container });
    }
}

fn write_filter(app: &mut App, key: KeyCode) {
    app.mode = Mode::Filter;
    match key {
        KeyCode::Enter => app.mode = Mode::Table,
        KeyCode::Esc => {
            app.filter.clear();
            app.mode = Mode::Table;
        }
        KeyCode::Backspace => drop(app.filter.pop()),
        KeyCode::Char(letter) => app.filter.push(letter),
        _ => {}
    }
    app.arrange();
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::example;
    use super::*;

    fn type_in(app: &mut App, keys: &str) -> Vec<Effect> {
        keys.chars().filter_map(|key| press(app, KeyCode::Char(key).into())).collect()
    }

    fn names(app: &App) -> Vec<&str> {
        app.shown().map(|container| container.now.name.as_str()).collect()
    }

    #[test]
    fn the_busiest_is_first_and_other_orders_are_a_key_away() {
        let mut app = example();
        assert_eq!(names(&app), ["api", "web", "database"]);
        type_in(&mut app, "R");
        assert_eq!(names(&app), ["database", "web", "api"]);
        type_in(&mut app, "R<<");
        assert_eq!(names(&app), ["api", "database", "web"], "by name");
        type_in(&mut app, "a");
        assert_eq!(names(&app), ["api", "database", "job", "web"]);
    }

    #[test]
    fn the_chosen_container_stays_chosen_when_the_order_changes() {
        let mut app = example();
        assert_eq!(app.target().unwrap().name, "api");
        type_in(&mut app, "jR");
        assert_eq!(app.target().unwrap().name, "web");
        type_in(&mut app, "/data");
        assert_eq!((names(&app), app.target().unwrap().name.as_str()), (vec!["database"], "database"));
        press(&mut app, KeyCode::Esc.into());
        assert_eq!(names(&app).len(), 3);
        type_in(&mut app, "/nothing");
        assert_eq!(app.target(), None);
        press(&mut app, KeyCode::Enter.into());
        assert_eq!(type_in(&mut app, "lesrp"), [], "there is nothing to do it to");
    }

    #[test]
    fn nothing_is_stopped_without_a_yes() {
        let mut app = example();
        assert_eq!(type_in(&mut app, "sn"), []);
        assert_eq!(app.message.as_deref(), Some("not done: stop api"));
        let [Effect::Ask(action)] = &*type_in(&mut app, "ry") else { panic!("nothing is asked for") };
        assert_eq!((action.verb, action.container.name.as_str()), (Verb::Restart, "api"));
        let [Effect::Ask(action)] = &*type_in(&mut app, "jjpy") else { panic!("nothing is asked for") };
        assert_eq!(
            (action.verb, action.container.name.as_str()),
            (Verb::Unpause, "database"),
            "it is paused"
        );
    }

    #[test]
    fn logs_and_a_shell_are_one_key_away() {
        let mut app = example();
        let target = || Target { id: "id-of-api".into(), name: "api".into() };
        let expected = [Effect::Run(Program::Logs, target()), Effect::Run(Program::Shell, target())];
        assert_eq!(type_in(&mut app, "le"), expected);
        assert_eq!(type_in(&mut app, "?q"), [], "any key closes the help");
        assert_eq!(type_in(&mut app, "/q"), [], "a letter of the filter");
        assert_eq!(
            press(&mut app, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)),
            Some(Effect::Quit)
        );
    }
}
