//! The power fails at any moment: of what was written, the disk has the log up to any byte, and of a checkpoint any part.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::record;
use super::*;

/// The lengths of the log's header and of its frames, and of the pages in them.
const HEADER: usize = 32;
const FRAME: usize = 24 + PAGE;
const PAGE: usize = 4096;

/// What the files of a database hold.
#[derive(Debug, Clone)]
struct Disk {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Disk {
    fn of(path: &Path) -> Self {
        Self { database: fs::read(path).unwrap(), log: fs::read(log_of(path)).unwrap_or_default() }
    }

    /// Where the log ends: what an earlier log has left behind it has another salt.
    fn log_end(&self) -> usize {
        let Some(salt) = self.log.get(16..24) else { return 0 };
        HEADER
            + FRAME * self.log[HEADER..].chunks_exact(FRAME).take_while(|frame| frame[8..16] == *salt).count()
    }

    /// What a daemon that is started on these files knows: the containers with their exit codes, and the volumes.
    fn known(&self) -> State {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("beeline.db");
        fs::write(&path, &self.database).unwrap();
        fs::write(log_of(&path), &self.log).unwrap();
        let opened = Opened::open(&path).unwrap();
        let containers = opened.containers().unwrap().into_iter();
        State {
            containers: containers
                .map(|(record, runtime)| (record.name.to_string(), runtime.status.exit_code))
                .collect(),
            volumes: opened.volumes().unwrap().into_iter().map(|volume| volume.name).collect(),
        }
    }
}

fn log_of(path: &Path) -> std::path::PathBuf {
    path.with_extension("db-wal")
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    containers: Vec<(String, i64)>,
    volumes: Vec<String>,
}

/// A database that is being changed, with where the log ended and what was known after each answer.
struct Changes {
    dir: tempfile::TempDir,
    database: Database,
    runtime: tokio::runtime::Runtime,
    /// Before the first change, too.
    answered: Vec<(usize, State)>,
}

/// Nothing is brought to the disk but by the test itself.
const NEVER: Pace = Pace { pause: Duration::from_secs(3600), longest: Duration::from_secs(3600) };

impl Changes {
    fn begin(pace: Pace) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = Opened::open(&dir.path().join("beeline.db")).unwrap().start_at(pace).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut changes = Self { dir, database, runtime, answered: Vec::new() };
        changes.answer(State::default());
        changes
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("beeline.db")
    }

    fn disk(&self) -> Disk {
        Disk::of(&self.path())
    }

    fn answer(&mut self, state: State) {
        self.answered.push((self.disk().log_end(), state));
    }

    fn last(&self) -> State {
        self.answered.last().unwrap().1.clone()
    }

    /// Some of every kind: a container and a volume are stored, the container ends, another one is removed.
    fn change(&mut self, from: u32) {
        for number in from..from + 4 {
            let mut state = self.last();
            let record = record(&format!("{number:x}"), &format!("c{number}"));
            self.runtime.block_on(self.database.put(&record, &Runtime::default())).unwrap();
            state.containers.push((format!("c{number}"), 0));
            self.answer(state.clone());
            let volume = VolumeRecord {
                name: format!("v{number}"),
                created: jiff::Timestamp::UNIX_EPOCH,
                options: Default::default(),
                labels: Default::default(),
                pending: None,
            };
            self.runtime.block_on(self.database.put_volume(&volume)).unwrap();
            state.volumes.push(volume.name);
            self.answer(state.clone());
            let mut runtime = Runtime::default();
            runtime.status.exit_code = 3;
            self.runtime.block_on(self.database.put_runtime(&record.id, &runtime)).unwrap();
            state.containers.last_mut().unwrap().1 = 3;
            self.answer(state.clone());
            if number % 2 == 1 {
                self.runtime.block_on(self.database.remove(&record.id)).unwrap();
                state.containers.pop();
                self.answer(state);
            }
        }
    }

