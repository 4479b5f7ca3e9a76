//! How init ended: found out and recorded.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::clock;
use crate::protocol::Exit;

/// Reaps init if it has exited.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), options))?;
    Ok(status.map(|status| exit(status.exit_status(), status.terminating_signal())))
}

/// An exit now, with a code or by a signal.
pub(super) fn exit(code: Option<i32>, signal: Option<i32>) -> Exit {
    let code = code.unwrap_or_else(|| 128 + signal.unwrap_or(0));
    // Exit codes have eight bits, signals seven.
    let code = u8::try_from(code & 0xff).unwrap_or(u8::MAX);
    Exit { code, signal, oom_killed: false, at: Timestamp::now(), uptime: Some(clock::uptime()) }
}

/// Writes the exit file: whole or not at all, whoever is killed. The file is returned for who has the time to wait for
/// the disk ([`File::sync_data`]): before that, a machine that loses power may be left with an empty one, which is read
/// as none.
pub(super) fn record(path: &Path, exit: &Exit) -> io::Result<File> {
    let mut temporary = OsString::from(path);
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(exit)?)?;
    fs::rename(&temporary, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_signals_become_dockers_codes() {
        assert_eq!(exit(Some(255), None).code, 255);
        assert_eq!(exit(None, Some(9)).code, 137);
        assert_eq!(exit(None, Some(15)).code, 143);
        assert_eq!(exit(None, Some(64)).code, 192);
    }

    #[test]
    fn the_exit_file_is_what_the_protocol_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exit.json");
        let exit = exit(None, Some(15));
        record(&path, &exit).unwrap();
        assert_eq!(crate::protocol::decode::<Exit>(&fs::read(&path).unwrap()).unwrap(), exit);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
