use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::container::config::{HostConfig, PortBinding};

const EVERY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn config(bindings: &[(&str, &str, &str)]) -> ContainerConfig {
    let mut host = HostConfig::default();
    for (port, ip, host_port) in bindings {
        let binding = PortBinding { host_ip: (*ip).into(), host_port: (*host_port).into() };
        host.port_bindings.entry((*port).into()).or_default().push(binding);
    }
    ContainerConfig { host, ..ContainerConfig::default() }
}

#[test]
fn a_range_sent_port_by_port_is_one_interval() {
    let ports: Vec<(String, String)> =
        (0..200).map(|at| (format!("{}/tcp", 3000 + at), format!("{}", 20_000 + at))).collect();
    let bindings: Vec<_> = ports.iter().map(|(port, host)| (port.as_str(), "", host.as_str())).collect();
    let requests = requests(&config(&bindings), EVERY).unwrap();
    let host = HostPorts::Fixed { first: 20_000, last: 20_199 };
    let expected = PublishRequest { protocol: Protocol::Tcp, host_ip: None, host, container_first: 3000 };
    assert_eq!(requests, [expected]);
}

#[test]
fn only_what_adjoins_on_both_sides_is_joined() {
    let apart = config(&[("80/tcp", "", "8080"), ("81/udp", "", "8081"), ("82/tcp", "", "8081")]);
    assert_eq!(requests(&apart, EVERY).unwrap().len(), 3);
    let addresses = config(&[("80/tcp", "127.0.0.1", "8080"), ("81/tcp", "", "8081")]);
    assert_eq!(requests(&addresses, EVERY).unwrap().len(), 2);
    let twice = config(&[("80/tcp", "", "8080"), ("80/tcp", "", "8081")]);
    assert_eq!(requests(&twice, EVERY).unwrap().len(), 2);
}

#[rstest]
#[case("80/tcp", "", "", Ok(HostPorts::Any))]
#[case("80", "", "8080", Ok(HostPorts::Fixed { first: 8080, last: 8080 }))]
#[case("80/tcp", "::", "8000-8010", Ok(HostPorts::OneOf { first: 8000, last: 8010 }))]
#[case("80-82/tcp", "", "90-92", Ok(HostPorts::Fixed { first: 90, last: 92 }))]
#[case("80/tcp", "", "70000", Err("invalid port specification: \"70000\""))]
#[case("80/tcp", "", "9-8", Err("invalid port specification: \"9-8\""))]
#[case("80/tcp", "here", "80", Err("invalid IP address: here"))]
#[case("web/tcp", "", "80", Err("invalid port: \"web/tcp\""))]
#[case("0/tcp", "", "80", Err("invalid port: \"0/tcp\": 1 to 65535 are ports"))]
#[case("80/icmp", "", "80", Err("invalid protocol: icmp: tcp, udp and sctp can be published"))]
fn bindings_are_read(
    #[case] port: &str,
    #[case] ip: &str,
    #[case] host: &str,
    #[case] expected: Result<HostPorts, &str>,
) {
    let requests = requests(&config(&[(port, ip, host)]), EVERY);
    match expected {
        Ok(expected) => assert_eq!(requests.unwrap()[0].host, expected),
        Err(text) => assert_eq!(requests.unwrap_err().to_string(), text),
    }
}

#[test]
fn exposed_ports_are_published_on_request_unless_bound() {
    let mut config = config(&[("80/tcp", "", "8080")]);
    config.exposed_ports = ["80/tcp".into(), "53/udp".into()].into();
    config.host.publish_all_ports = true;
    let requests = requests(&config, EVERY).unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].protocol, requests[1].host), (Protocol::Udp, HostPorts::Any));
}

