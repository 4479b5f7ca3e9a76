//! /etc/hosts of a container.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::container::config::HostConfig;

/// /etc/hosts of a container with an address of its own, or of none.
pub(crate) fn hosts(
    hostname: &str,
    domainname: &str,
    addresses: &[IpAddr],
    extra: &[(String, String)],
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    append_extra(&mut text, extra);
    for address in addresses {
        text.push_str(&host_line(*address, hostname, domainname));
    }
    text
}

/// The line of /etc/hosts for one of the container's own addresses.
pub(crate) fn host_line(address: IpAddr, hostname: &str, domainname: &str) -> String {
    if domainname.is_empty() {
        format!("{address}\t{hostname}\n")
    } else {
        format!("{address}\t{hostname}.{domainname} {hostname}\n")
    }
}

/// A text without some of its lines, with others at its end; each ends with a line feed.
pub(crate) fn replace_lines(text: &str, gone: &[String], come: &[String]) -> String {
    let kept = text.split_inclusive('\n').filter(|line| !gone.iter().any(|gone| gone == line));
    let mut text: String = kept.collect();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.extend(come.iter().map(String::as_str));
    text
}

/// /etc/hosts of a container that shares the host's network: the host's, and the user's lines.
pub(crate) fn hosts_of_host(host_text: &str, extra: &[(String, String)]) -> String {
    let mut text = host_text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    append_extra(&mut text, extra);
    text
}

/// The user's `name:address` pairs, the gateway's addresses in place of `host-gateway`.
pub(crate) fn extra_hosts(host: &HostConfig, gateway: &[IpAddr]) -> Vec<(String, String)> {
    let pairs = host.extra_hosts.iter().filter_map(|entry| entry.split_once(':'));
    pairs
        .flat_map(|(name, address)| {
            let addresses = match address {
                "host-gateway" => gateway.iter().map(ToString::to_string).collect(),
                address => vec![address.trim_matches(['[', ']']).to_owned()],
            };
            addresses.into_iter().map(|address| (name.to_owned(), address))
        })
        .collect()
}

fn append_extra(text: &mut String, extra: &[(String, String)]) {
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_the_container() {
        let host = HostConfig {
            extra_hosts: vec!["db:192.0.2.7".into(), "gw:host-gateway".into(), "six:[::1]".into()],
            ..HostConfig::default()
        };
        let extra = extra_hosts(&host, &[[10, 0, 0, 1].into()]);
        let text = hosts("box", "lan", &[[10, 0, 0, 2].into()], &extra);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("192.0.2.7\tdb\n10.0.0.1\tgw\n::1\tsix\n10.0.0.2\tbox.lan box\n"), "{text}");
        let own = host_line("fd00::2".parse().unwrap(), "box", "");
        assert_eq!(replace_lines("a\nb", &["a\n".into()], &[own]), "b\nfd00::2\tbox\n");
        assert_eq!(hosts_of_host("1.2.3.4 x", &extra[..1]), "1.2.3.4 x\n192.0.2.7\tdb\n");
    }
}
