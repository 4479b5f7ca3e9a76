//! System calls that no library offers in a form fit for a freshly cloned child.
//!
//! All of them return the error number instead of leaving it in `errno`, and none allocates or locks.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr;

use rustix::io::{Errno, FdFlags};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use super::plan::Scheduling;
use super::step::Attributes;
use crate::seccomp::Program;

/// libc's constant of this name is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// The child is a sibling: its parent is this process' parent, to which it says its end as this process would.
pub(super) const CLONE_PARENT: u64 = libc::CLONE_PARENT as u64;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
const NEW_LISTENER: libc::c_ulong = 1 << 3;

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, which only a filter with a listener may have.
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

/// The exit code of a child that could not do its work.
pub(super) const CHILD_FAILED: i32 = 125;

/// What [`clone`] returns to the parent.
pub(super) struct Cloned {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    Err(io::Error::last_os_error().raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error))
}

/// Clones this process, with `CLONE_*` flags and, if given, into a cgroup2 group, and runs `child` in the copy.
///
/// All signals are blocked in the child, so that no handler of the parent runs in it.
pub(super) fn clone(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce(),
) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all fields of clone_args are integers, for which zero is a valid value and means "unused".
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
    // A sibling's signal is the kernel's choice: this process' own.
    if flags & CLONE_PARENT == 0 {
        arguments.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(0);
    }
    let previous = block_signals();
    // SAFETY: without CLONE_VM the child has a copy of all memory, and without a new stack it goes on where the parent
    // does, as after fork(2). It calls nothing but `child`, which does not return, allocate or lock, so that the state
    // other threads left in the copy does not matter. `arguments` is live and of the size given.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut arguments), size_of::<libc::clone_args>())
    };
    if result == 0 {
        let _guard = NoReturn;
        child();
        exit(CHILD_FAILED);
    }
    let result = check(result);
    restore_signals(&previous);
    let pid = i32::try_from(result?).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
    // SAFETY: the kernel has stored a new descriptor that nobody else owns, since the call succeeded.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned { pid, pidfd })
}

/// Child: copies this process, by the older call: filters of init may refuse the newer one. `None` in the copy.
pub(super) fn fork() -> Result<Option<Cloned>, Errno> {
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: without CLONE_VM the copy has memory of its own and goes on where this process does; the kernel stores a
    // descriptor through the third argument, which is live.
    let result =
        unsafe { libc::syscall(libc::SYS_clone, flags, none, ptr::from_mut(&mut pidfd), none, none) };
    let Some(pid) = i32::try_from(check(result)?).ok().and_then(Pid::from_raw) else { return Ok(None) };
    // SAFETY: the kernel has stored a new descriptor that nobody else owns, since the call succeeded.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Cloned { pid, pidfd }))
}

/// Ends the process when dropped: a panic in the child must not unwind into what the parent was doing.
struct NoReturn;

impl Drop for NoReturn {
    fn drop(&mut self) {
        exit(CHILD_FAILED);
    }
}

/// Ends the process at once, running nothing of the parent's.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: _exit takes any integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Child: blocks every signal.
pub(super) fn block_all_signals() {
    block_signals();
}

/// Child: waits for any signal, all of which are blocked, and takes it.
pub(super) fn await_signal() -> libc::c_int {
    let all = u64::MAX;
    loop {
        // SAFETY: the kernel reads a set of the size given, and nothing is asked for but the number.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                ptr::from_ref(&all),
                ptr::null_mut::<libc::siginfo_t>(),
                ptr::null::<libc::timespec>(),
                8_usize,
            )
        };
        if let Some(signal) = i32::try_from(result).ok().filter(|signal| *signal > 0) {
            return signal;
        }
    }
}

/// Child: sends a signal, whatever its number. One that has ended needs none.
pub(super) fn kill(pid: Pid, signal: libc::c_int) {
    // SAFETY: the call takes numbers only.
    unsafe { libc::syscall(libc::SYS_kill, pid.as_raw_nonzero().get(), signal) };
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: sigset_t is an array of integers, for which zero is valid.
    let (mut all, mut previous): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is live and writable.
    unsafe { libc::sigfillset(&mut all) };
    // SAFETY: both sets are live for the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut previous) };
    previous
}

