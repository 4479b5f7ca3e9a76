//! The files the engine writes for a container: hosts, hostname, resolv.conf.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::container::config::HostConfig;

/// Name servers when the host has none a container could reach: public ones, as Docker uses.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// Where systemd-resolved keeps the servers behind its own loopback one.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// The host's resolv.conf, past systemd-resolved's stub; empty if it cannot be read.
pub(crate) fn host_resolv_conf() -> String {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let only_stub =
        nameservers(&text).next().is_some() && nameservers(&text).all(|server| server == "127.0.0.53");
    if only_stub { std::fs::read_to_string(RESOLVED).unwrap_or(text) } else { text }
}

/// /etc/resolv.conf of a container: the user's settings, else the host's. In a network namespace of its own
/// (`isolated`) the host's loopback servers cannot be reached and are left out.
pub(crate) fn resolv_conf(host_text: &str, host: &HostConfig, isolated: bool) -> String {
    if !isolated && host.dns.is_empty() && host.dns_search.is_empty() && host.dns_options.is_empty() {
        return host_text.to_owned();
    }
    let reachable = |server: &&str| {
        server
            .parse::<IpAddr>()
            .is_ok_and(|address| !isolated || (!address.is_loopback() && address.is_ipv4()))
    };
    let mut servers: Vec<&str> = if host.dns.is_empty() {
        nameservers(host_text).filter(reachable).collect()
    } else {
        host.dns.iter().map(String::as_str).collect()
    };
    if servers.is_empty() {
        servers.extend(FALLBACK);
    }
    let from_host = |key: &'static str| {
        let lines = host_text.lines().map(str::trim);
        lines
            .filter_map(move |line| line.strip_prefix(key))
            .flat_map(str::split_whitespace)
            .map(str::to_owned)
    };
    let search: Vec<String> =
        if host.dns_search.is_empty() { from_host("search ").collect() } else { host.dns_search.clone() };
    let options: Vec<String> =
        if host.dns_options.is_empty() { from_host("options ").collect() } else { host.dns_options.clone() };
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    // Docker's way to say "no search domain".
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

fn nameservers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim)
}

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

    const HOST: &str = "# comment\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver fd00::1\nsearch a.example\noptions ndots:2\n";

    #[test]
    fn loopback_servers_stay_outside() {
        let text = resolv_conf(HOST, &HostConfig::default(), true);
        assert_eq!(text, "nameserver 192.0.2.53\nsearch a.example\noptions ndots:2\n");
        assert_eq!(resolv_conf(HOST, &HostConfig::default(), false), HOST);
        assert_eq!(
            resolv_conf("nameserver 127.0.0.1\n", &HostConfig::default(), true),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }

    #[test]
    fn the_users_settings_replace_the_hosts() {
        let host = HostConfig {
            dns: vec!["192.0.2.1".into()],
            dns_search: vec![".".into()],
            dns_options: vec!["use-vc".into()],
            ..HostConfig::default()
        };
        assert_eq!(resolv_conf(HOST, &host, true), "nameserver 192.0.2.1\noptions use-vc\n");
    }

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
