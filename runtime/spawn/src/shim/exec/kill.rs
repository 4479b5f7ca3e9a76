//! Killing an exec and what it started.

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, kill_process, pidfd_send_signal};

use super::Exec;
use crate::cgroup::Cgroup;

/// How often processes are looked for again that were started meanwhile.
const ROUNDS: usize = 16;

impl Exec {
    /// Kills the process, its descendants and everything in its session. What has left both is a process of the
    /// container's like any other.
    pub(super) fn kill(&self, cgroup: &Cgroup) {
        let Some((leader, pidfd)) = &self.process else { return };
        let Ok(leader) = i32::try_from(*leader) else { return };
        let mut killed = BTreeSet::new();
        for _ in 0..ROUNDS {
            let processes = cgroup.processes().unwrap_or_default();
            let family = family(leader, &processes, relations);
            // The leader goes last: its descendants are known by it.
            let others: Vec<i32> =
                family.into_iter().filter(|pid| *pid != leader && killed.insert(*pid)).collect();
            if others.is_empty() {
                break;
            }
            for pid in others.into_iter().filter_map(Pid::from_raw) {
                // One that has just ended is what is wanted.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
}

/// A process' parent and session.
#[derive(Debug, Clone, Copy)]
struct Relations {
    parent: i32,
    session: i32,
}

/// The processes among `all` that belong to `leader`.
fn family(leader: i32, all: &[i32], of: impl Fn(i32) -> Option<Relations>) -> BTreeSet<i32> {
    let relations: Vec<_> = all.iter().filter_map(|pid| Some((*pid, of(*pid)?))).collect();
    let mut family = BTreeSet::from([leader]);
    loop {
        let before = family.len();
        for (pid, Relations { parent, session }) in &relations {
            if *session == leader || family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

fn relations(pid: i32) -> Option<Relations> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have blanks and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Relations { parent, session })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_and_the_session_belong_to_it_and_others_do_not() {
        // pid, parent, session; 7 has a session of its own and a parent in the family, 8 is an orphan of the session.
        let table = [(1, 0, 1), (5, 0, 5), (6, 5, 5), (7, 6, 7), (8, 1, 5), (9, 1, 9)];
        let of = |pid| {
            let (_, parent, session) = table.iter().find(|(known, ..)| *known == pid)?;
            Some(Relations { parent: *parent, session: *session })
        };
        let all: Vec<i32> = table.iter().map(|(pid, ..)| *pid).collect();
        assert_eq!(family(5, &all, of), BTreeSet::from([5, 6, 7, 8]));
    }

    #[test]
    fn relations_are_the_kernels() {
        let own = i32::try_from(std::process::id()).unwrap();
        let relations = relations(own).unwrap();
        assert_eq!(relations.parent, nix::unistd::getppid().as_raw());
        // 0 where the session is that of a PID namespace further up: rustix has no such session.
        assert_eq!(relations.session, nix::unistd::getsid(None).unwrap().as_raw());
    }
}
