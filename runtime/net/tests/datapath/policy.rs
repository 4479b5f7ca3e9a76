//! Who may reach a published port: rules by source, their order, their hits, and what a change does to flows.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use aya::maps::{LpmTrie, Map, MapData};
use beeline_abi::{PolicyKey, Rule};
use beeline_net::{
    Action, Rules,
    datapath::{DropReason, NetworkSpec, Protocol, Publish, RuleStatus},
    parse_sources,
};
use ipnet::IpNet;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    packet::{Packet, UDP},
    program::{Program, REDIRECT, SHOT},
    topology::{CLIENT, Family, HOST, Topology, is_root},
    traffic::{PATIENCE, echo, tcp_echo, tcp_server, udp_echo, udp_server},
};

/// How long a client waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(500);

fn rules(allow: &str, deny: &str) -> Rules {
    Rules::new(parse_sources(allow).expect("sources"), parse_sources(deny).expect("sources"))
}

/// Publishes a port of every address of a family under rules.
fn publish_to(
    topology: &Topology,
    family: Family,
    protocol: Protocol,
    port: u16,
    inside: u16,
    rules: &Rules,
) -> Publish {
    let publish = Publish {
        protocol,
        host_ip: family.any(),
        host_first: port,
        host_last: port,
        container_ip: topology.containers[0].ip(family),
        container_first: inside,
    };
    topology.datapath().publish_to(&publish, rules).expect("publish");
    publish
}

/// The hits of each of the publish's own rules, as `allow 192.0.2.0/24: 1`.
fn own_hits(topology: &Topology, publish: &Publish) -> Vec<String> {
    let publishes = topology.datapath().publishes().expect("publishes");
    let status = publishes.iter().find(|status| status.publish == *publish).expect("published");
    hits(&topology.datapath().rules(status.rules.publish).expect("rules"))
}

fn hits(rules: &[RuleStatus]) -> Vec<String> {
    let text = |rule: &RuleStatus| {
        let source = rule.source.map_or("others".to_owned(), |source| source.to_string());
        format!("{} {source}: {}", rule.action, rule.hits)
    };
    rules.iter().map(text).collect()
}

fn refused(topology: &Topology, publish: &Publish) -> u64 {
    let publishes = topology.datapath().publishes().expect("publishes");
    publishes.iter().find(|status| status.publish == *publish).expect("published").counters.refused
}

fn denied(topology: &Topology) -> u64 {
    let drops = topology.datapath().drops().expect("drops");
    drops.iter().find(|(reason, _)| *reason == DropReason::Denied).map_or(0, |(_, count)| *count)
}

/// How many entries the tables of rules hold.
fn rule_entries(topology: &Topology) -> usize {
    let maps = topology.config().bpffs.join("beeline").join(&topology.config().instance);
    let maps = maps.join(format!("maps_v{}", beeline_abi::LAYOUT_VERSION));
    let count = |name| {
        let data = MapData::from_pin(maps.join(name)).expect("map");
        let table: LpmTrie<_, PolicyKey, Rule> = Map::LpmTrie(data).try_into().expect("table");
        table.keys().count()
    };
    count("POLICY") + count("GUARD")
}

/// A datagram that must get no answer.
fn udp_silence(to: impl Into<SocketAddr>) {
    let to = to.into();
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let socket = UdpSocket::bind((family.any(), 0)).expect("bind");
    socket.set_read_timeout(Some(SILENCE)).expect("timeout");
    socket.send_to(b"anyone?", to).expect("send");
    let error = socket.recv(&mut [0; 16]).expect_err("no answer");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}

