//! A container's init process: an OCI configuration in, a process out.
//!
//! [`create`] plans everything from the configuration first: every path, argument and option becomes a C string, the
//! seccomp profile a program, and what has to be done a list of [steps](step::Step). Then it clones once. The child
//! neither allocates nor locks: it walks through the list, and reports the number of the step that failed, which the
//! parent turns into an error that names the operation and its object.
//!
//! Parent and child talk over one socket:
//!
//! | child | parent |
//! |---|---|
//! | builds the root, pivots into it | |
//! | `Built`, with the root's descriptor and the terminal's | looks the user up in the container's /etc/passwd |
//! | | `Identity`: uid, gid, groups, `HOME` |
//! | drops what init must not have | |
//! | `Created`, then blocks | [`create`] returns |
//! | | `Start` ([`Created::start`]) |
//! | executes the command, which closes the socket, or `Failed` | |
//!
//! The parent's end of the socket is the fence: if the parent goes, the child goes.
//!
//! A further process in a container that runs is made of the same pieces, see [`join`].

mod child;
mod error;
mod exec;
mod identity_map;
mod join;
mod landlock;
mod plan;
mod step;
mod sync;
mod syscall;
mod terms;

pub mod defaults;
pub mod user;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, prlimit, waitid};
use serde::{Deserialize, Serialize};

pub use error::Error;
pub(crate) use exec::{ExecTarget, exec};
pub(crate) use identity_map::root_on_host;
pub use identity_map::{Identities, UserNamespace};
pub use join::{Membership, join};
pub use landlock::{LANDLOCK, LandlockRules};
pub(crate) use landlock::{Ruleset, ruleset};
pub(crate) use plan::{MOUNT_OPTIONS, has_apparmor, has_selinux};
pub(crate) use sync::{Names, await_start, open_fence};
pub(crate) use terms::{Attendant, Fence, Terms};

use crate::cgroup::Cgroup;
use crate::seccomp::Program;

/// The annotation that, with the value `true`, asks for a small init before the command: it hands signals on and reaps.
pub const INIT: &str = "beeline.init";

/// What becomes a container's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rootfs {
    /// An overlay, mounted in the container's mount namespace only.
    Overlay {
        /// Read-only layers, the topmost first; at least one.
        lower: Vec<PathBuf>,
        /// Where changes go.
        upper: PathBuf,
        /// An empty directory on the same file system as `upper`, for the kernel's use.
        work: PathBuf,
    },
    /// A directory as it is.
    Directory(PathBuf),
}

/// What a container's standard streams are.
#[derive(Debug)]
pub enum Stdio {
    /// The given descriptors become 0, 1 and 2.
    Descriptors {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A pseudo terminal of the container's own devpts; see [`Created::console`]. The configuration has to say
    /// `process.terminal`.
    Terminal,
}

/// Where a container's network namespace comes from.
#[derive(Debug)]
pub enum NetNs {
    /// A new one, in which only the loopback device is up.
    New,
    /// The caller's own.
    Host,
    /// An existing one.
    Fd(OwnedFd),
    /// What the configuration says: new, existing or the caller's own.
    Configured,
}

/// A process that was cloned and builds what it needs. Dropping it ends it.
#[derive(Debug)]
pub struct Cloned {
    process: Process,
    sync: sync::Parent,
    plan: plan::Plan,
}

/// A container that is built and waits to execute its command. Dropping it ends it.
#[derive(Debug)]
pub struct Created {
    process: Process,
    sync: sync::Parent,
    plan: plan::Plan,
}

/// A container whose init executes its command. Dropping it leaves it running.
#[derive(Debug)]
pub struct Running {
    /// Init's process id, as the caller's pid namespace has it.
    pub pid: Pid,
    /// Readable when init has exited; it is the caller's to wait for.
    pub pidfd: OwnedFd,
    /// The terminal's other end, if there is a terminal.
    pub console: Option<OwnedFd>,
}

/// A cloned process, ended and waited for when dropped.
#[derive(Debug)]
struct Process {
    pid: Pid,
    /// Taken when the process becomes the caller's.
    pidfd: Option<OwnedFd>,
    console: Option<OwnedFd>,
}

/// Builds the container that `spec` describes, up to but without executing its command. `cgroup` has to exist.
///
/// The calling thread becomes init's parent: init dies with it (`PR_SET_PDEATHSIG`).
///
/// # Errors
/// The configuration asks for what is not supported, or a step failed. Then nothing is left but the group.
pub fn create(
    spec: &Spec,
    rootfs: &Rootfs,
    stdio: Stdio,
    netns: NetNs,
    cgroup: &Cgroup,
) -> Result<Created, Error> {
    create_attended(spec, rootfs, stdio, netns, cgroup, &mut ())
}

/// As [`create`], with somebody who gets the descriptor at which the seccomp filter asks.
///
/// # Errors
/// As [`create`]'s, and the attendant's.
pub(crate) fn create_attended(
    spec: &Spec,
    rootfs: &Rootfs,
    stdio: Stdio,
    netns: NetNs,
    cgroup: &Cgroup,
    attendant: &mut dyn Attendant,
) -> Result<Created, Error> {
    let plan = plan::Plan::new(spec, rootfs, stdio, netns, cgroup, Terms::default())?;
    Cloned::new(plan)?.attended(attendant)
}

/// As [`create`], on an OCI runtime's terms: init need not die with its parent, and `attendant` is called at the moments
/// at which the caller has something to do.
///
/// # Errors
/// As [`create`]'s, and the attendant's.
pub(crate) fn create_on(
    spec: &Spec,
    rootfs: &Rootfs,
    stdio: Stdio,
    cgroup: &Cgroup,
    terms: Terms,
    attendant: &mut dyn Attendant,
) -> Result<Created, Error> {
    Cloned::new(plan::Plan::new(spec, rootfs, stdio, NetNs::Configured, cgroup, terms)?)?.attended(attendant)
}

impl Cloned {
    fn new(mut plan: plan::Plan) -> Result<Self, Error> {
        let (sync, cloned) = child::spawn(&mut plan)?;
        let process = Process { pid: cloned.pid, pidfd: Some(cloned.pidfd), console: None };
        Ok(Self { process, sync, plan })
    }

