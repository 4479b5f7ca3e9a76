//! Kernel parameters: those of the container's own namespaces, and no others.

use crate::container::config::HostConfig;
use crate::container::mode::NetworkMode;
use crate::container::namespaces::Owner;
use crate::error::Error;

/// Parameters of an IPC namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Refuses parameters that would change the host.
///
/// # Errors
/// [`Error::Invalid`], in runc's words.
pub(crate) fn check(host: &HostConfig) -> Result<(), Error> {
    for key in host.sysctls.keys() {
        let name = normal(key);
        let refused = if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
            (host.ipc() == Owner::Host).then_some("is not allowed in the host's IPC namespace")
        } else if name.starts_with("net.") {
            (host.mode() == NetworkMode::Host).then_some("is not allowed in the host's network namespace")
        } else if name == "kernel.domainname" {
            (host.uts_mode == "host").then_some("is not allowed in the host's UTS namespace")
        } else if name == "kernel.hostname" {
            Some("is not allowed: set the container's host name")
        } else {
            Some("is not in a separate kernel namespace")
        };
        if let Some(reason) = refused {
            return Err(Error::Invalid(format!("sysctl \"{key}\" {reason}")));
        }
    }
    Ok(())
}

/// With dots between names. Where slashes separate, dots are part of names, as in that of a device.
fn normal(key: &str) -> String {
    match (key.find('/'), key.find('.')) {
        (Some(slash), dot) if dot.is_none_or(|dot| slash < dot) => key.replace('/', "."),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn checked(key: &str, change: fn(&mut HostConfig)) -> Result<(), String> {
        let mut host =
            HostConfig { sysctls: [(key.to_owned(), "1".to_owned())].into(), ..HostConfig::default() };
        change(&mut host);
        check(&host).map_err(|error| error.to_string())
    }

    #[rstest]
    #[case("net.ipv4.ip_forward", "")]
    #[case("net/ipv4/conf/eth0.1/forwarding", "")]
    #[case("kernel.shmmax", "")]
    #[case("fs.mqueue.msg_max", "")]
    #[case("kernel.domainname", "")]
    #[case("kernel.hostname", "set the container's host name")]
    #[case("kernel.core_pattern", "is not in a separate kernel namespace")]
    #[case("vm.overcommit_memory", "is not in a separate kernel namespace")]
    fn parameters_of_namespaces_alone(#[case] key: &str, #[case] part: &str) {
        match checked(key, |_| {}) {
            Ok(()) => assert_eq!(part, ""),
            Err(text) => assert!(!part.is_empty() && text.contains(part), "{text}"),
        }
    }

    #[rstest]
    #[case("net.ipv4.ip_forward", |host: &mut HostConfig| host.network_mode = "host".into(), "network")]
    #[case("kernel.sem", |host: &mut HostConfig| host.ipc_mode = "host".into(), "IPC")]
    #[case("kernel.domainname", |host: &mut HostConfig| host.uts_mode = "host".into(), "UTS")]
    fn those_of_the_hosts_namespaces_are_the_hosts(
        #[case] key: &str,
        #[case] change: fn(&mut HostConfig),
        #[case] part: &str,
    ) {
        let error = checked(key, change).unwrap_err();
        assert!(error.contains(&format!("host's {part} namespace")), "{error}");
    }
}
