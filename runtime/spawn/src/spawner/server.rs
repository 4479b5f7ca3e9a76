//! The spawner's own side: receive, fork, repeat.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::ForkResult;
use rustix::fs::{Mode, OFlags};

use super::transfer::{self, Received};
use crate::fault::{self, Point};
use crate::memory;
use crate::shim;

/// Receives requests and forks a shim for each, until the daemon goes. The binary calls this when its first argument
/// is [`SPAWNER_ARG`](super::SPAWNER_ARG), before it starts a thread or opens a descriptor; its standard input is
/// the socket.
pub fn spawner_main() -> ! {
    let code = match prepare().and_then(|socket| serve(&socket)) {
        Ok(()) => 0,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "a process of its own, with no other way to tell")]
            {
                eprintln!("beeline: spawner: {error}");
            }
            1
        }
    };
    std::process::exit(code)
}

/// Makes this a process of which every copy can become a shim: no descriptor of the daemon's, no handler, no terminal.
fn prepare() -> io::Result<OwnedFd> {
    // SAFETY: the process has just begun; nothing in it owns a descriptor above the standard ones.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    // Out of the reach of a terminal's signals to the daemon. It fails for a process group's leader, which has none.
    let _ = rustix::process::setsid();
    rustix::thread::set_name(c"beeline-spawner")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // Rust ignores SIGPIPE, and posix_spawn signals of the C library's own; init would inherit that.
    reset_signals();
    // The kernel reaps shims: what becomes of one, the daemon learns from its connection.
    shim::set_handler(Signal::SIGCHLD, SigHandler::SigIgn)?;
    memory::release();
    Ok(socket)
}

/// Gives every signal its default effect. The C library refuses to touch the two it keeps for itself, so the kernel
/// is asked directly.
fn reset_signals() {
    // The kernel's struct sigaction: handler 0 is SIG_DFL; no flags, restorer or mask.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure is at least as long as the kernel reads, and no old one is asked for. SIGKILL and
        // SIGSTOP are refused, which changes nothing.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8_usize,
            );
        }
    }
}

fn serve(socket: &OwnedFd) -> io::Result<()> {
    loop {
        match transfer::receive(socket.as_fd()) {
            Ok(Some(received)) => fork(socket, received),
            Ok(None) => return Ok(()),
            // The request is lost, and with it its control connection, by which the daemon notices.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(error),
        }
    }
}

fn fork(socket: &OwnedFd, received: Received) {
    let forked = match fault::fail(Point::SpawnerFork) {
        // SAFETY: this process has one thread, so the child may do whatever the parent may.
        Ok(()) => unsafe { nix::unistd::fork() },
        Err(error) => Err(nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN))),
    };
    match forked {
        Ok(ForkResult::Child) => {
            // SAFETY: the child never returns to the owner of this descriptor, which is the parent's to close.
            unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(socket)) };
            shim::run(received.request, received.fds)
        }
        Ok(ForkResult::Parent { .. }) => {}
        Err(errno) => {
            if let Some(control) = received.fds.into_iter().next() {
                // If the daemon does not listen, there is nobody to tell.
                let _ = shim::refuse_fork(control, errno as i32);
            }
        }
    }
}