#[test]
fn a_denied_source_is_refused_before_the_container_sees_a_packet() {
    if !is_root() {
        return;
    }
    for (family, source) in Family::BOTH.into_iter().zip(["192.0.2.0/24", "2001:db8:1::/64"]) {
        let topology = Topology::new(1);
        let container = &topology.containers[0];
        let rules = rules("", source);
        let tcp = publish_to(&topology, family, Protocol::Tcp, 8080, 80, &rules);
        let udp = publish_to(&topology, family, Protocol::Udp, 5353, 53, &rules);
        let _servers = (tcp_server(&container.namespace, 80, 1), udp_server(&container.namespace, 53, 1));
        let before = topology.datapath().publishes().expect("publishes");
        let host = family.host();
        topology.client.run(|| {
            let error = TcpStream::connect_timeout(&(host, 8080).into(), SILENCE).expect_err("no answer");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            udp_silence((host, 5353));
        });
        let after = topology.datapath().publishes().expect("publishes");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.counters.packets, after.counters.packets, "nothing was delivered");
        }
        let expected = [format!("deny {source}: 1"), "allow others: 0".into()];
        assert_eq!(
            (own_hits(&topology, &tcp), own_hits(&topology, &udp)),
            (expected.to_vec(), expected.to_vec())
        );
        assert_eq!((refused(&topology, &tcp), refused(&topology, &udp), denied(&topology)), (1, 1, 2));
        container.run(|| tcp_echo((family.loopback(), 80), 1)).expect("end the server");
    }
}

#[test]
fn a_list_of_allowed_sources_refuses_all_others_and_counts_each_connection_once() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = &topology.containers[0];
    let publish = publish_to(&topology, Family::V4, Protocol::Tcp, 8080, 80, &rules("192.0.2.0/24", ""));
    let server = tcp_server(&container.namespace, 80, 3);
    for _ in 0..3 {
        topology.client.run(|| tcp_echo((HOST, 8080), 1 << 20)).expect("allowed");
    }
    server.join().expect("server");
    // Not in the list: a container's own address.
    let hairpin =
        container.run(|| TcpStream::connect_timeout(&(HOST, 8080).into(), SILENCE)).expect_err("not allowed");
    assert_eq!(hairpin.kind(), ErrorKind::TimedOut);
    assert_eq!(own_hits(&topology, &publish), ["allow 192.0.2.0/24: 3", "deny others: 1"]);
    assert_eq!(refused(&topology, &publish), 1);
}

#[test]
fn the_longest_prefix_decides_and_at_one_length_the_denial() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let publish = publish_to(&topology, Family::V4, Protocol::Udp, 5353, 53, &Rules::default());
    let client = IpAddr::V4(CLIENT);
    for (allow, deny, expected) in [
        ("", "", true),
        ("192.0.2.2", "192.0.2.0/24", true),
        ("192.0.2.0/24", "192.0.2.2", false),
        ("192.0.2.0/24", "192.0.2.0/24", false),
        ("0.0.0.0/0", "192.0.0.0/8", false),
        ("10.0.0.0/8", "", false),
        ("", "::/0", true),
        ("::/0", "", false),
        ("::/0,0.0.0.0/0", "", true),
        ("2001:db8::/32", "::/0", false),
    ] {
        topology.datapath().publish_to(&publish, &rules(allow, deny)).expect("rules");
        let admits = topology.datapath().admits(&publish, client).expect("admits");
        assert_eq!(admits, expected, "allow {allow:?}, deny {deny:?}");
        let server = udp_server(&topology.containers[0].namespace, 53, 1);
        if expected {
            topology.client.run(|| udp_echo((HOST, 5353), 10)).expect("let through");
        } else {
            topology.client.run(|| udp_silence((HOST, 5353)));
            topology.containers[0].run(|| udp_echo((Ipv4Addr::LOCALHOST, 53), 1)).expect("end the server");
        }
        server.join().expect("server");
    }
}