    /// What must be known when so much of the log is there: all that was answered by then, and nothing else.
    fn expected(&self, length: usize) -> &State {
        let reached = self.answered.iter().take_while(|(end, _)| *end <= length).last();
        &reached.unwrap_or(&self.answered[0]).1
    }
}

/// Brings the log into the database, as the writing thread does.
fn checkpoint(path: &Path) {
    sync(&Connection::open(path).unwrap());
}

#[test]
fn of_a_log_that_ends_anywhere_all_is_known_that_was_answered_by_then() {
    let mut changes = Changes::begin(NEVER);
    changes.change(1);
    let whole = changes.disk();
    assert_eq!((whole.log.len() - HEADER) % FRAME, 0, "the log is laid out as this test believes");
    let ends = (HEADER..=whole.log.len()).step_by(FRAME);
    for end in ends.flat_map(|end| [end, end + 1, end + FRAME / 2]).filter(|end| *end <= whole.log.len()) {
        let cut = Disk { log: whole.log[..end].to_vec(), ..whole.clone() };
        assert_eq!(cut.known(), *changes.expected(end), "the log ends at byte {end}");
        // The file's length reached the disk, its last blocks did not: they hold what was there before.
        let mut stale = whole.clone();
        stale.log[end..].fill(0xa5);
        assert_eq!(stale.known(), *changes.expected(end), "the log is stale from byte {end}");
    }
    assert_eq!(whole.known(), changes.last());
}

#[test]
fn a_log_that_is_begun_anew_over_an_old_one_is_not_mixed_up_with_it() {
    let mut changes = Changes::begin(NEVER);
    changes.change(1);
    let old = changes.disk();
    checkpoint(&changes.path());
    let settled = changes.last();
    changes.answered.clear();
    changes.answered.push((HEADER, settled));
    changes.change(5);
    let new = changes.disk();
    assert_ne!(old.log[..HEADER], new.log[..HEADER], "it has begun anew");
    for (end, state) in changes.answered.clone() {
        let log = [&new.log[..end], old.log.get(end..).unwrap_or_default()].concat();
        let known = Disk { database: new.database.clone(), log }.known();
        assert_eq!(known, state, "the new log ends at byte {end}");
    }
}

#[test]
fn a_second_after_the_last_change_all_is_in_the_database_itself() {
    let mut changes = Changes::begin(PACE);
    changes.change(1);
    let limit = Instant::now() + PACE.pause + Duration::from_secs(20);
    let known = || Disk { log: Vec::new(), ..changes.disk() }.known();
    while known() != changes.last() {
        assert!(Instant::now() < limit, "the log is not brought to the disk: {:?}", known());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn changes_that_follow_without_a_pause_are_brought_to_the_disk_too() {
    let mut changes = Changes::begin(Pace { longest: Duration::from_millis(10), ..NEVER });
    let limit = Instant::now() + Duration::from_secs(20);
    while (Disk { log: Vec::new(), ..changes.disk() }).known() == State::default() {
        assert!(Instant::now() < limit, "nothing is in the database itself");
        changes.change(1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The log is on the disk before the first page is written to the database, and stays until the last one is there.
    #[test]
    fn a_checkpoint_of_which_any_part_was_written_loses_nothing(
        written in prop::collection::vec((any::<Index>(), any::<bool>()), 0..12),
    ) {
        let mut changes = Changes::begin(NEVER);
        changes.change(1);
        let before = changes.disk();
        checkpoint(&changes.path());
        let after = changes.disk().database;
        let mut torn = before.clone();
        torn.database.resize(after.len(), 0);
        for (page, half) in written {
            let start = page.index(after.len() / PAGE) * PAGE;
            let end = start + if half { PAGE / 2 } else { PAGE };
            torn.database[start..end].copy_from_slice(&after[start..end]);
        }
        prop_assert_eq!(torn.known(), changes.last());
    }
}
