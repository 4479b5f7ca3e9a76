//! Hooks that the runtime runs in its own namespaces. Those of init are [its own](crate::container).

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Error, Summary};

/// Runs hooks in their order, until one fails.
pub(super) fn run(
    hooks: Option<&Vec<Hook>>,
    kind: &'static str,
    state: &Summary,
    bundle: &Path,
) -> Result<(), Error> {
    hooks.into_iter().flatten().try_for_each(|hook| run_one(hook, kind, state, bundle))
}

/// Runs all hooks, and returns what failed.
pub(super) fn run_all(
    hooks: Option<&Vec<Hook>>,
    kind: &'static str,
    state: &Summary,
    bundle: &Path,
) -> Vec<Error> {
    hooks.into_iter().flatten().filter_map(|hook| run_one(hook, kind, state, bundle).err()).collect()
}

fn run_one(hook: &Hook, kind: &'static str, state: &Summary, bundle: &Path) -> Result<(), Error> {
    let failed = |reason: String| Error::Hook { kind, path: hook.path().clone(), reason };
    if !hook.path().is_absolute() {
        return Err(failed("has no absolute path".to_owned()));
    }
    let limit = match hook.timeout() {
        Some(seconds) if seconds <= 0 => return Err(failed("has a timeout that is not positive".to_owned())),
        limit => limit,
    };
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    let variables = hook.env().iter().flatten().filter_map(|entry| entry.split_once('='));
    command.env_clear().envs(variables).current_dir(bundle).stdin(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(format!("cannot be executed: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A hook need not read it.
        let _ = input.write_all(&state.to_json());
    }
    match wait(&mut child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(format!("ended with {status}"))),
        Ok(None) => Err(failed(format!("took more than {} s", limit.unwrap_or(0)))),
        Err(error) => Err(failed(format!("cannot be waited for: {error}"))),
    }
}

/// None when the time was over before the hook.
fn wait(child: &mut Child, limit: Option<i64>) -> io::Result<Option<ExitStatus>> {
    if let Some(seconds) = limit {
        let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))? == 0 {
            pidfd_send_signal(pidfd.as_fd(), Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
    }
    child.wait().map(Some)
}
