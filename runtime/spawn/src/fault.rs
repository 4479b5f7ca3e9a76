//! Fault points: the steps of a container's life at which a test has something go wrong.
//!
//! Only builds with debug assertions have them. There the variable [`VARIABLE`] of the daemon, which its spawner and its
//! shims inherit, names a file, and a test writes `POINT ACTION` into it. Whoever comes to that point first takes the
//! file, by the name with [`REACHED`] after it. If the action is the number of an error, the step fails with it; if it
//! is `wait`, the step waits until the file is removed, and the test kills whom it wants meanwhile.

use std::io;

/// The environment variable that names the file.
pub const VARIABLE: &str = "BEELINE_FAULT";

/// What the file's name ends with once its point is reached.
pub const REACHED: &str = ".reached";

macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident,)*) => {
        /// A step, named for what is about to be done, or for what has been done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($(#[doc = $doc])* $point,)* }

        impl Point {
            /// All of them, in the order of a container's life.
            pub const ALL: &[Self] = &[$(Self::$point,)*];
        }
    };
}

points! {
    /// A volume is made for the new container.
    CreateVolume,
    /// Its volumes are filled from the image.
    CreateFill,
    /// Its record is stored.
    CreateRecord,
    /// Its record has been stored.
    CreateStored,
    /// Everybody knows it.
    CreateKnown,
    /// That it is being started is stored.
    StartJournal,
    /// Its volumes are mounted.
    StartVolumes,
    /// Its files are written.
    StartFiles,
    /// Its network namespace is made.
    StartNamespace,
    /// It is connected with its networks.
    StartConnect,
    /// The spawner is asked for a shim.
    StartSpawn,
    /// The spawner forks.
    SpawnerFork,
    /// The shim makes the control group.
    ShimGroup,
    /// The shim opens the log.
    ShimLog,
    /// The shim makes its socket.
    ShimListen,
    /// The shim clones init.
    ShimClone,
    /// Init waits for its start.
    ShimCreated,
    /// Ports are published.
    StartPublish,
    /// What it has of the network is stored.
    StartRecord,
    /// The shim is asked to start it.
    StartRelease,
    /// The shim has init execute its command.
    ShimStart,
    /// The command is executed.
    ShimStarted,
    /// The daemon knows that the command is executed.
    StartDone,
    /// An exec's file is written.
    ExecFile,
    /// The shim is asked for an exec.
    ExecAsk,
    /// The shim forks a runner.
    ShimExec,
    /// The runner clones the process.
    RunnerClone,
    /// The exec's command is executed.
    ShimExecStarted,
    /// The daemon knows that the exec's command is executed.
    ExecStarted,
    /// The daemon knows that the exec has ended.
    ExecEnded,
    /// It is connected with a further network.
    ConnectAttach,
    /// Its default route and its ports follow a new connection.
    ConnectRoutes,
    /// A new connection is stored.
    ConnectRecord,
    /// The daemon knows a new connection.
    ConnectDone,
    /// That it is taken off a network is stored.
    DisconnectRecord,
    /// Its device on a network is removed.
    DisconnectDevice,
    /// Its default route and its ports follow a lost connection.
    DisconnectRoutes,
    /// The daemon knows a lost connection.
    DisconnectDone,
    /// A container is to be stopped.
    StopRemember,
    /// The shim is asked to signal init.
    StopSignal,
    /// The shim signals init.
    ShimSignal,
    /// Init has exited.
    ShimExited,
    /// The exit is recorded in its file.
    ShimExitFile,
    /// The exit is told.
    ShimTell,
    /// It is disconnected, and its ports closed.
    EndNetwork,
    /// Its volumes are unmounted.
    EndVolumes,
    /// Its control groups are removed.
    EndGroups,
    /// Its run directory is removed.
    EndDirectory,
    /// What became of it is stored.
    StoreStatus,
    /// Its end can be seen.
    EndShown,
    /// Volumes that go with a container are marked.
    RemoveMark,
    /// A container's files are removed.
    RemoveFiles,
    /// Its record is removed.
    RemoveRecord,
    /// Its record has been removed.
    RemoveVolumes,
    /// Its volumes have been let go.
    RemoveDone,
}

/// A step that may fail.
///
/// # Errors
/// What the test wants.
#[inline]
pub fn fail(point: Point) -> io::Result<()> {
    active::reach(point)
}

/// A step that cannot fail: it only waits, if the test wants so.
#[inline]
pub fn pass(point: Point) {
    let _ = active::reach(point);
}

#[cfg(not(debug_assertions))]
mod active {
    use super::{Point, io};

    #[inline]
    #[allow(clippy::unnecessary_wraps, reason = "as in builds that have fault points")]
    pub(super) fn reach(_: Point) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(debug_assertions)]
mod active {
    use std::path::PathBuf;
    use std::time::{Duration, Instant};
    use std::{env, fs, thread};

    use super::{Point, REACHED, VARIABLE, io};

    /// A test that has failed must leave nobody waiting.
    const PATIENCE: Duration = Duration::from_secs(60);

    pub(super) fn reach(point: Point) -> io::Result<()> {
        let Some(file) = env::var_os(VARIABLE) else { return Ok(()) };
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        let Some(action) = text.strip_prefix(&format!("{point:?} ")) else { return Ok(()) };
        let mut reached = file.clone();
        reached.push(REACHED);
        let reached = PathBuf::from(reached);
        if fs::rename(&file, &reached).is_err() {
            // Somebody else was first.
            return Ok(());
        }
        if let Ok(errno) = action.parse() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let end = Instant::now() + PATIENCE;
        while reached.exists() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
