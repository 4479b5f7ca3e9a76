//! The end of a run: init has exited, or its shim was killed with it.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use beeline_spawn::fault::{self, Point};
use beeline_spawn::protocol::Exit;

use super::{Actor, Exits};
use crate::clock::Moment;
use crate::container::health::Health;
use crate::container::shim::ShimError;
use crate::container::status::{ContainerState, ContainerStatus};

/// Docker's code for a container that was killed by no one knows whom.
const KILLED: u8 = 137;

impl Actor {
    /// Takes note of the exit and takes back what the run had. Breaks when the container is removed with it.
    pub(super) async fn exited(&mut self, exit: Result<Exit, ShimError>) -> ControlFlow<()> {
        let keep = self.stopping.as_ref().is_some_and(|stopping| stopping.keep);
        self.finish(exit).await;
        if self.record.config.host.auto_remove && !keep && self.remove_stopped().await.is_ok() {
            self.answer_stop();
            return ControlFlow::Break(());
        }
        self.answer_stop();
        ControlFlow::Continue(())
    }

    /// Takes note of the exit; the container is exited after it, or restarting.
    pub(super) async fn finish(&mut self, exit: Result<Exit, ShimError>) {
        let exit = match exit {
            Ok(exit) => exit,
            Err(error) => {
                tracing::warn!(container = %self.record.id, %error, "lost the container's shim");
                read_exit(&self.exit_file()).unwrap_or_else(killed)
            }
        };
        let published = self.runtime.published.clone();
        self.monitor = None;
        self.shared.execs.forget_unstarted(&self.record.id);
        let disconnected = self.undo().await;
        let ran = run_time(&self.runtime.status, &exit);
        let again = self.plan_restart(exit.code.into(), ran);
        if again {
            self.runtime.reserved = published;
        }
        self.exits = Exits { count: self.exits.count + 1, last: exit.code.into() };
        self.runtime.status = ContainerStatus {
            state: if again { ContainerState::Restarting } else { ContainerState::Exited },
            pid: 0,
            exit_code: exit.code.into(),
            exit_signal: exit.signal,
            oom_killed: exit.oom_killed,
            error: String::new(),
            health: self.runtime.status.health.take().map(Health::stopped),
            started_at: self.runtime.status.started_at,
            began: None,
            finished_at: Some(exit.at),
        };
        // Stored before it is shown: who has seen the end can rely on it.
        self.store().await;
        self.show();
        fault::pass(Point::EndShown);
        if exit.oom_killed {
            self.event("oom", []);
        }
        let seconds = ran.as_secs().to_string();
        self.event("die", [("exitCode", exit.code.to_string()), ("execDuration", seconds)]);
        for network in disconnected {
            self.network_event("disconnect", &network);
        }
        if self.stopping.as_ref().is_some_and(|stopping| stopping.announced) {
            self.event("stop", []);
        }
    }

    pub(super) fn exit_file(&self) -> std::path::PathBuf {
        crate::container::record::containers_dir(&self.shared.config.root)
            .join(self.record.id.as_str())
            .join("exit.json")
    }
}

/// How long a run was.
fn run_time(status: &ContainerStatus, exit: &Exit) -> Duration {
    // Shims of earlier versions tell the time of day alone.
    let began = status.began.filter(|_| exit.uptime.is_some());
    let end = Moment { at: exit.at, uptime: exit.uptime.unwrap_or_default() };
    end.since(status.started_at, began)
}

/// What the shim recorded, if it did.
pub(super) fn read_exit(path: &Path) -> Option<Exit> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The exit of a container whose shim was killed: the kernel killed init with it.
pub(super) fn killed() -> Exit {
    let Moment { at, uptime } = Moment::now();
    Exit { code: KILLED, signal: Some(9), oom_killed: false, at, uptime: Some(uptime) }
}