    /// The process' id, as the caller's pid namespace has it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Readable when the process has exited.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd()
    }

    /// Waits until the process needs nothing but its start.
    ///
    /// # Errors
    /// A step failed, or there is no such user. Then the process is gone.
    pub fn created(self) -> Result<Created, Error> {
        self.attended(&mut ())
    }

    /// The same, and does on the way what is the caller's to do.
    pub(crate) fn attended(self, attendant: &mut dyn Attendant) -> Result<Created, Error> {
        let Self { mut process, sync, plan } = self;
        if let Some(map) = &plan.identity_map {
            map.write(process.pid)?;
            sync.go_on(&plan)?;
        }
        if let Some(states) = &plan.hook_states {
            states.write(process.pid, attendant)?;
            sync.built_root(&plan)?;
            attendant.root_is_built(process.pid)?;
            sync.go_on(&plan)?;
        }
        let built = sync.built(&plan)?;
        process.console = built.console;
        for limit in &plan.limits {
            prlimit(Some(process.pid), limit.resource, limit.value).map_err(|source| Error::Step {
                what: limit.what.clone(),
                detail: None,
                source: source.into(),
            })?;
        }
        let identity = plan.user.identify(built.root.as_fd())?;
        sync.identify(&identity, &plan)?;
        if plan.listens() {
            let listener = sync.listener(process.pidfd(), &plan)?;
            attendant.filter_listens(process.pid, listener)?;
            sync.go_on(&plan)?;
        }
        sync.created(&plan)?;
        Ok(Created { process, sync, plan })
    }
}

impl Created {
    /// The seccomp filter that the container's command runs behind, if there is one.
    pub(crate) fn filter(&self) -> Option<&Program> {
        self.plan.filter()
    }

    /// The Landlock rules that the container's command is held to, if there are any.
    pub(crate) fn landlock(&self) -> Option<&Ruleset> {
        self.plan.landlock()
    }

    /// Init's process id, as the caller's pid namespace has it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Readable when init has exited.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd()
    }

    /// The terminal's other end, if there is a terminal.
    #[must_use]
    pub fn console(&self) -> Option<BorrowedFd<'_>> {
        self.process.console.as_ref().map(AsFd::as_fd)
    }

    /// What failures behind the fence are called.
    pub(crate) fn names(&self) -> Names {
        Names::after_fence(&self.plan)
    }

    /// Leaves init waiting at its fence, for whoever opens that.
    ///
    /// # Errors
    /// The process is not there any more.
    pub(crate) fn leave(mut self) -> Result<Running, Error> {
        let console = self.process.console.take();
        let pidfd = self.process.pidfd.take().ok_or(Error::Died)?;
        Ok(Running { pid: self.process.pid, pidfd, console })
    }

    /// Lets init execute the container's command, and returns when it does.
    ///
    /// # Errors
    /// [`Error::Exec`] when the command cannot be executed. Then init is gone.
    pub fn start(mut self) -> Result<Running, Error> {
        self.sync.start(&self.plan)?;
        let pid = self.process.pid;
        let console = self.process.console.take();
        match self.process.pidfd.take() {
            Some(pidfd) => Ok(Running { pid, pidfd, console }),
            None => Err(Error::Died),
        }
    }
}

/// Makes a mount read-only, and if asked for all that is mounted below it.
pub(crate) fn set_read_only(mount: BorrowedFd<'_>, recursive: bool) -> std::io::Result<()> {
    set_attributes(mount, libc::MOUNT_ATTR_RDONLY, recursive)
}

/// Maps identities of files in a mount that is attached nowhere, as the user namespace does.
pub(crate) fn map_identities(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> std::io::Result<()> {
    Ok(syscall::map_identities(mount, namespace, false)?)
}

/// Gives a mount attributes, `MOUNT_ATTR_*`, and if asked all that is mounted below it.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> std::io::Result<()> {
    Ok(syscall::mount_setattr(mount, step::Attributes { set, clear: 0 }, 0, recursive)?)
}

impl Process {
    fn pidfd(&self) -> BorrowedFd<'_> {
        // Only `start`, which consumes the container, takes it.
        #[allow(clippy::expect_used, reason = "taken only by a method that consumes the owner")]
        self.pidfd.as_ref().expect("a created container has its pidfd").as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(pidfd) = &self.pidfd else { return };
        // It may have ended already; then waiting returns at once.
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED));
    }
}
