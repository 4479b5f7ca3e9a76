//! The state database: SQLite with a write-ahead log, one thread that writes.
//!
//! A record is JSON beside the columns that are searched. Writers wait for the commit, not for the disk: after a power
//! failure the changes of the last moments ([`PACE`]) may be missing, from the last one back, but never half
//! of something; and what the kernel held is gone as well.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use crate::container::record::{Record, Runtime};
use crate::error::Error;
use crate::identity::ContainerId;
use crate::network::NetworkRecord;
use crate::volume::VolumeRecord;

/// The schema, one step a version; applied steps never change.
const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created TEXT NOT NULL,
        record TEXT NOT NULL,
        runtime TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
    "
    CREATE TABLE networks (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- What was known of the one network that there was.
    UPDATE containers SET runtime = json_remove(runtime, '$.lease', '$.endpoint', '$.published');
    ",
    "CREATE TABLE volumes (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;",
];

/// The schema's version after the last step.
const NEWEST: u32 = MIGRATIONS.len() as u32;

/// When changes are brought to the disk; nobody waits for it.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// So long after the last one.
    pause: Duration,
    /// So long after the first one, while others follow without a pause.
    longest: Duration,
}

const PACE: Pace = Pace { pause: Duration::from_secs(1), longest: Duration::from_secs(5) };

/// The most changes committed together.
const BATCH: usize = 128;

/// An open database, before its thread is started.
#[derive(Debug)]
pub(crate) struct Opened {
    connection: Connection,
}

/// The writing thread's handle. Clones share it; the thread ends with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    change: Change,
    done: oneshot::Sender<Result<(), Error>>,
}

#[derive(Debug)]
enum Change {
    Put { id: String, name: String, created: String, record: String, runtime: String },
    Runtime { id: String, runtime: String },
    Remove { id: String },
    PutNetwork { id: String, name: String, record: String },
    RemoveNetwork { id: String },
    PutVolume { name: String, record: String },
    RemoveVolume { name: String },
}

const PUT_NETWORK: &str = "INSERT INTO networks (id, name, record) VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET name = ?2, record = ?3";

const PUT_VOLUME: &str =
    "INSERT INTO volumes (name, record) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET record = ?2";
const REMOVE_VOLUME: &str = "DELETE FROM volumes WHERE name = ?1";

