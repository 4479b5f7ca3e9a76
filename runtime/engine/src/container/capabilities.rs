//! Which capabilities a container's process has.

use std::collections::HashSet;

use beeline_spawn::container::defaults;
use oci_spec::runtime::Capability;

use crate::container::config::HostConfig;

/// Every capability, in the kernel's order.
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What a user's word means: one capability, or every one for `ALL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// `ALL`.
    All,
    /// One, with or without `CAP_`, in any case.
    One(Capability),
}

/// Reads a capability's name.
pub(crate) fn parse(text: &str) -> Option<Word> {
    let upper = text.to_ascii_uppercase();
    if upper == "ALL" {
        return Some(Word::All);
    }
    upper.strip_prefix("CAP_").unwrap_or(&upper).parse().ok().map(Word::One)
}

/// The default ones, with the user's additions and omissions, as Docker combines them.
pub(crate) fn effective(host: &HostConfig) -> HashSet<Capability> {
    if host.privileged {
        return ALL.into();
    }
    // Unknown names were refused when the container was created.
    let words = |names: &[String]| names.iter().filter_map(|name| parse(name)).collect::<Vec<_>>();
    let (add, drop) = (words(&host.cap_add), words(&host.cap_drop));
    let mut set: HashSet<Capability> = match (add.contains(&Word::All), drop.contains(&Word::All)) {
        (true, _) => ALL.into(),
        (false, true) => HashSet::new(),
        (false, false) => defaults::capabilities(),
    };
    for word in add {
        if let Word::One(capability) = word {
            set.insert(capability);
        }
    }
    for word in drop {
        if let Word::One(capability) = word {
            set.remove(&capability);
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn mask(add: &[&str], drop: &[&str]) -> u64 {
        let words = |words: &[&str]| words.iter().map(|&word| word.into()).collect();
        let host = HostConfig { cap_add: words(add), cap_drop: words(drop), ..HostConfig::default() };
        let set = effective(&host);
        ALL.iter()
            .enumerate()
            .filter(|(_, capability)| set.contains(capability))
            .map(|(bit, _)| 1 << bit)
            .sum()
    }

    #[rstest]
    #[case(&[], &[], 0xa804_25fb)]
    #[case(&["ALL"], &[], (1 << 41) - 1)]
    #[case(&[], &["all"], 0)]
    #[case(&["NET_ADMIN"], &["cap_chown"], 0xa804_25fb + (1 << 12) - 1)]
    #[case(&["CAP_SYS_ADMIN"], &["ALL"], 1 << 21)]
    #[case(&["ALL"], &["SYS_ADMIN"], ((1 << 41) - 1) & !(1 << 21))]
    fn sets_are_dockers(#[case] add: &[&str], #[case] drop: &[&str], #[case] expected: u64) {
        assert_eq!(mask(add, drop), expected);
    }

    #[test]
    fn an_unknown_name_is_none() {
        assert_eq!(parse("CAP_FLY"), None);
    }
}
