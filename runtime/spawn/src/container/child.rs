//! Between clone and exec: init walks through the plan's steps.
//!
//! **Nothing in this module and below it allocates, takes a lock or panics.** It runs in a copy of a process whose other
//! threads may have held any lock. It calls the kernel with what [`super::plan`] prepared, and nothing else.

mod confine;
mod hook;
mod init;
mod landlock;
mod member;
mod mounts;
mod overlay;
mod path;
mod stage;

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{UnshareFlags, move_into_link_name_space};

use super::Error;
use super::plan::Plan;
use super::step::Op;
use super::sync::{self, DETAIL, MAX_IDENTITY};
use super::syscall::{self, CHILD_FAILED, Cloned};
use super::user::MAX_GROUPS;

/// What the child knows and holds.
struct Child<'a> {
    socket: BorrowedFd<'a>,
    /// The fence, if it is not the socket.
    start: Option<BorrowedFd<'a>>,
    started: Option<BorrowedFd<'a>>,
    /// What hooks read.
    creating_state: Option<BorrowedFd<'a>>,
    created_state: Option<BorrowedFd<'a>>,
    /// The container's root.
    root: Option<OwnedFd>,
    /// The container's /proc.
    proc: Option<OwnedFd>,
    /// The empty directory that masks directories, as a mount.
    mask: Option<OwnedFd>,
    terminal: Option<Terminal>,
    uid: u32,
    gid: u32,
    groups: [u32; MAX_GROUPS],
    group_count: usize,
    /// What the kernel says about a failed mount.
    detail: [u8; DETAIL],
    detail_length: usize,
}

struct Terminal {
    /// Becomes the parent's.
    master: OwnedFd,
    slave: OwnedFd,
}

/// Clones a child that carries the plan out.
pub(super) fn spawn(plan: &mut Plan) -> Result<(sync::Parent, Cloned), Error> {
    let (parent, socket) = sync::pair()?;
    let flags = plan.clone_flags;
    let cgroup = plan.cgroup.take();
    let cloned = if plan.stage > 0 {
        stage::spawn(plan, socket.as_fd(), &parent, cgroup.as_ref())
    } else {
        let child = || run(plan, socket.as_fd(), &parent);
        syscall::clone(flags, cgroup.as_ref().map(|group| group.as_fd()), child).map(Some)
    };
    drop(socket);
    match cloned.map_err(|error| Error::Clone(error.into()))? {
        Some(cloned) => Ok((parent, cloned)),
        None => Err(parent.why_not(plan)),
    }
}

fn run(plan: &mut Plan, socket: BorrowedFd<'_>, parent: &sync::Parent) {
    syscall::default_signals();
    // Modes of what is built are meant as they are.
    rustix::process::umask(Mode::empty());
    // The copy of the parent's end would keep its closing from being seen.
    syscall::close(parent.as_fd());
    let mut child = Child::new(socket, plan);
    for (number, step) in plan.steps.iter().enumerate().skip(plan.stage) {
        if matches!(step.op, Op::LastingFence) {
            // Told while the caller of `create` is there.
            if let Err(error) = find(plan) {
                sync::tell_not_executed(child.socket, error);
                syscall::exit(CHILD_FAILED);
            }
        }
        let result = if number == plan.confine_from {
            child.report_built(&mut plan.command).and_then(|()| child.step(&step.op))
        } else {
            child.step(&step.op)
        };
        if let Err(error) = result {
            sync::tell_failed(child.socket, number, error, child.said());
            syscall::exit(CHILD_FAILED);
        }
    }
    let error = match if plan.init { init::stay(&child) } else { Ok(()) } {
        Ok(()) => execute(plan),
        Err(error) => error,
    };
    sync::tell_not_executed(child.socket, error);
    syscall::exit(CHILD_FAILED)
}

