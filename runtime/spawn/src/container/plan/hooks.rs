//! Hooks that init itself runs: those that the container's namespaces are for.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use oci_spec::runtime::{Hook, Spec};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Pid;

use super::command::Strings;
use super::{c_path, sync};
use crate::container::step::{self, Op, Step};
use crate::container::{Attendant, Error};

/// The container's state as hooks read it: files without a name, written when init's process id is known.
#[derive(Debug)]
pub(in crate::container) struct HookStates {
    creating: OwnedFd,
    created: OwnedFd,
}

impl HookStates {
    fn new() -> Result<Self, Error> {
        let file = || {
            let file = memfd_create("state.json", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
            sync::above_stdio(file)
        };
        Ok(Self { creating: file().map_err(Error::Sync)?, created: file().map_err(Error::Sync)? })
    }

    pub(in crate::container) fn write(&self, pid: Pid, attendant: &dyn Attendant) -> Result<(), Error> {
        for (file, created) in [(&self.creating, false), (&self.created, true)] {
            let file = file.try_clone().map_err(Error::Sync)?;
            std::fs::File::from(file).write_all(&attendant.state(pid, created)).map_err(Error::Sync)?;
        }
        Ok(())
    }

    /// The file for hooks before or after the container is created.
    pub(in crate::container) fn file(&self, created: bool) -> BorrowedFd<'_> {
        if created { self.created.as_fd() } else { self.creating.as_fd() }
    }
}

/// The pause for the parent's hooks, and the container's own behind it. None if the configuration has no hook that runs
/// before the container has started.
pub(super) fn container(spec: &Spec, steps: &mut Vec<Step>) -> Result<Option<HookStates>, Error> {
    let Some(hooks) = spec.hooks() else { return Ok(None) };
    let early = [hooks.create_runtime(), hooks.create_container(), hooks.start_container(), prestart(hooks)];
    if early.iter().all(|hooks| hooks.as_ref().is_none_or(Vec::is_empty)) {
        return Ok(None);
    }
    steps.push(Step::new("wait for the runtime's hooks", Op::AwaitHooks));
    for hook in hooks.create_container().iter().flatten() {
        steps.push(step(hook, "createContainer", false)?);
    }
    HookStates::new().map(Some)
}

#[allow(deprecated, reason = "the specification deprecates prestart and asks runtimes to honour it")]
fn prestart(hooks: &oci_spec::runtime::Hooks) -> &Option<Vec<Hook>> {
    hooks.prestart()
}

/// The hooks just before the command.
pub(super) fn start(spec: &Spec) -> Result<Vec<Step>, Error> {
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
    hooks.into_iter().flatten().map(|hook| step(hook, "startContainer", true)).collect()
}

fn step(hook: &Hook, kind: &str, created: bool) -> Result<Step, Error> {
    let path = hook.path();
    if !path.is_absolute() {
        return Err(Error::config(format!("the path of {kind} hook {} is not absolute", path.display())));
    }
    let name = path.to_string_lossy().into_owned();
    let arguments = hook.args().clone().filter(|args| !args.is_empty()).unwrap_or_else(|| vec![name]);
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) if seconds > 0 => Some(i32::try_from(seconds.saturating_mul(1000)).unwrap_or(i32::MAX)),
        Some(_) => {
            return Err(Error::config(format!(
                "the timeout of {kind} hook {} is not positive",
                path.display()
            )));
        }
    };
    let op = Op::Hook(step::Hook {
        path: c_path(path, "a hook's path")?,
        arguments: Strings::new(arguments.iter(), "a hook's args", false)?,
        environment: Strings::new(hook.env().iter().flatten(), "a hook's env", false)?,
        timeout,
        created,
    });
    Ok(Step::new(format!("run {kind} hook {}", path.display()), op))
}
