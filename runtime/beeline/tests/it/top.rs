//! `beeline top` on a terminal, and without one.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use beeline_testbed::command::{self, Output, eventually};

use crate::bed::{Bed, binary};

/// A terminal of eighty columns and twenty-four rows.
struct Screen {
    socket: PathBuf,
}

impl Screen {
    /// Runs a command of ours on a new terminal.
    fn open(bed: &Bed, arguments: &str) -> Self {
        let socket = bed.dirs.path().join("tmux");
        let command = format!("LANG=C.UTF-8 {} {arguments}", binary().display());
        let mut tmux = bed.topology.host.command("tmux");
        tmux.env("DOCKER_HOST", bed.dirs.docker_host()).env("LANG", "C.UTF-8").arg("-S").arg(&socket);
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &command]);
        let started = command::output(&mut tmux).unwrap();
        assert!(started.status.success(), "tmux: {started}");
        Self { socket }
    }

    fn tmux(&self, args: &[&str]) -> Output {
        command::output(Command::new("tmux").arg("-u").arg("-S").arg(&self.socket).args(args)).unwrap()
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).text()
    }

    /// Presses keys, each by tmux's name of it.
    fn press(&self, keys: &[&str]) {
        let pressed = self.tmux(&[&["send-keys"], keys].concat());
        assert!(pressed.status.success(), "{pressed}");
    }

    #[track_caller]
    fn shows(&self, what: &str) -> String {
        let shown = || Some(self.text()).filter(|text| text.contains(what));
        let found = eventually(what, Duration::from_secs(30), shown);
        found.unwrap_or_else(|error| panic!("{error}; the screen is\n{}", self.text()))
    }

    /// Whether the command still runs.
    fn is_open(&self) -> bool {
        self.tmux(&["list-sessions"]).status.success()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It is gone already when its command has ended.
        self.tmux(&["kill-server"]);
    }
}

/// A container that keeps a processor busy, and one that only is there.
fn bed() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.busybox();
    let busy = "echo i am busy; while :; do :; done";
    bed.docker_ok(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", busy]);
    bed.docker_ok(&["run", "-d", "--name", "idle", "--memory", "32m", "busybox", "sleep", "1000"]);
    Some(bed)
}

/// The row of a container's.
fn row<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).split_whitespace().collect()
}

#[test]
fn without_a_terminal_it_is_one_table() {
    let Some(bed) = bed() else { return };
    bed.docker_ok(&["create", "--name", "later", "busybox", "true"]);
    let table = bed.beeline_ok(&["top"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let titles = "NAME STATUS CPU% MEM MEM% RX/s TX/s READ/s WRITE/s PIDS RST IMAGE";
    assert_eq!(row(&table, "NAME").join(" "), titles);
    let (busy, idle) = (row(&table, "busy"), row(&table, "idle"));
    let cpu = |row: &[&str]| row[2].parse::<f64>().unwrap();
    assert!(cpu(&busy) > 10.0 && cpu(&busy) < 110.0 && cpu(&idle) < 5.0, "{table}");
    assert!(table.find("busy") < table.find("idle"), "the busiest is first\n{table}");
    assert_eq!((idle[1], idle[9], idle[11]), ("running", "1", "busybox"), "{table}");

    let all = bed.beeline_ok(&["top", "--once", "--all", "--sort-by", "name", "--filter", "l"]);
    assert_eq!(
        all.lines().map(|line| line.split_whitespace().next().unwrap()).collect::<Vec<_>>(),
        ["NAME", "idle", "later"]
    );
    assert_eq!(row(&all, "later")[1..3], ["created", "-"]);
    assert!(bed.beeline_ok(&["top", "idle", "-o", "pid,args"]).contains("sleep 1000"), "ps as before");
}

#[test]
fn on_a_terminal_it_is_live_and_lends_it_to_a_log_and_a_shell() {
    let Some(bed) = bed() else { return };
    let screen = Screen::open(&bed, "top");
    let text = screen.shows("2 of 2 containers run");
    assert!(text.contains("NAME") && text.contains("? help"), "{text}");
    screen.press(&["l"]);
    screen.shows("i am busy");
    screen.press(&["C-c"]);
    screen.shows("2 of 2 containers run");
    screen.press(&["/", "i", "d", "l", "Enter"]);
    let text = screen.shows("only \"idl\"");
    assert!(!text.contains("busy"), "{text}");
    screen.press(&["e"]);
    screen.shows("/ #");
    screen.press(&["echo $((6*7))-$(hostname)", "Enter"]);
    screen.shows(&format!("42-{}", &bed.inspect("idle", "{{.Id}}")[..12]));
    screen.press(&["exit", "Enter"]);
    screen.shows("only \"idl\"");
    screen.press(&["p"]);
    screen.shows("pause idle?");
    screen.press(&["y"]);
    screen.shows("pause idle: done");
    assert_eq!(bed.inspect("idle", "{{.State.Status}}"), "paused");
    screen.shows("paused");
    screen.press(&["p", "y"]);
    screen.shows("unpause idle: done");
    screen.press(&["q"]);
    bed.eventually("it has left", || (!screen.is_open()).then_some(()));
}

#[test]
fn it_outlives_the_daemon_and_says_that_it_does_not_answer() {
    let Some(mut bed) = bed() else { return };
    let screen = Screen::open(&bed, "top");
    screen.shows("2 of 2 containers run");
    bed.kill_daemon();
    let text = screen.shows("NO ANSWER");
    assert!(text.contains("idle"), "what was known is still there:\n{text}");
    bed.start();
    screen.shows("2 of 2 containers run");
}
