//! What the server tells: who it is, who asks, and where it runs.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

/// An answer over UDP fits in one packet of an ordinary network.
const DATAGRAM_MAX: usize = 1200;

/// The whole report, plain text, one fact a line.
pub(super) fn full(client: SocketAddr, request: &str) -> String {
    let mut text = identity(client);
    for line in request.lines().filter(|line| !line.is_empty()) {
        line_of(&mut text, "Request", line);
    }
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for group in groups.lines() {
        line_of(&mut text, "Cgroup", group);
    }
    for (name, value) in env::vars_os() {
        let variable = format!("{}={}", name.to_string_lossy(), value.to_string_lossy());
        line_of(&mut text, "Env", &variable.replace('\n', "\\n"));
    }
    text
}

/// The report over UDP, followed by what the client sent, as far as it fits.
pub(super) fn datagram(client: SocketAddr, received: &[u8]) -> Vec<u8> {
    let mut answer = identity(client).into_bytes();
    answer.truncate(DATAGRAM_MAX);
    let room = DATAGRAM_MAX - answer.len();
    answer.extend(&received[..received.len().min(room)]);
    answer
}

fn identity(client: SocketAddr) -> String {
    let mut text = String::new();
    line_of(&mut text, "Hostname", &hostname());
    for address in addresses() {
        line_of(&mut text, "IP", &address.to_string());
    }
    line_of(&mut text, "RemoteAddr", &client.to_string());
    text
}

fn line_of(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{name}: {value}");
}

pub(super) fn hostname() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Every address of every interface.
fn addresses() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return BTreeSet::new() };
    interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_client_addresses_request_groups_and_environment() {
        let text = full("192.0.2.7:5000".parse().unwrap(), "GET /x HTTP/1.1\r\nHost: a\r\n");
        for part in
            ["Hostname: ", "IP: 127.0.0.1\n", "RemoteAddr: 192.0.2.7:5000\n", "Cgroup: ", "Env: PATH="]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("Request: GET /x HTTP/1.1\nRequest: Host: a\n"), "{text}");
    }

    #[test]
    fn a_datagram_fits_in_a_packet() {
        let answer = datagram("192.0.2.7:5000".parse().unwrap(), &[b'x'; 60_000]);
        assert_eq!(answer.len(), DATAGRAM_MAX);
    }
}
