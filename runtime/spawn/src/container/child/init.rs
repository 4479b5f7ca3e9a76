//! The small init that `--init` asks for: this process stays as the first of the container, hands signals on to the command
//! and reaps what nobody waits for.
//!
//! Nothing is executed for it, so that no file of the host's is to be seen in the container. What it executes (the
//! spawner's binary) lies on a read-only mount of its own, and it is not dumpable: processes of the container can neither
//! read its memory, a copy of the shim's, nor follow `/proc/1/exe`.

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, setpgid, wait};
use rustix::stdio::stdin;
use rustix::termios::tcsetpgrp;

use super::{Child, hide};
use crate::container::syscall::{self, Cloned};

/// Returns in the process that is to become the command. The one that called stays as init.
pub(super) fn stay(child: &Child<'_>) -> Result<(), Errno> {
    // Before the command can look; its own execution makes it dumpable again.
    hide()?;
    // A signal that comes from now on waits for whoever it is for.
    syscall::block_all_signals();
    match syscall::fork()? {
        None => {
            foreground();
            syscall::default_signals();
            Ok(())
        }
        Some(Cloned { pid, pidfd }) => {
            drop(pidfd);
            // What becomes of the execution is the command's to say.
            child.held().into_iter().flatten().for_each(syscall::close);
            serve(pid)
        }
    }
}

/// Puts the command into a group of its own, so that a terminal's signals reach it once: from the terminal.
fn foreground() {
    let _ = setpgid(None, None);
    // Without a terminal there is nothing to do.
    let _ = tcsetpgrp(stdin(), getpid());
}

fn serve(command: Pid) -> ! {
    let _ = rustix::thread::set_name(c"init");
    // In the host's pid namespace it is not the first, and orphans would go elsewhere.
    let _ = set_child_subreaper(Some(getpid()));
    loop {
        match syscall::await_signal() {
            libc::SIGCHLD => reap(command),
            signal => syscall::kill(command, signal),
        }
    }
}

/// Reaps all that have ended; with the command this process ends, and all others with it.
fn reap(command: Pid) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == command {
            let code =
                status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
            syscall::exit(code.unwrap_or(syscall::CHILD_FAILED));
        }
    }
}
