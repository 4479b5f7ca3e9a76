//! What the child does, as data prepared by the parent.
//!
//! A step is complete before the clone: the child only makes system calls with it. Its description is used by the
//! parent alone, when the child reports that the step failed.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use rustix::process::{Resource, Rlimit};
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType};

use super::landlock::Ruleset;
use super::plan::{Affinity, Scheduling, Strings};
use crate::seccomp::Program;

/// One operation of the child, and how an error names it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    /// The operation and its object: "mount proc on /proc".
    pub(super) what: String,
}

impl Step {
    pub(super) fn new(what: impl Into<String>, op: Op) -> Self {
        Self { op, what: what.into() }
    }
}

/// The operations, roughly in the order they are done.
#[derive(Debug)]
pub(super) enum Op {
    /// Wait until the parent has written this user namespace's maps, and become its root if it has one.
    AwaitIdentityMap {
        root: bool,
    },
    /// Become the root of the user namespace that was joined.
    BecomeRoot,
    /// New time namespaces for this process' children, with these offsets.
    UnshareTime(CString),
    /// Be no business of other processes: what is open here is not theirs to see.
    NotDumpable,
    /// Put this process into a v1 group, given its `tasks` file.
    JoinCgroup(OwnedFd),
    /// Join a container that runs, given its init: its namespaces, of which the process id's was joined before, and its
    /// root.
    Member {
        init: OwnedFd,
        /// It has a user namespace of its own.
        user: bool,
    },
    /// Open a pseudo terminal of the container's own devpts.
    Terminal(Option<Winsize>),
    /// Join an existing namespace.
    EnterNamespace(OwnedFd, LinkNameSpaceType),
    /// A new cgroup namespace, with the group this process is in now as its root.
    UnshareCgroup,
    /// A new session keyring, so that containers do not share one.
    NewKeyring(CString),
    /// Set this process' OOM score adjustment.
    OomScore(CString),
    Scheduler(Scheduling),
    IoPriority(libc::c_int),
    Personality(libc::c_ulong),
    /// Which CPUs this process may run on.
    Affinity(Affinity),
    /// A new session.
    Session,
    LoopbackUp,
    Hostname(CString),
    Domainname(CString),
    /// Keep what is mounted from here on out of the host.
    Propagation(Propagation),
    /// Mount the container's root over the host's.
    Root(Root),
    /// Mount a new file system.
    Mount(NewMount),
    /// Mount a part of the host's tree.
    Bind(Bind),
    /// Make a device node.
    Device(Device),
    /// Make a symbolic link, unless something is there.
    Link {
        parent: Target,
        name: CString,
        to: CString,
    },
    /// Make a directory, with its parents.
    Directory(Target),
    /// Open a pseudo terminal and mount it on /dev/console.
    Console {
        size: Option<Winsize>,
        target: Target,
    },
    /// Take this process' root for the container's: it has joined the container's mount namespace.
    OpenRoot,
    /// Set a kernel parameter of the container's namespaces, by its path below /proc.
    Sysctl {
        path: CString,
        value: CString,
    },
    /// Hide a path, if it exists.
    Mask(CString),
    /// Make a path read-only, if it exists.
    Readonly(CString),
    /// Tell the parent that the root is built, and wait for its hooks.
    AwaitHooks,
    /// Run a program, with the container's state for input.
    Hook(Hook),
    /// Ask a security module for a label from the next exec on.
    Label(Label),
    /// Make the container's root this process' root, and detach the host's.
    Pivot,
    /// Make the container's root this process' root, and leave the host's below it.
    Chroot,
    /// How mounts below the container's root relate to their peers.
    RootPropagation(MountPropagationFlags),
    /// Make the root itself read-only.
    ReadonlyRoot,