fn restore_signals(set: &libc::sigset_t) {
    // SAFETY: the set is live for the call, and the previous one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, ptr::null_mut()) };
}

/// Child: gives every signal its default disposition and unblocks all.
pub(super) fn default_signals() {
    /// The kernel's `struct sigaction` is shorter than this, and all zero is `SIG_DFL` without flags.
    const DEFAULT: [u64; 8] = [0; 8];
    /// The kernel's signal sets have 64 bits.
    const SET_SIZE: usize = 8;
    for signal in 1..=64 {
        // KILL and STOP cannot be set, which is what is wanted.
        // SAFETY: the kernel reads at most the given structure and writes nothing, as the old action is not asked for.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), ptr::null_mut::<u64>(), SET_SIZE)
        };
    }
    let none = 0_u64;
    // SAFETY: the kernel reads a set of the size given, and the old one is not asked for.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::from_ref(&none),
            ptr::null_mut::<u64>(),
            SET_SIZE,
        )
    };
}

/// Changes attributes and propagation of the mount that `mount` is the root of.
pub(super) fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    propagation: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let Attributes { set, clear } = attributes;
    let change = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    change_mount(mount, &change, recursive)
}

/// Maps identities of files below `mount`, which is attached nowhere, as the user namespace maps them.
pub(super) fn map_identities(
    mount: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<(), Errno> {
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).unwrap_or(0),
    };
    change_mount(mount, &change, recursive)
}

fn change_mount(mount: BorrowedFd<'_>, change: &libc::mount_attr, recursive: bool) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and the structure live and of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(change),
            size_of::<libc::mount_attr>(),
        )
    };
    check(result).map(drop)
}

/// Sets this process' scheduler.
pub(super) fn set_scheduler(scheduling: &Scheduling) -> Result<(), Errno> {
    // SAFETY: the structure is laid out as the kernel's, live, and says its own size.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, ptr::from_ref(scheduling), 0) };
    check(result).map(drop)
}

/// Sets this process' class and level of input and output.
pub(super) fn set_io_priority(priority: libc::c_int) -> Result<(), Errno> {
    /// `IOPRIO_WHO_PROCESS`.
    const PROCESS: libc::c_int = 1;
    // SAFETY: the call takes numbers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, priority) };
    check(result).map(drop)
}

/// Sets this process' execution domain.
pub(super) fn set_personality(personality: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: the call takes a number and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_personality, personality) };
    check(result).map(drop)
}

/// A new namespace for this process.
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: the caller asks for namespaces only, never for CLONE_FILES, and a cloned child has one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Installs a seccomp filter. Returns the number of the descriptor at which it asks, if it is to have one.
pub(super) fn seccomp(program: &Program, listens: bool) -> Result<RawFd, Errno> {
    let instructions = program.instructions();
    let filter = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::INVAL)?,
        // `Instruction` is laid out as the kernel's, which does not write through the pointer.
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    let flags = libc::c_ulong::from(program.flags());
    let flags = if listens { flags | NEW_LISTENER } else { flags & !WAIT_KILLABLE };
    // SAFETY: the kernel reads `len` instructions from `filter`, which points into a live slice of that length.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, ptr::from_ref(&filter))
    };
    check(result).map(|number| RawFd::try_from(number).unwrap_or(-1))
}