#[test]
fn publish_network_and_daemon_each_have_to_let_a_source_through() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let container = &topology.containers[0];
    let publish = publish_to(&topology, Family::V4, Protocol::Udp, 5353, 53, &rules("192.0.2.2", ""));
    let network = |rules: Rules| NetworkSpec { rules, ..topology.network() };
    let set_network = |rules| topology.datapath().set_network(&network(rules)).expect("network");
    let set_daemon = |rules: &Rules| topology.datapath().set_daemon_rules(rules).expect("rules");
    let ask = |expected: bool, case: &str| {
        let server = udp_server(&container.namespace, 53, 1);
        if expected {
            let asked = topology.client.run(|| udp_echo((HOST, 5353), 10));
            asked.unwrap_or_else(|error| panic!("{case}: {error}"));
        } else {
            topology.client.run(|| udp_silence((HOST, 5353)));
            container.run(|| udp_echo((Ipv4Addr::LOCALHOST, 53), 1)).expect("end the server");
        }
        server.join().expect("server");
    };
    ask(true, "the publish's own alone");
    set_network(rules("", "192.0.2.0/24"));
    ask(false, "the network denies what the publish allows");
    set_network(rules("192.0.2.0/24", ""));
    ask(true, "both allow it");
    set_daemon(&rules("", "192.0.2.2"));
    ask(false, "the daemon denies what both allow");
    assert_eq!(
        hits(&topology.datapath().daemon_rules().expect("rules")),
        ["deny 192.0.2.2/32: 1", "allow others: 0"]
    );
    set_daemon(&Rules::default());
    ask(true, "the daemon says nothing");
    assert_eq!(own_hits(&topology, &publish), ["allow 192.0.2.2/32: 3", "deny others: 0"]);
    set_network(Rules::default());
    topology.datapath().unpublish(&publish).expect("unpublish");
    assert_eq!(rule_entries(&topology), 0, "no rule outlives what it was made for");
}

#[test]
fn a_change_cuts_the_flows_that_it_refuses_and_no_other() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let publish = publish_to(&topology, Family::V4, Protocol::Tcp, 8080, 80, &Rules::default());
    topology.client.ip("addr add 192.0.2.77/24 dev eth0");
    let _server = tcp_server_of_many(&topology, 3);
    let connect = |source: Ipv4Addr| {
        let to = SocketAddr::from((HOST, 8080));
        topology.client.run(move || connect_from(source, to)).expect("connect")
    };
    let (mut denied_one, mut kept) = (connect(CLIENT), connect(Ipv4Addr::new(192, 0, 2, 77)));
    let mut member = topology.containers[1].run(|| TcpStream::connect((HOST, 8080))).expect("connect");
    for stream in [&mut denied_one, &mut kept, &mut member] {
        echo(stream, 1000).expect("before");
    }
    topology.datapath().publish_to(&publish, &rules("", "192.0.2.2")).expect("rules");
    let entries = topology.datapath().expire_flows().map(|_| topology.datapath().conntrack_len());
    assert_eq!(entries.expect("flows"), 4, "two flows are left, with two entries each");
    for stream in [&mut kept, &mut member] {
        echo(stream, 1000).expect("after, as if nothing had been");
    }
    denied_one.set_read_timeout(Some(SILENCE)).expect("timeout");
    std::io::Write::write_all(&mut denied_one, b"anyone?").expect("into the buffer");
    let error = std::io::Read::read(&mut denied_one, &mut [0; 16]).expect_err("cut");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert!(refused(&topology, &publish) >= 1);
    let counters = topology.datapath().publishes().expect("publishes")[0].counters;
    assert_eq!(counters.connections, 3, "what goes on is no new connection");
}

/// Serves connections side by side, in the first container.
fn tcp_server_of_many(topology: &Topology, connections: usize) -> Vec<std::thread::JoinHandle<()>> {
    let namespace = &topology.containers[0].namespace;
    let listener = namespace.run(|| std::net::TcpListener::bind("0.0.0.0:80")).expect("listen");
    let accept = move |listener: std::net::TcpListener| {
        let (stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let (mut reader, mut writer) = (stream.try_clone().expect("clone"), stream);
        // Ends with the connection, or when nothing comes.
        drop(std::io::copy(&mut reader, &mut writer));
    };
    let serve = |_| {
        let listener = listener.try_clone().expect("clone");
        std::thread::spawn(move || accept(listener))
    };
    (0..connections).map(serve).collect()
}

/// Connects from an address of the calling thread's namespace.
fn connect_from(source: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect, socket,
    };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(source, 0)))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(socket))
}