    // From here on the parent has said who the container's user is.
    /// Put the given descriptors, or the terminal, in place of 0, 1 and 2.
    Stdio(Option<[OwnedFd; 3]>),
    Rlimit(Resource, Rlimit),
    Workdir(CString),
    NoNewPrivileges,
    /// Hold this process and its descendants to rules for files and ports.
    Landlock(Ruleset),
    Seccomp(Program),
    /// Install a filter that asks a supervisor, and give the parent the descriptor to answer with.
    ListeningSeccomp(Program),
    /// Drop all but these from the bounding set.
    Bounding(CapabilitySet),
    /// Become the container's user, keeping permitted capabilities.
    User,
    Capabilities {
        sets: CapabilitySets,
        ambient: CapabilitySet,
    },
    Umask(u32),
    /// Hold nothing but the standard streams, as many descriptors as are passed on, and what is needed until exec.
    CloseOthers {
        preserved: u32,
    },
    /// Die with the parent from here on: a change of user forgets it.
    DieWithParent,
    /// Wait until the container is to start.
    Fence,
    /// The same, with a fence that anybody may open who finds it: the parent may go.
    LastingFence,
}

/// How mounts of the container's mount namespace relate to the host's while it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Propagation {
    /// What the host mounts appears in binds that ask for it.
    Slave,
    /// What the container mounts appears on the host, in binds that ask for it.
    Shared,
}

/// The container's root file system.
#[derive(Debug)]
pub(super) enum Root {
    Overlay(Overlay),
    /// A directory of the host.
    Directory(CString),
    /// A mount that the parent has made.
    Mount(OwnedFd),
}

/// An overlay mount.
#[derive(Debug)]
pub(super) struct Overlay {
    /// The topmost first.
    pub(super) lower: Vec<CString>,
    pub(super) upper: CString,
    pub(super) work: CString,
    /// A path is too long for `fsconfig(2)`.
    pub(super) always_legacy: bool,
}

/// A new file system's mount.
#[derive(Debug)]
pub(super) struct NewMount {
    pub(super) fstype: CString,
    pub(super) source: CString,
    pub(super) options: Vec<(CString, Option<CString>)>,
    pub(super) attributes: MountAttrFlags,
    pub(super) propagation: Option<MountPropagationFlags>,
    pub(super) target: Target,
    /// Keep the mount's descriptor: kernel parameters are written through it.
    pub(super) is_proc: bool,
}

/// A bind mount.
#[derive(Debug)]
pub(super) struct Bind {
    pub(super) source: Source,
    pub(super) recursive: bool,
    /// Changes to the topmost mount.
    pub(super) attributes: Attributes,
    /// Changes to it and all below it.
    pub(super) recursive_attributes: Attributes,
    pub(super) propagation: MountPropagationFlags,
    pub(super) target: Target,
}

/// What is bound.
#[derive(Debug)]
pub(super) enum Source {
    Path(CString),
    /// A path below a directory, resolved inside of it: whoever may write there cannot lead out.
    Below {
        whole: CString,
        subdir: CString,
    },
    /// A mount that the parent has made, because only it may.
    Made(OwnedFd),
}

/// Mount attributes to set and to clear, `MOUNT_ATTR_*`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) set: u64,
    pub(super) clear: u64,
}

/// A device node.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) parent: Target,
    pub(super) name: CString,
    /// File type and permissions.
    pub(super) mode: u32,
    pub(super) device: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// On which of the kernel's file systems a mount may go: that its path says so is one thing, that a link leads there
/// which somebody put in a shared volume is another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kernels {
    pub(super) proc: bool,
    pub(super) sys: bool,
}

/// A path in the container that is made if it is missing.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// Every prefix of the path that ends at a component, and that component, from the root down. None for the root.
    pub(super) prefixes: Vec<(CString, CString)>,
    /// The last component is a file.
    pub(super) file: bool,
    /// Symbolic links are refused, not followed.
    pub(super) plain: bool,
    /// A mount may go on a file system of the kernel's.
    pub(super) kernels: Kernels,
}

/// A hook that init runs.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) path: CString,
    pub(super) arguments: Strings,
    pub(super) environment: Strings,
    /// In milliseconds.
    pub(super) timeout: Option<i32>,
    /// Whether the container's state is `created`, not `creating`.
    pub(super) created: bool,
}

/// What is written to a file of /proc/self/attr: the first of them that is there.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) files: [&'static std::ffi::CStr; 2],
    pub(super) text: CString,
}