/// The version of the kernel's Landlock interface, if it has one.
pub(super) fn landlock_version() -> Option<u32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION`.
    const VERSION: libc::c_uint = 1;
    let none = ptr::null::<u64>();
    // SAFETY: with this flag the call takes no structure, and only answers a number.
    let result = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    check(result).ok().and_then(|version| u32::try_from(version).ok()).filter(|version| *version > 0)
}

/// A set of Landlock rules that has to allow these accesses to files and ports.
pub(super) fn landlock_ruleset(files: u64, ports: u64) -> Result<OwnedFd, Errno> {
    // The kernel's `struct landlock_ruleset_attr`; the first versions know files alone.
    let attributes = [files, ports];
    let size = if ports == 0 { size_of::<u64>() } else { size_of_val(&attributes) };
    // SAFETY: the kernel reads `size` bytes of the live array.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), size, 0_u32) };
    let number = RawFd::try_from(check(result)?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has made a new descriptor that nobody else owns, since the call succeeded.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Allows accesses to a file, or to a directory and all below it.
pub(super) fn landlock_allow_path(
    set: BorrowedFd<'_>,
    path: BorrowedFd<'_>,
    access: u64,
) -> Result<(), Errno> {
    /// `LANDLOCK_RULE_PATH_BENEATH`.
    const PATH_BENEATH: libc::c_uint = 1;
    #[repr(C, packed)]
    struct Rule {
        access: u64,
        path: RawFd,
    }
    landlock_allow(set, PATH_BENEATH, &Rule { access, path: path.as_raw_fd() })
}

/// Allows accesses to a TCP port.
pub(super) fn landlock_allow_port(set: BorrowedFd<'_>, port: u16, access: u64) -> Result<(), Errno> {
    /// `LANDLOCK_RULE_NET_PORT`.
    const NET_PORT: libc::c_uint = 2;
    landlock_allow(set, NET_PORT, &[access, u64::from(port)])
}

fn landlock_allow<T>(set: BorrowedFd<'_>, kind: libc::c_uint, rule: &T) -> Result<(), Errno> {
    // SAFETY: the rule is live and laid out as the kernel's of this kind, which both callers see to.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, set.as_raw_fd(), kind, ptr::from_ref(rule), 0_u32)
    };
    check(result).map(drop)
}

/// Holds this process, and whatever it executes, to the rules.
pub(super) fn landlock_restrict(set: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the call takes numbers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, set.as_raw_fd(), 0_u32) };
    check(result).map(drop)
}

/// `KEYCTL_JOIN_SESSION_KEYRING`.
const JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Joins a new session keyring of the given name.
pub(super) fn new_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads a C string.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    check(result).map(drop)
}

/// Sets the up flag of the loopback device in this process' network namespace.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: ifreq consists of integers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is live, named, and of the type this ioctl reads.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, ptr::from_ref(&request)) };
    check(result.into()).map(drop)
}

/// Makes `from` the descriptor `to`, closed on exec if asked for.
pub(super) fn dup_to(from: BorrowedFd<'_>, to: RawFd, close_on_exec: bool) -> Result<(), Errno> {
    if from.as_raw_fd() == to {
        let flags = if close_on_exec { FdFlags::CLOEXEC } else { FdFlags::empty() };
        return rustix::io::fcntl_setfd(from, flags);
    }
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: replacing a descriptor by number is sound in the child, which owns its whole table and from here on uses
    // only 0 to 3 by number.
    let result = unsafe { libc::dup3(from.as_raw_fd(), to, flags) };
    check(result.into()).map(drop)
}

/// A descriptor by its number.
pub(super) fn descriptor(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the number is one of the child's own table, which nothing but the child itself closes, and it uses no
    // descriptor after that.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// The child's copy of a descriptor that the parent owns.
pub(super) fn inherited(fd: BorrowedFd<'_>) -> BorrowedFd<'static> {
    descriptor(fd.as_raw_fd())
}

/// A descriptor that stays open until the child executes its command or closes it by number.
pub(super) fn inherited_owned(fd: OwnedFd) -> BorrowedFd<'static> {
    descriptor(fd.into_raw_fd())
}

/// Closes the child's copy of a descriptor that only the parent uses.
pub(super) fn close(fd: BorrowedFd<'_>) {
    // SAFETY: the owner is the parent's, whose table is another one; the child's copy is never used again.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Closes all descriptors from `first` on.
pub(super) fn close_from(first: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: the child owns its whole table and never uses a descriptor above again, nor drops its owner.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    check(result).map(drop)
}

/// Sets the supplementary groups of this process.
pub(super) fn set_groups(groups: &[libc::gid_t]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many groups as the slice has.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    check(result).map(drop)
}

/// Executes a program. Returns only with an error.
pub(super) fn execve(
    path: &CStr,
    arguments: &super::plan::Strings,
    environment: &super::plan::Strings,
) -> Errno {
    // SAFETY: the path is a C string, and `Strings` holds null-terminated arrays of live C strings.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execve,
            path.as_ptr(),
            arguments.pointers().as_ptr(),
            environment.pointers().as_ptr(),
        )
    };
    check(result).err().unwrap_or(Errno::INVAL)
}