impl Opened {
    /// Opens or makes the database and brings its schema up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |operation| move |source| Error::Database { operation, source };
        let mut connection = Connection::open(path).map_err(failed("open a file"))?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(failed("switch on write-ahead logging"))?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed("set the synchronisation"))?;
        let version: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(failed("read the schema's version"))?;
        if version > NEWEST {
            return Err(Error::Unavailable(format!(
                "{} was written by a newer Beeline (schema {version}, this one knows {}): use that one",
                path.display(),
                NEWEST
            )));
        }
        for (number, step) in (1_u32..).zip(MIGRATIONS).skip(version as usize) {
            let transaction = connection.transaction().map_err(failed("begin a migration"))?;
            transaction.execute_batch(step).map_err(failed("migrate the schema"))?;
            transaction.pragma_update(None, "user_version", number).map_err(failed("migrate the schema"))?;
            transaction.commit().map_err(failed("commit a migration"))?;
        }
        Ok(Self { connection })
    }

    /// Every container.
    pub(crate) fn containers(&self) -> Result<Vec<(Record, Runtime)>, Error> {
        let failed = |source| Error::Database { operation: "read the containers", source };
        let mut statement = self
            .connection
            .prepare("SELECT id, record, runtime FROM containers ORDER BY created")
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut containers = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |column| row.get::<_, String>(column).map_err(failed);
            let (id, record, runtime) = (text(0)?, text(1)?, text(2)?);
            let decode = |source| Error::Decode { what: format!("the record of container {id}"), source };
            let record = serde_json::from_str(&record).map_err(decode)?;
            containers.push((record, serde_json::from_str(&runtime).map_err(decode)?));
        }
        Ok(containers)
    }

    /// Every network with a device.
    pub(crate) fn networks(&self) -> Result<Vec<NetworkRecord>, Error> {
        let failed = |source| Error::Database { operation: "read the networks", source };
        let mut statement =
            self.connection.prepare("SELECT id, record FROM networks ORDER BY name").map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut networks = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |column| row.get::<_, String>(column).map_err(failed);
            let (id, record) = (text(0)?, text(1)?);
            let decode = |source| Error::Decode { what: format!("the record of network {id}"), source };
            networks.push(serde_json::from_str(&record).map_err(decode)?);
        }
        Ok(networks)
    }

    /// Every volume.
    pub(crate) fn volumes(&self) -> Result<Vec<VolumeRecord>, Error> {
        let failed = |source| Error::Database { operation: "read the volumes", source };
        let mut statement =
            self.connection.prepare("SELECT name, record FROM volumes ORDER BY name").map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut volumes = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |column| row.get::<_, String>(column).map_err(failed);
            let (name, record) = (text(0)?, text(1)?);
            let decode = |source| Error::Decode { what: format!("the record of volume {name}"), source };
            volumes.push(serde_json::from_str(&record).map_err(decode)?);
        }
        Ok(volumes)
    }

    /// Stores a volume.
    pub(crate) fn put_volume(&self, record: &VolumeRecord) -> Result<(), Error> {
        let stored = self.connection.execute(PUT_VOLUME, [&record.name, &encode_volume(record)?]);
        stored.map(|_| ()).map_err(|source| Error::Database { operation: "store a volume", source })
    }

    /// Forgets a volume.
    pub(crate) fn remove_volume(&self, name: &str) -> Result<(), Error> {
        let removed = self.connection.execute(REMOVE_VOLUME, [name]);
        removed.map(|_| ()).map_err(|source| Error::Database { operation: "forget a volume", source })
    }

    /// Stores a network.
    pub(crate) fn put_network(&self, record: &NetworkRecord) -> Result<(), Error> {
        let text = encode_network(record)?;
        let stored = self.connection.execute(PUT_NETWORK, [&record.id, &record.config.name, &text]);
        stored.map(|_| ()).map_err(|source| Error::Database { operation: "store a network", source })
    }

    /// A setting of the instance.
    pub(crate) fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        let query =
            self.connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
        query.optional().map_err(|source| Error::Database { operation: "read a setting", source })
    }

    /// Stores a setting of the instance.
    pub(crate) fn set_meta(&self, key: &str, value: &str) -> Result<(), Error> {
        let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
        let stored = self.connection.execute(sql, [key, value]);
        stored.map(|_| ()).map_err(|source| Error::Database { operation: "store a setting", source })
    }

    /// Starts the thread that writes.
    pub(crate) fn start(self) -> Result<Database, Error> {
        self.start_at(PACE)
    }

    fn start_at(self, pace: Pace) -> Result<Database, Error> {
        let (jobs, queue) = mpsc::channel();
        let builder = thread::Builder::new().name("database".into());
        let spawned = builder.spawn(move || write(self.connection, &queue, pace));
        spawned.map_err(|error| Error::internal("start the database's thread", &error))?;
        Ok(Database { jobs })
    }
}

impl Database {
    /// Stores a container.
    pub(crate) async fn put(&self, record: &Record, runtime: &Runtime) -> Result<(), Error> {
        let id = record.id.to_string();
        let encode =
            |source| Error::Decode { what: format!("the record of container {}", record.id), source };
        let (name, created) = (record.name.to_string(), record.created.to_string());
        let runtime = serde_json::to_string(runtime).map_err(encode)?;
        let record = serde_json::to_string(record).map_err(encode)?;
        self.change(Change::Put { id, name, created, record, runtime }).await
    }

    /// Stores what changed of a container that is stored.
    pub(crate) async fn put_runtime(&self, id: &ContainerId, runtime: &Runtime) -> Result<(), Error> {
        let encode = |source| Error::Decode { what: format!("the record of container {id}"), source };
        let runtime = serde_json::to_string(runtime).map_err(encode)?;
        self.change(Change::Runtime { id: id.to_string(), runtime }).await
    }

    /// Forgets a container.
    pub(crate) async fn remove(&self, id: &ContainerId) -> Result<(), Error> {
        self.change(Change::Remove { id: id.to_string() }).await
    }

    /// Stores a network.
    pub(crate) async fn put_network(&self, record: &NetworkRecord) -> Result<(), Error> {
        let text = encode_network(record)?;
        let (id, name) = (record.id.clone(), record.config.name.clone());
        self.change(Change::PutNetwork { id, name, record: text }).await
    }