/// Whether there is a command to execute.
fn find(plan: &Plan) -> Result<(), Errno> {
    let mut reason = Errno::NOENT;
    for candidate in &plan.command.candidates {
        match accessat(CWD, candidate.as_c_str(), Access::EXEC_OK, AtFlags::EACCESS) {
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) if plan.command.candidates.len() == 1 => {
                return Err(error);
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => reason = Errno::ACCESS,
            // There is one, or a filter does not let this question be asked.
            _ => return Ok(()),
        }
    }
    Err(reason)
}

/// Executes the command where it is found first. What counts is a file that is there but cannot be executed, else that
/// there is none.
fn execute(plan: &Plan) -> Errno {
    let mut reason = Errno::NOENT;
    for candidate in &plan.command.candidates {
        match syscall::execve(candidate, &plan.command.arguments, &plan.command.environment) {
            Errno::NOENT | Errno::NOTDIR if plan.command.candidates.len() > 1 => {}
            Errno::ACCESS => reason = Errno::ACCESS,
            other => return other,
        }
    }
    reason
}

impl<'a> Child<'a> {
    fn new(socket: BorrowedFd<'a>, plan: &Plan) -> Self {
        let (fence, states) = (plan.fence.as_ref(), plan.hook_states.as_ref());
        Child {
            socket,
            start: fence.map(|fence| syscall::inherited(fence.start.as_fd())),
            started: fence.map(|fence| syscall::inherited(fence.started.as_fd())),
            creating_state: states.map(|states| syscall::inherited(states.file(false))),
            created_state: states.map(|states| syscall::inherited(states.file(true))),
            root: None,
            proc: None,
            mask: None,
            terminal: None,
            uid: 0,
            gid: 0,
            groups: [0; MAX_GROUPS],
            group_count: 0,
            detail: [0; DETAIL],
            detail_length: 0,
        }
    }

    /// What is needed until exec.
    fn held(&self) -> [Option<BorrowedFd<'a>>; 4] {
        [Some(self.socket), self.start, self.started, self.created_state]
    }

    /// What the kernel says about the step that failed.
    fn said(&self) -> &[u8] {
        self.detail.get(..self.detail_length).unwrap_or_default()
    }
}

