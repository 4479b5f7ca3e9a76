//! A further process in a container that runs.

use std::os::fd::OwnedFd;

use oci_spec::runtime::Process;
use rustix::termios::Winsize;

use super::{Command, Plan, check_process, confine, join_cgroup, oom_score};
use crate::container::step::{Op, Step};
use crate::container::user::Wanted;
use crate::container::{Error, Membership, Stdio};

impl Plan {
    /// The plan of `process` in the container that `init` is the first process of.
    pub(in crate::container) fn member(
        process: &Process,
        stdio: Stdio,
        init: OwnedFd,
        membership: &Membership<'_>,
    ) -> Result<Self, Error> {
        check_process(process)?;
        let mut steps = Vec::with_capacity(48);
        join_cgroup(membership.cgroup, &mut steps)?;
        oom_score(process, &mut steps)?;
        steps.push(Step::new("join the container's namespaces", Op::Member(init)));
        steps.push(Step::new("make a session keyring", Op::NewKeyring(c"beeline".to_owned())));
        steps.push(Step::new("make a session", Op::Session));
        if let Stdio::Terminal = stdio {
            steps.push(Step::new("open a terminal in the container's /dev/pts", Op::Terminal(size(process))));
        }
        let confine_from = steps.len();
        confine::steps(process, membership.filter.cloned(), stdio, &mut steps)?;
        Ok(Self {
            // The caller's parent becomes the process' own.
            clone_flags: libc::CLONE_PARENT as u64,
            pid_namespace: None,
            cgroup: membership.cgroup.open_v2_fd()?,
            steps,
            confine_from,
            user: Wanted::new(process, None),
            command: Command::new(process)?,
            init: false,
        })
    }
}

fn size(process: &Process) -> Option<Winsize> {
    let cells = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
    process.console_size().map(|size| Winsize {
        ws_row: cells(size.height()),
        ws_col: cells(size.width()),
        ws_xpixel: 0,
        ws_ypixel: 0,
    })
}
