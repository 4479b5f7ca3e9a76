//! What is on the screen: the containers, and what the user has chosen. Nothing here draws or waits.

use std::collections::HashMap;

use super::column::{COLUMNS, Column};
use super::feed::{Moment, News};
use super::meter::Container;

/// What a key does next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// It is a command.
    #[default]
    Table,
    /// It is a letter of the filter.
    Filter,
    /// It says whether this is meant.
    Confirm(Action),
    /// It closes the help.
    Help,
}

/// What can be done to a container, and is asked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) verb: Verb,
    pub(super) container: Target,
}

/// A container, by what does not change and what a person calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) name: String,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Stop,
    Restart,
    Pause,
    Unpause,
}

impl Verb {
    /// As the command and the API's route are called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
        }
    }
}

/// What is on the screen.
#[derive(Debug)]
pub(super) struct App {
    containers: HashMap<String, Container>,
    /// The ids of those that are shown, in their order.
    order: Vec<String>,
    /// The id of the one that commands are about: it stays the same when the order changes.
    selected: Option<String>,
    pub(super) sort: Column,
    /// Against the column's natural order.
    pub(super) reversed: bool,
    pub(super) all: bool,
    pub(super) filter: String,
    pub(super) graphs: bool,
    pub(super) mode: Mode,
    /// What became of the last command.
    pub(super) message: Option<String>,
    /// Why the daemon does not answer.
    pub(super) lost: Option<String>,
}

impl App {
    pub(super) fn new(sort: Column, all: bool, filter: String) -> Self {
        Self {
            containers: HashMap::new(),
            order: Vec::new(),
            selected: None,
            sort,
            reversed: false,
            all,
            filter,
            graphs: true,
            mode: Mode::Table,
            message: None,
            lost: None,
        }
    }

    /// Takes what there is to tell of the daemon.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Moment(moment) => self.update(moment),
            News::Lost(why) => self.lost = Some(why),
        }
    }

    /// Takes the next figures.
    pub(super) fn update(&mut self, moment: Moment) {
        self.lost = None;
        let mut before = std::mem::take(&mut self.containers);
        for next in moment {
            let mut container = before.remove(&next.id).unwrap_or_default();
            container.update(next);
            self.containers.insert(container.now.id.clone(), container);
        }
        self.arrange();
    }

    /// Sorts and filters anew; the selected container stays so while it is shown.
    pub(super) fn arrange(&mut self) {
        let place = self.place();
        let filter = self.filter.to_lowercase();
        let is_shown = |container: &&Container| {
            let now = &container.now;
            let is_running = matches!(now.state.as_str(), "running" | "paused" | "restarting");
            (self.all || is_running)
                && [&now.name, &now.image, &now.state, &now.health]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&filter))
        };
        let mut shown: Vec<&Container> = self.containers.values().filter(is_shown).collect();
        shown.sort_by(|a, b| {
            let order = self.sort.compare(a, b);
            let order = if self.sort.is_text() == self.reversed { order.reverse() } else { order };
            order.then_with(|| a.now.name.cmp(&b.now.name))
        });
        self.order = shown.into_iter().map(|container| container.now.id.clone()).collect();
        if !self.selected.as_ref().is_some_and(|selected| self.order.contains(selected)) {
            // Its neighbour, when it has gone.
            let next = place.unwrap_or(0).min(self.order.len().saturating_sub(1));
            self.selected = self.order.get(next).cloned();
        }
    }

    /// The containers that are shown, in their order.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Container> {
        self.order.iter().filter_map(|id| self.containers.get(id))
    }

    /// All that there are.
    pub(super) fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// The selected container's place in the order.
    pub(super) fn place(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.order.iter().position(|id| id == selected)
    }

    /// The selected container.
    pub(super) fn selected(&self) -> Option<&Container> {
        self.containers.get(self.selected.as_ref()?)
    }

    /// What a command is about.
    pub(super) fn target(&self) -> Option<Target> {
        self.selected()
            .map(|container| Target { id: container.now.id.clone(), name: container.now.name.clone() })
    }

    /// Selects the container so many places on, or the last one there.
    pub(super) fn go(&mut self, by: isize) {
        let last = self.order.len().saturating_sub(1);
        let place = self.place().unwrap_or(0).saturating_add_signed(by).min(last);
        self.selected = self.order.get(place).cloned();
    }

    /// Sorts by the column so many columns on.
    pub(super) fn sort_on(&mut self, by: isize) {
        let at = COLUMNS.iter().position(|column| *column == self.sort).unwrap_or(0);
        let next = at.saturating_add_signed(by).min(COLUMNS.len() - 1);
        self.sort = COLUMNS[next];
        self.arrange();
    }

    /// The table as text: titles, then a row for each container.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let titles = COLUMNS.map(|column| column.title().to_owned()).to_vec();
        let rows = self.shown().map(|container| COLUMNS.map(|column| column.cell(container)).to_vec());
        [titles].into_iter().chain(rows).collect()
    }
}
