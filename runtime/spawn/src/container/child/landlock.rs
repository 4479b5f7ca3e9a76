//! Applying Landlock rules.

use std::os::fd::AsFd as _;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::Child;
use crate::container::landlock::{OF_FILES, Ruleset};
use crate::container::syscall;

impl Child<'_> {
    /// Holds this process and its descendants to the rules. A path that does not exist is an error: a rule that allows
    /// nothing is a mistake.
    pub(super) fn landlock(&mut self, rules: &Ruleset) -> Result<(), Errno> {
        let set = syscall::landlock_ruleset(rules.handled_files, rules.handled_ports)?;
        for (path, access) in &rules.paths {
            let opened = openat(CWD, path.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let opened = opened.inspect_err(|_| self.note(path.to_bytes()))?;
            let directory = FileType::from_raw_mode(fstat(&opened)?.st_mode) == FileType::Directory;
            let access = if directory { *access } else { *access & OF_FILES };
            syscall::landlock_allow_path(set.as_fd(), opened.as_fd(), access)?;
        }
        for (port, access) in &rules.ports {
            syscall::landlock_allow_port(set.as_fd(), *port, *access)?;
        }
        syscall::landlock_restrict(set.as_fd())
    }
}