#[test]
fn the_host_is_refused_only_by_a_rule_that_names_it_and_then_at_once() {
    if !is_root() {
        return;
    }
    for (family, loopback) in Family::BOTH.into_iter().zip(["127.0.0.0/8", "::1/128"]) {
        let topology = Topology::new(1);
        let container = &topology.containers[0];
        let some = rules("10.0.0.0/8", "");
        let tcp = publish_to(&topology, family, Protocol::Tcp, 8080, 80, &some);
        let udp = publish_to(&topology, family, Protocol::Udp, 5353, 53, &some);
        let servers = (tcp_server(&container.namespace, 80, 2), udp_server(&container.namespace, 53, 2));
        for address in [family.loopback(), family.host()] {
            topology.host.run(|| tcp_echo((address, 8080), 1000)).expect("the list is about others");
            topology.host.run(|| udp_echo((address, 5353), 1000)).expect("the list is about others");
        }
        servers.0.join().expect("server");
        servers.1.join().expect("server");
        assert_eq!(own_hits(&topology, &tcp), ["allow 10.0.0.0/8: 0", "deny others: 0"], "no rule decided");
        for publish in [&tcp, &udp] {
            topology.datapath().publish_to(publish, &rules("", loopback)).expect("rules");
        }
        topology.host.run(|| {
            let error = TcpStream::connect((family.loopback(), 8080)).expect_err("denied");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let socket = UdpSocket::bind((family.any(), 0)).expect("bind");
            let error = socket.send_to(b"hello", (family.loopback(), 5353)).expect_err("denied");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let error = socket.connect((family.loopback(), 5353)).expect_err("denied");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
        let server = tcp_server(&container.namespace, 80, 1);
        topology.host.run(|| tcp_echo((family.host(), 8080), 1000)).expect("another address of the host");
        server.join().expect("server");
        assert_eq!(own_hits(&topology, &tcp), [format!("deny {loopback}: 1"), "allow others: 1".into()]);
        assert_eq!(own_hits(&topology, &udp), [format!("deny {loopback}: 2"), "allow others: 0".into()]);
        assert_eq!(denied(&topology), 3);
    }
}

#[test]
fn a_containers_way_back_to_a_published_port_is_judged_by_its_own_address() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let [server, other] = &topology.containers[..] else { panic!("two containers") };
    for family in Family::BOTH {
        let deny = IpNet::from(other.ip(family));
        let some = Rules::new([], [deny]);
        let publish = publish_to(&topology, family, Protocol::Udp, 5353, 53, &some);
        let answers = udp_server(&server.namespace, 53, 1);
        other.run(|| udp_silence((family.host(), 5353)));
        other.run(|| udp_silence((family.gateway(), 5353)));
        assert_eq!(own_hits(&topology, &publish), [format!("deny {deny}: 2"), "allow others: 0".into()]);
        server.run(|| udp_echo((family.host(), 5353), 10)).expect("the container itself is not denied");
        answers.join().expect("server");
    }
}

#[test]
fn rules_and_their_hits_survive_the_daemon() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(1);
    let some = rules("10.0.0.0/8", "192.0.2.2,2001:db8::/32");
    let publish = publish_to(&topology, Family::V4, Protocol::Udp, 5353, 53, &some);
    topology.datapath().set_daemon_rules(&rules("", "198.51.100.0/24")).expect("rules");
    topology.client.run(|| udp_silence((HOST, 5353)));
    topology.close();
    topology.client.run(|| udp_silence((HOST, 5353)));
    topology.reload();
    topology.datapath().publish_to(&publish, &some).expect("the same once more");
    topology.datapath().set_daemon_rules(&rules("", "198.51.100.0/24")).expect("the same once more");
    let expected = ["allow 10.0.0.0/8: 0", "deny 192.0.2.2/32: 2", "deny 2001:db8::/32: 0", "deny others: 0"];
    assert_eq!(own_hits(&topology, &publish), expected);
    assert_eq!(
        hits(&topology.datapath().daemon_rules().expect("rules")),
        ["deny 198.51.100.0/24: 0", "allow others: 0"]
    );
    let entries = rule_entries(&topology);
    topology.datapath().publish_to(&publish, &some).expect("and once more");
    assert_eq!(rule_entries(&topology), entries);
    topology.datapath().unpublish(&publish).expect("unpublish");
    topology.datapath().set_daemon_rules(&Rules::default()).expect("rules");
    assert_eq!(rule_entries(&topology), 0);
}

