//! /etc/resolv.conf of a container.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::container::config::HostConfig;
use crate::network::Network;

/// Name servers when the host has none a container could reach: public ones, as Docker uses.
const FALLBACK: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(8, 8, 4, 4)];

/// The port of name servers.
const PORT: u16 = 53;

/// The host's file.
pub(crate) const HOSTS: &str = "/etc/resolv.conf";

/// Where systemd-resolved keeps the servers behind its own loopback one.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Who answers a container's questions for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Those of the host, whose network it has.
    Host,
    /// Those that it reaches from a network namespace of its own.
    Reachable,
    /// The resolver of its networks.
    Resolver,
}

impl Servers {
    /// Who answers a container on these networks.
    pub(crate) fn on<'a>(mut networks: impl Iterator<Item = &'a Network>) -> Self {
        if networks.any(Network::has_resolver) { Self::Resolver } else { Self::Reachable }
    }
}

/// The servers to ask when the host's file names none.
pub(crate) fn fallback() -> Vec<SocketAddr> {
    FALLBACK.map(|address| SocketAddr::from((address, PORT))).to_vec()
}

/// The servers of a container's own that the resolver is to ask.
pub(crate) fn own_servers(host: &HostConfig) -> Vec<SocketAddr> {
    let addresses = host.dns.iter().filter_map(|server| server.parse::<IpAddr>().ok());
    addresses.map(|address| SocketAddr::from((address, PORT))).collect()
}

/// The host's file as its containers need it: for those that cannot reach systemd-resolved's stub, what is behind it. Empty
/// if it cannot be read.
pub(crate) fn of_host(servers: Servers) -> String {
    let text = std::fs::read_to_string(HOSTS).unwrap_or_default();
    let only_stub =
        nameservers(&text).next().is_some() && nameservers(&text).all(|server| server == "127.0.0.53");
    if only_stub && servers != Servers::Resolver {
        return std::fs::read_to_string(RESOLVED).unwrap_or(text);
    }
    text
}

/// The file's content: the user's settings, else the host's.
pub(crate) fn content(host_text: &str, host: &HostConfig, servers: Servers) -> String {
    let is_as_host = host.dns.is_empty() && host.dns_search.is_empty() && host.dns_options.is_empty();
    match servers {
        Servers::Host if is_as_host => host_text.to_owned(),
        Servers::Resolver => of_resolver(host_text, host),
        Servers::Host | Servers::Reachable => of_servers(host_text, host, servers == Servers::Reachable),
    }
}

/// In a network namespace of its own (`isolated`) the host's loopback servers cannot be reached and are left out.
fn of_servers(host_text: &str, host: &HostConfig, isolated: bool) -> String {
    let reachable = |server: &&str| {
        server
            .parse::<IpAddr>()
            .is_ok_and(|address| !isolated || (!address.is_loopback() && address.is_ipv4()))
    };
    let mut servers: Vec<String> = if host.dns.is_empty() {
        nameservers(host_text).filter(reachable).map(str::to_owned).collect()
    } else {
        host.dns.clone()
    };
    if servers.is_empty() {
        servers.extend(FALLBACK.map(|server| server.to_string()));
    }
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    append_settings(&mut text, &search(host_text, host), &options(host_text, host));
    text
}

/// The resolver alone, and for readers whom it asks.
fn of_resolver(host_text: &str, host: &HostConfig) -> String {
    let mut options = options(host_text, host);
    let ndots_from = match options.iter().any(|option| option.starts_with("ndots:")) {
        true if host.dns_options.is_empty() => "host",
        true => "override",
        false => {
            // Names of containers have no dot, and are found at the first question.
            options.push("ndots:0".to_owned());
            "internal"
        }
    };
    let mut text = String::from(
        "# Names of containers, and those that the servers below know.\nnameserver 127.0.0.11\n",
    );
    append_settings(&mut text, &search(host_text, host), &options);
    let outside: Vec<String> = match (host.dns.is_empty(), nameservers(host_text).next()) {
        (false, _) => host.dns.clone(),
        (true, Some(_)) => nameservers(host_text).map(|server| format!("host({server})")).collect(),
        (true, None) => FALLBACK.map(|server| format!("host({server})")).to_vec(),
    };
    let overrides: Vec<&str> = [
        ("nameservers", host.dns.is_empty()),
        ("search", host.dns_search.is_empty()),
        ("options", host.dns_options.is_empty()),
    ]
    .into_iter()
    .filter_map(|(what, is_hosts)| (!is_hosts).then_some(what))
    .collect();
    let _ = write!(
        text,
        "\n# Based on host file: '{HOSTS}' (internal resolver)\n# ExtServers: [{}]\n# Overrides: [{}]\n\
         # Option ndots from: {ndots_from}\n",
        outside.join(" "),
        overrides.join(" ")
    );
    text
}

fn search(host_text: &str, host: &HostConfig) -> Vec<String> {
    if host.dns_search.is_empty() { words_after(host_text, "search ") } else { host.dns_search.clone() }
}

fn options(host_text: &str, host: &HostConfig) -> Vec<String> {
    if host.dns_options.is_empty() { words_after(host_text, "options ") } else { host.dns_options.clone() }
}

fn words_after(host_text: &str, key: &str) -> Vec<String> {
    let lines = host_text.lines().map(str::trim).filter_map(|line| line.strip_prefix(key));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn append_settings(text: &mut String, search: &[String], options: &[String]) {
    // Docker's way to say "no search domain".
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
}

fn nameservers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# comment\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver fd00::1\nsearch a.example\noptions ndots:2\n";

    fn own() -> HostConfig {
        HostConfig {
            dns: vec!["192.0.2.1".into()],
            dns_search: vec![".".into()],
            dns_options: vec!["use-vc".into()],
            ..HostConfig::default()
        }
    }

    #[test]
    fn loopback_servers_stay_outside() {
        let text = content(HOST, &HostConfig::default(), Servers::Reachable);
        assert_eq!(text, "nameserver 192.0.2.53\nsearch a.example\noptions ndots:2\n");
        assert_eq!(content(HOST, &HostConfig::default(), Servers::Host), HOST);
        assert_eq!(
            content("nameserver 127.0.0.1\n", &HostConfig::default(), Servers::Reachable),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }

    #[test]
    fn the_users_settings_replace_the_hosts() {
        assert_eq!(content(HOST, &own(), Servers::Reachable), "nameserver 192.0.2.1\noptions use-vc\n");
    }

    #[test]
    fn the_resolver_asks_the_servers_in_the_containers_place() {
        let settings = |text: &str| {
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            settings(&content(HOST, &HostConfig::default(), Servers::Resolver)),
            [
                "nameserver 127.0.0.11",
                "search a.example",
                "options ndots:2",
                "# Based on host file: '/etc/resolv.conf' (internal resolver)",
                "# ExtServers: [host(127.0.0.1) host(192.0.2.53) host(fd00::1)]",
                "# Overrides: []",
                "# Option ndots from: host",
            ]
        );
        assert_eq!(
            settings(&content(HOST, &own(), Servers::Resolver)),
            [
                "nameserver 127.0.0.11",
                "options use-vc ndots:0",
                "# Based on host file: '/etc/resolv.conf' (internal resolver)",
                "# ExtServers: [192.0.2.1]",
                "# Overrides: [nameservers search options]",
                "# Option ndots from: internal",
            ]
        );
        assert_eq!(own_servers(&own()), ["192.0.2.1:53".parse().unwrap()]);
    }
}
