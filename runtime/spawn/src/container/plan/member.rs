//! Further processes of a container that runs: the same steps as init's, without those that build.

use std::os::fd::OwnedFd;

use oci_spec::runtime::Process;
use rustix::termios::Winsize;
use rustix::thread::LinkNameSpaceType;

use super::{
    Command, Plan, check_process, confine, hide, join_cgroup, namespaces::enter, oom_score, schedule,
};
use crate::cgroup::Cgroup;
use crate::container::exec::{ExecTarget, namespaces_apart};
use crate::container::step::{Op, Step};
use crate::container::syscall::CLONE_PARENT;
use crate::container::user::Wanted;
use crate::container::{Error, Membership, Stdio, Terms};

impl Plan {
    /// The plan of `process` in the container that `init` is the first process of, for a caller that has joined its
    /// process id namespace and is not its parent.
    pub(in crate::container) fn member(
        process: &Process,
        groups: Vec<String>,
        stdio: Stdio,
        init: OwnedFd,
        membership: &Membership<'_>,
    ) -> Result<Self, Error> {
        let mut steps = arrival(process, membership.cgroup)?;
        let in_user_namespace = membership.root.is_some();
        let op = Op::Member { init, user: in_user_namespace };
        steps.push(Step::new("join the container's namespaces", op));
        steps.push(Step::new("make a session keyring", Op::NewKeyring(c"beeline".to_owned())));
        let walls = confine::Walls {
            landlock: membership.landlock.cloned(),
            filter: membership.filter.cloned().map(if membership.listens {
                Op::ListeningSeccomp
            } else {
                Op::Seccomp
            }),
        };
        let plan = Further { process, groups, stdio, walls, in_user_namespace, terms: &Terms::default() };
        // The caller's parent becomes the process' own.
        Ok(Self { clone_flags: CLONE_PARENT, ..plan.plan(steps, membership.cgroup)? })
    }

    /// The plan of `process` in any container, which is joined by a process between.
    pub(in crate::container) fn exec(
        target: &ExecTarget<'_>,
        process: &Process,
        stdio: Stdio,
        terms: &Terms,
    ) -> Result<Self, Error> {
        let mut steps = arrival(process, target.cgroup)?;
        let mut in_user_namespace = false;
        for (fd, kind) in namespaces_apart(target.init)? {
            in_user_namespace |= kind == LinkNameSpaceType::User;
            steps.push(enter(fd, kind));
        }
        if in_user_namespace {
            steps.push(Step::new("become root of the user namespace", Op::BecomeRoot));
        }
        let stage = steps.len();
        steps.push(Step::new("open the container's root", Op::OpenRoot));
        schedule::personality(target.linux, &mut steps)?;
        let walls = confine::Walls {
            landlock: target.landlock.clone(),
            filter: confine::filter(target.linux.seccomp().as_ref())?,
        };
        let further = Further { process, groups: Vec::new(), stdio, walls, in_user_namespace, terms };
        Ok(Self { stage, ..further.plan(steps, target.cgroup)? })
    }
}

/// The steps before a container's namespaces are joined.
fn arrival(process: &Process, cgroup: &Cgroup) -> Result<Vec<Step>, Error> {
    check_process(process)?;
    let mut steps = Vec::with_capacity(48);
    let affinity = process.exec_cpu_affinity().as_ref();
    schedule::affinity(affinity.and_then(|set| set.initial().as_deref()), &mut steps)?;
    join_cgroup(cgroup, &mut steps)?;
    schedule::affinity(affinity.and_then(|set| set.cpu_affinity_final().as_deref()), &mut steps)?;
    oom_score(process, &mut steps)?;
    confine::labels(process, &mut steps)?;
    steps.push(hide());
    Ok(steps)
}

/// What a process that has joined a container still needs.
struct Further<'a> {
    process: &'a Process,
    groups: Vec<String>,
    stdio: Stdio,
    walls: confine::Walls,
    in_user_namespace: bool,
    terms: &'a Terms,
}

impl Further<'_> {
    fn plan(self, mut steps: Vec<Step>, cgroup: &Cgroup) -> Result<Plan, Error> {
        let Self { process, groups, stdio, walls, in_user_namespace, terms } = self;
        schedule::steps(process, &mut steps)?;
        steps.push(Step::new("make a session", Op::Session));
        if let Stdio::Terminal = stdio {
            let op = Op::Terminal(terminal_size(process));
            steps.push(Step::new("open a terminal in the container's /dev/pts", op));
        }
        let confine_from = steps.len();
        confine::steps(process, walls, in_user_namespace, stdio, terms, &mut steps)?;
        Ok(Plan {
            clone_flags: 0,
            cgroup: cgroup.open_v2_fd()?,
            steps,
            stage: 0,
            identity_map: None,
            hook_states: None,
            fence: None,
            confine_from,
            limits: confine::limits(process, in_user_namespace),
            user: Wanted::new(process, groups),
            command: Command::new(process)?,
            init: false,
        })
    }
}

pub(super) fn terminal_size(process: &Process) -> Option<Winsize> {
    let cells = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
    process.console_size().map(|size| Winsize {
        ws_row: cells(size.height()),
        ws_col: cells(size.width()),
        ws_xpixel: 0,
        ws_ypixel: 0,
    })
}