    /// Forgets a network.
    pub(crate) async fn remove_network(&self, id: &str) -> Result<(), Error> {
        self.change(Change::RemoveNetwork { id: id.to_owned() }).await
    }

    /// Stores a volume.
    pub(crate) async fn put_volume(&self, record: &VolumeRecord) -> Result<(), Error> {
        let (name, text) = (record.name.clone(), encode_volume(record)?);
        self.change(Change::PutVolume { name, record: text }).await
    }

    /// Forgets a volume.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.change(Change::RemoveVolume { name: name.to_owned() }).await
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let gone = || Error::Unavailable("the state database is closed".into());
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job { change, done }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn encode_network(record: &NetworkRecord) -> Result<String, Error> {
    let encode = |source| Error::Decode { what: format!("the record of network {}", record.id), source };
    serde_json::to_string(record).map_err(encode)
}

fn encode_volume(record: &VolumeRecord) -> Result<String, Error> {
    let encode = |source| Error::Decode { what: format!("the record of volume {}", record.name), source };
    serde_json::to_string(record).map_err(encode)
}

/// Writes until the last handle is gone, which brings all to the disk. What has queued up meanwhile is committed together.
fn write(mut connection: Connection, queue: &mpsc::Receiver<Job>, pace: Pace) {
    // Since when something is not on the disk for certain.
    let mut unsynced: Option<Instant> = None;
    loop {
        let first = match unsynced {
            None => queue.recv().map_err(RecvTimeoutError::from),
            Some(since) => queue.recv_timeout(pace.pause.min(pace.longest.saturating_sub(since.elapsed()))),
        };
        let due = match first {
            Ok(first) => {
                let jobs: Vec<Job> = std::iter::once(first).chain(queue.try_iter().take(BATCH)).collect();
                commit(&mut connection, jobs);
                unsynced.get_or_insert_with(Instant::now).elapsed() >= pace.longest
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if due {
            sync(&connection);
            unsynced = None;
        }
    }
}

/// Brings all changes to the disk, and to their places in the database.
fn sync(connection: &Connection) {
    // What is returned is how far it came; a reader that keeps it from ending keeps nothing from the disk.
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::error!(%error, "the state database is not brought to the disk");
    }
}

fn commit(connection: &mut Connection, jobs: Vec<Job>) {
    let written = (|| {
        let transaction = connection.transaction()?;
        // One that fails (a name that is taken) leaves the others alone.
        let results: Vec<_> = jobs.iter().map(|job| apply(&transaction, &job.change)).collect();
        transaction.commit()?;
        Ok::<_, rusqlite::Error>(results)
    })();
    let failed = |source| Error::Database { operation: "write a record", source };
    match written {
        Ok(results) => {
            for (job, result) in jobs.into_iter().zip(results) {
                // Whoever asked may have given up waiting.
                let _ = job.done.send(result.map_err(failed));
            }
        }
        Err(error) => {
            let message = error.to_string();
            for job in jobs {
                let operation = "write to the state database".into();
                let _ = job.done.send(Err(Error::Internal { operation, message: message.clone() }));
            }
        }
    }
}

fn apply(connection: &Connection, change: &Change) -> Result<(), rusqlite::Error> {
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.execute(values).map(|_| ())
    };
    match change {
        Change::Put { id, name, created, record, runtime } => execute(
            "INSERT INTO containers (id, name, created, record, runtime) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET name = ?2, record = ?4, runtime = ?5",
            params![id, name, created, record, runtime],
        ),
        Change::Runtime { id, runtime } => {
            execute("UPDATE containers SET runtime = ?2 WHERE id = ?1", params![id, runtime])
        }
        Change::Remove { id } => execute("DELETE FROM containers WHERE id = ?1", params![id]),
        Change::PutNetwork { id, name, record } => execute(PUT_NETWORK, params![id, name, record]),
        Change::RemoveNetwork { id } => execute("DELETE FROM networks WHERE id = ?1", params![id]),
        Change::PutVolume { name, record } => execute(PUT_VOLUME, params![name, record]),
        Change::RemoveVolume { name } => execute(REMOVE_VOLUME, params![name]),
    }
}

#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;