#[test]
fn listings_show_published_and_exposed_ports() {
    let config = ContainerConfig {
        exposed_ports: ["80/tcp".into(), "443/tcp".into()].into(),
        ..ContainerConfig::default()
    };
    let published = [Published {
        protocol: Protocol::Tcp,
        host_ip: EVERY,
        host_first: 90,
        host_last: 91,
        container_ip: [10, 0, 0, 2].into(),
        container_first: 80,
    }];
    let shown: Vec<_> = mappings(&config, &published).iter().map(|m| (m.container_port, m.host)).collect();
    assert_eq!(shown, [(80, Some((EVERY, 90))), (81, Some((EVERY, 91))), (443, None)]);
}

#[test]
fn a_request_is_for_the_families_that_it_and_the_container_have() {
    let (four, six) = (Ipv4Addr::new(10, 0, 0, 2), "fd00::2".parse::<Ipv6Addr>().unwrap());
    let targets = Targets { ipv4: Some(four), ipv6: Some(six), binding: None };
    let shown = |targets: Targets, host: Option<&str>| {
        let pairs = targets.pairs(host.map(|host| host.parse().unwrap()))?;
        Ok::<_, String>(pairs.iter().map(|(host, to)| format!("{host} {to}")).collect::<Vec<_>>().join(", "))
    };
    assert_eq!(shown(targets, None).unwrap(), "0.0.0.0 10.0.0.2, :: fd00::2");
    assert_eq!(shown(targets, Some("0.0.0.0")).unwrap(), "0.0.0.0 10.0.0.2");
    assert_eq!(shown(targets, Some("::1")).unwrap(), "::1 fd00::2");
    let bound = Targets { binding: Some([127, 0, 0, 1].into()), ..targets };
    assert_eq!(shown(bound, None).unwrap(), "127.0.0.1 10.0.0.2");
    assert_eq!(shown(targets.without(true, false), None).unwrap(), ":: fd00::2");
    let refused = shown(targets.without(false, true), Some("::")).unwrap_err();
    assert!(refused.contains("the container has no IPv6 address"), "{refused}");
}

proptest! {
    #[test]
    fn joining_keeps_every_mapping(pairs in proptest::collection::btree_map(1_u16..400, 1_u16..400, 1..40)) {
        let bindings: Vec<_> =
            pairs.iter().map(|(port, host)| (format!("{port}/tcp"), host.to_string())).collect();
        let bindings: Vec<_> = bindings.iter().map(|(port, host)| (port.as_str(), "", host.as_str())).collect();
        let mut seen = Vec::new();
        for request in requests(&config(&bindings), EVERY).unwrap() {
            let HostPorts::Fixed { first, last } = request.host else { panic!("{request:?}") };
            seen.extend((first..=last).enumerate().map(|(at, host)| (request.container_first + at as u16, host)));
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, pairs.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn an_interval_ends_where_other_rules_begin() {
    let mut config = config(&[("8000-8009/tcp", "", "9000-9009"), ("8010/tcp", "", "9010")]);
    config.labels.insert("beeline.publish.8003-8004.deny".into(), "192.0.2.0/24".into());
    config.labels.insert("beeline.publish.8009.allow".into(), String::new());
    let requests = requests(&config, EVERY).unwrap();
    let intervals: Vec<_> = requests.iter().map(|request| (request.container_first, request.host)).collect();
    let fixed = |first, last| HostPorts::Fixed { first, last };
    // Port 8009 has labels of its own, but they say what is said of all.
    assert_eq!(intervals, [(8000, fixed(9000, 9002)), (8003, fixed(9003, 9004)), (8005, fixed(9005, 9010))]);
}

#[test]
fn the_last_port_can_have_rules_of_its_own() {
    let mut config = config(&[("65534-65535/tcp", "", "65534-65535")]);
    config.labels.insert("beeline.publish.65535.deny".into(), "192.0.2.0/24".into());
    let requests = requests(&config, EVERY).unwrap();
    assert_eq!(requests.iter().map(|request| request.container_first).collect::<Vec<_>>(), [65534, 65535]);
}