impl Child<'_> {
    fn step(&mut self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::JoinCgroup(tasks) => rustix::io::write(tasks, b"0").map(drop),
            Op::EnterNamespace(fd, kind) => move_into_link_name_space(fd.as_fd(), Some(*kind)),
            Op::Member { init, user } => self.member(init.as_fd(), *user),
            Op::Terminal(size) => self.open_terminal(*size),
            Op::UnshareCgroup => syscall::unshare(UnshareFlags::NEWCGROUP),
            Op::NewKeyring(name) => match syscall::new_keyring(name) {
                // A kernel without keyrings has none to share.
                Err(Errno::NOSYS) => Ok(()),
                result => result,
            },
            Op::OomScore(score) => write_file(CWD, c"/proc/self/oom_score_adj", score),
            Op::AwaitIdentityMap { root } => self.await_identity_map(*root),
            Op::BecomeRoot => become_root(),
            Op::UnshareTime(offsets) => unshare_time(offsets),
            Op::NotDumpable => hide(),
            Op::Scheduler(scheduling) => syscall::set_scheduler(scheduling),
            Op::IoPriority(priority) => syscall::set_io_priority(*priority),
            Op::Personality(personality) => syscall::set_personality(*personality),
            Op::Affinity(processors) => rustix::thread::sched_setaffinity(None, &processors.0),
            Op::Session => rustix::process::setsid().map(drop),
            Op::LoopbackUp => loopback_up(),
            Op::Hostname(name) => rustix::system::sethostname(name.to_bytes()),
            Op::Domainname(name) => rustix::system::setdomainname(name.to_bytes()),
            Op::Propagation(propagation) => mounts::propagation(*propagation),
            Op::Root(root) => self.mount_root(root),
            Op::Mount(mount) => self.mount(mount),
            Op::Bind(bind) => self.bind(bind),
            Op::Device(device) => self.device(device),
            Op::Link { parent, name, to } => self.link(parent, name, to),
            Op::Directory(target) => self.target(target).map(drop),
            Op::Console { size, target } => self.console(*size, target),
            Op::OpenRoot => self.open_root(),
            Op::Sysctl { path, value } => {
                write_file(self.proc.as_ref().ok_or(Errno::NOENT)?.as_fd(), path, value)
            }
            Op::Mask(path) => self.mask(path),
            Op::Readonly(path) => self.readonly(path),
            Op::AwaitHooks => {
                sync::tell_root_built(self.socket)?;
                sync::await_packet(self.socket, &mut [0; 16]).map(drop)
            }
            Op::Hook(hook) => self.hook(hook),
            Op::Label(label) => confine::label(label),
            Op::Pivot => self.pivot(),
            Op::Chroot => self.change_root(),
            Op::RootPropagation(flags) => rustix::mount::mount_change(c"/", *flags),
            Op::ReadonlyRoot => self.readonly_root(),
            Op::Stdio(streams) => self.stdio(streams.as_ref()),
            Op::Rlimit(resource, limit) => rustix::process::setrlimit(*resource, *limit),
            Op::Workdir(path) => self.workdir(path),
            Op::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Op::Landlock(rules) => self.landlock(rules),
            Op::Seccomp(program) => syscall::seccomp(program, false).map(drop),
            Op::ListeningSeccomp(program) => self.listening_filter(program),
            Op::Bounding(keep) => confine::bounding(*keep),
            Op::User => self.become_user(),
            Op::Capabilities { sets, ambient } => confine::capabilities(*sets, *ambient),
            Op::Umask(mask) => {
                rustix::process::umask(Mode::from_raw_mode(*mask));
                Ok(())
            }
            Op::CloseOthers { preserved } => self.close_others(*preserved),
            Op::DieWithParent => confine::die_with_parent(),
            Op::Fence => self.fence(),
            Op::LastingFence => self.lasting_fence(),
        }
    }

    fn await_identity_map(&self, root: bool) -> Result<(), Errno> {
        sync::await_packet(self.socket, &mut [0; 16])?;
        if root { become_root() } else { Ok(()) }
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(|root| root.as_fd()).ok_or(Errno::NOENT)
    }

    /// Tells the parent that the root is built, and learns who the user is.
    fn report_built(&mut self, command: &mut super::plan::Command) -> Result<(), Errno> {
        let console = self.terminal.as_ref().map(|terminal| terminal.master.as_fd());
        sync::tell_built(self.socket, self.root()?, console)?;
        let mut packet = [0; MAX_IDENTITY];
        let length = sync::await_packet(self.socket, &mut packet)?;
        let packet = packet.get(..length).unwrap_or_default();
        let mut numbers = packet.chunks_exact(4).map(|bytes| match *bytes {
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
            _ => 0,
        });
        let mut number = || numbers.next().ok_or(Errno::INVAL);
        (self.uid, self.gid) = (number()?, number()?);
        self.group_count = number()? as usize;
        for group in self.groups.get_mut(..self.group_count).ok_or(Errno::INVAL)? {
            *group = number()?;
        }
        let home = packet.get(4 * (3 + self.group_count)..).ok_or(Errno::INVAL)?;
        command.environment.add(home);
        Ok(())
    }
}

/// Becomes the user and group 0 of this process' user namespace.
fn become_root() -> Result<(), Errno> {
    let (gid, uid) = (rustix::process::Gid::ROOT, rustix::process::Uid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    // The change may have shown it.
    hide()
}

/// Keeps other processes from looking at this one.
fn hide() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Gives this process' children clocks with the given offsets.
fn unshare_time(offsets: &CStr) -> Result<(), Errno> {
    syscall::unshare(UnshareFlags::NEWTIME)?;
    write_file(CWD, c"/proc/self/timens_offsets", offsets)
}

/// Writes a small file in one system call.
fn write_file(directory: BorrowedFd<'_>, path: &CStr, content: &CStr) -> Result<(), Errno> {
    let file = openat(directory, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, content.to_bytes()).map(drop)
}

fn loopback_up() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    syscall::loopback_up(socket.as_fd())
}
