//! The process of an exec: the container's own, with what the exec asks for.

use std::path::Path;

use oci_spec::runtime::Process;

use super::{Input, plan_process};
use crate::container::namespaces::Shares;
use crate::container::view::ContainerView;
use crate::error::Error;
use crate::exec::ExecConfig;

/// The OCI configuration's process for an exec in a container.
///
/// # Errors
/// The record holds what cannot be expressed, although it was validated when it was made.
pub(crate) fn exec(view: &ContainerView, exec: &ExecConfig) -> Result<Process, Error> {
    let mut config = (*view.config).clone();
    config.entrypoint = None;
    config.cmd = Some(exec.cmd.clone());
    config.env.extend(exec.env.iter().cloned());
    config.tty = exec.tty;
    config.host.console_size = exec.console_size;
    config.host.privileged |= exec.privileged;
    for (ours, theirs) in [(&mut config.working_dir, &exec.working_dir), (&mut config.user, &exec.user)] {
        if !theirs.is_empty() {
            ours.clone_from(theirs);
        }
    }
    let input = Input {
        id: &view.id,
        config: &config,
        paths: &view.paths,
        cgroup: "",
        mounts: &[],
        volumes: Path::new(""),
        shares: &Shares::default(),
        filter: None,
    };
    let mut process = Process::default();
    plan_process(input, &mut process)
        .map_err(|error| Error::internal(format!("plan an exec in container {}", view.id), &error))?;
    Ok(process)
}