#[test]
fn too_many_rules_are_refused_with_a_number_and_leave_nothing() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let sources = (0..16_384_u32).map(|at| IpNet::from(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + at))));
    let publish = publish_to(&topology, Family::V4, Protocol::Udp, 5353, 53, &rules("", "192.0.2.2"));
    let many = Rules::new([], sources);
    let error = topology.datapath().publish_to(&publish, &many).expect_err("one too many");
    assert_eq!(error.to_string(), "the instance has no room for another rule: at most 16384");
    assert_eq!(
        own_hits(&topology, &publish),
        ["deny 192.0.2.2/32: 0", "allow others: 0"],
        "the old ones hold"
    );
}

/// What the rules say, by the book: the longest prefix, else what is said of others.
fn model(rules: &Rules, source: IpAddr) -> bool {
    let matching = rules.iter().filter(|(net, _)| net.contains(&source));
    let has_allowed = rules.iter().any(|(_, action)| action == Action::Allow);
    match matching.max_by_key(|(net, _)| net.prefix_len()) {
        Some((_, action)) => action == Action::Allow,
        None => !has_allowed,
    }
}

/// Prefixes that often lie within each other.
fn any_source() -> impl Strategy<Value = IpNet> {
    let four = (any::<[bool; 8]>(), 0_u8..=32).prop_map(|(bits, length)| {
        let word =
            bits.iter().enumerate().fold(0_u32, |word, (at, bit)| word | u32::from(*bit) << (31 - at * 4));
        IpNet::new(Ipv4Addr::from(word).into(), length).expect("a subnet")
    });
    let six = (any::<[bool; 8]>(), 0_u8..=128).prop_map(|(bits, length)| {
        let word = bits
            .iter()
            .enumerate()
            .fold(0_u128, |word, (at, bit)| word | u128::from(*bit) << (127 - at * 16));
        IpNet::new(std::net::Ipv6Addr::from(word).into(), length).expect("a subnet")
    });
    prop_oneof![four, six]
}

#[test]
fn the_kernels_decision_is_the_models_over_random_rules() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let publish = publish_to(&topology, Family::V4, Protocol::Udp, 5353, 53, &Rules::default());
    let lists = || (prop::collection::vec(any_source(), 0..6), prop::collection::vec(any_source(), 0..6));
    let sources = prop::collection::vec(any_source(), 1..20);
    let uplink = Program::uplink(&topology);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() });
    let checked = runner.run(&(lists(), lists(), sources), |(own, daemon, sources)| {
        let (own, daemon) = (Rules::new(own.0, own.1), Rules::new(daemon.0, daemon.1));
        topology.datapath().publish_to(&publish, &own).expect("rules");
        topology.datapath().set_daemon_rules(&daemon).expect("rules");
        for source in sources.iter().map(IpNet::addr) {
            let expected = model(&own, source) && model(&daemon, source);
            let admits = topology.datapath().admits(&publish, source).expect("admits");
            prop_assert_eq!(admits, expected, "{} by {:?} and {:?}", source, own, daemon);
            let IpAddr::V4(source) = source else { continue };
            let packet = Packet::new(UDP, (source, 4000), (HOST, 5353), b"hello");
            let expected = if expected { REDIRECT } else { SHOT };
            prop_assert_eq!(uplink.run(packet).0, expected, "{} by {:?} and {:?}", source, own, daemon);
        }
        Ok(())
    });
    checked.expect("the model agrees");
}
