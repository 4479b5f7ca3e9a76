//! Containers ask 127.0.0.11 for names, where nothing listens.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use beeline_net::{
    Keep, Net, Netns,
    dns::{Member, Resolver, ResolverConfig, Zone},
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};

use crate::bed::{Bed, Container, NETWORK, container, eventually, inside, run};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 7, 1);
const ASKED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 11), 53);
const PATIENCE: Duration = Duration::from_secs(3);

fn zone() -> Zone {
    Zone {
        network: NETWORK,
        name: "front".into(),
        subnets: vec!["172.31.7.0/24".parse().unwrap()],
        internal: false,
    }
}

fn member(container: &Container, names: &[&str]) -> Member {
    Member {
        network: NETWORK,
        container: container.endpoint.id.clone(),
        names: names.iter().map(|name| (*name).into()).collect(),
        addresses: vec![container.ip().into()],
        ..Member::default()
    }
}

/// A resolver for the test's network, and a container that asks it.
async fn start(net: &Net, config: ResolverConfig) -> (Resolver, Container) {
    let resolver = Resolver::new(config);
    let address = resolver.add_network(zone(), Some(GATEWAY)).unwrap().unwrap();
    let asker = container(net, 2).await;
    resolver.set_member(member(&asker, &["asker"])).unwrap();
    net.set_resolver(asker.netns.as_fd(), &asker.endpoint, address).await.unwrap();
    (resolver, asker)
}

fn question(name: &str, record: RecordType) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record));
    message.to_vec().unwrap()
}

fn addresses(bytes: &[u8]) -> (ResponseCode, Vec<IpAddr>) {
    let message = Message::from_vec(bytes).unwrap();
    assert_eq!(message.metadata.id, 4711);
    let addresses = message.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    (message.metadata.response_code, addresses)
}

/// Asks by a datagram, and checks from whom the answer comes.
fn ask(socket: &UdpSocket, asked: impl Into<SocketAddr>, name: &str) -> io::Result<Vec<IpAddr>> {
    let asked = asked.into();
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1500];
    if socket.peer_addr().is_ok() {
        socket.send(&question(name, RecordType::A))?;
    } else {
        socket.send_to(&question(name, RecordType::A), asked)?;
    }
    let (length, from) = socket.recv_from(&mut buffer)?;
    assert_eq!(from, asked, "who answers");
    Ok(addresses(&buffer[..length]).1)
}

fn ask_any(name: &str) -> io::Result<Vec<IpAddr>> {
    ask(&UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?, ASKED, name)
}

fn ask_by_tcp(stream: &mut TcpStream, name: &str) -> Vec<IpAddr> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = question(name, RecordType::A);
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &question].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    addresses(&answer).1
}

/// What `dig` says in a namespace, in short.
fn dig(netns: &Netns, arguments: &str) -> String {
    let output = inside(netns, || {
        let arguments = arguments.split_whitespace();
        Command::new("dig").args(["@127.0.0.11", "+time=3", "+tries=1"]).args(arguments).output().unwrap()
    });
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What the C library finds in a namespace, with a resolv.conf of this text.
fn getent(bed: &Bed, netns: &Netns, resolv_conf: &str, arguments: &str) -> String {
    let file = ResolvConf::new(bed, resolv_conf);
    let command = format!("mount --bind {} /etc/resolv.conf && getent {arguments}", file.0.display());
    let output =
        inside(netns, || Command::new("unshare").args(["--mount", "sh", "-c", &command]).output().unwrap());
    String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A dnsmasq of the test's own, in the namespace of the calling thread.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start(arguments: &[&str]) -> Self {
        let child = Command::new("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--user=root",
            ])
            .args(["--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.1", "--local=/#/"])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A resolv.conf for the resolver, removed with this value.
struct ResolvConf(PathBuf);

impl ResolvConf {
    fn new(bed: &Bed, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("beeline-{}-resolv.conf", bed.instance));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn config(&self) -> ResolverConfig {
        ResolverConfig { resolv_conf: self.0.clone(), ..ResolverConfig::default() }
    }
}

impl Drop for ResolvConf {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn a_container_is_answered_whatever_socket_it_asks_by() {
    run(async |bed| {
        let net = bed.start().await;
        let (resolver, asker) = start(&net, ResolverConfig::default()).await;
        let web = container(&net, 3).await;
        resolver.set_member(member(&web, &["web"])).unwrap();
        let expected = [IpAddr::from(web.ip())];
        inside(&asker.netns, || {
            assert_eq!(ask_any("web.").unwrap(), expected);
            let connected = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            connected.connect(ASKED).unwrap();
            assert_eq!(connected.peer_addr().unwrap(), ASKED.into());
            assert_eq!(ask(&connected, ASKED, "WEB.front.").unwrap(), expected);

            let mapped: SocketAddr = (Ipv4Addr::new(127, 0, 0, 11).to_ipv6_mapped(), 53).into();
            let six = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
            assert_eq!(ask(&six, mapped, "web.").unwrap(), expected);

            let mut stream = TcpStream::connect_timeout(&ASKED.into(), PATIENCE).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), ASKED.into());
            assert_eq!(ask_by_tcp(&mut stream, "web."), expected);
            assert_eq!(ask_by_tcp(&mut stream, "asker."), [IpAddr::from(asker.ip())]);
        });
        // Nothing listens there for others: not for a container without the entry, not for the host.
        let lone = |netns: Option<&Netns>| match netns {
            Some(netns) => inside(netns, || TcpStream::connect_timeout(&ASKED.into(), PATIENCE)).is_err(),
            None => TcpStream::connect_timeout(&ASKED.into(), PATIENCE).is_err(),
        };
        assert!(lone(Some(&web.netns)) && lone(None));
        // The host is no container: it is told nothing.
        let address = resolver.address(NETWORK).unwrap();
        assert!(ask(&UdpSocket::bind((GATEWAY, 0)).unwrap(), address, "web.").unwrap().is_empty());
        net.destroy().await.unwrap();
    });
}

#[test]
fn the_c_library_finds_names() {
    run(async |bed| {
        let net = bed.start().await;
        let (resolver, asker) = start(&net, ResolverConfig::default()).await;
        let six = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 7]);
        let web = Member {
            network: NETWORK,
            container: "77".repeat(32),
            names: vec!["web".into()],
            addresses: vec![IpAddr::from([172, 31, 7, 7]), six],
            ..Member::default()
        };
        resolver.set_member(web).unwrap();
        for options in ["ndots:0", "ndots:0 use-vc", "ndots:5", "ndots:0 edns0"] {
            let text = format!("nameserver 127.0.0.11\nsearch lan.test front\noptions {options}\n");
            let ask = |arguments: &str| getent(&bed, &asker.netns, &text, arguments);
            assert!(ask("ahostsv4 web").starts_with("172.31.7.7 STREAM web"), "{options}");
            assert!(ask("--no-addrconfig ahostsv6 WEB").starts_with("fd00::7 STREAM"), "{options}");
            assert_eq!(ask("hosts 172.31.7.7"), "172.31.7.7 web.front", "{options}");
            assert_eq!(ask("hosts fd00::7"), "fd00::7 web.front", "{options}");
            assert_eq!(ask("hosts nobody"), "", "{options}");
        }
        net.destroy().await.unwrap();
    });
}

#[test]
fn names_outlive_the_daemon_that_told_them() {
    run(async |bed| {
        let net = bed.start().await;
        let (resolver, asker) = start(&net, ResolverConfig::default()).await;
        let address = resolver.address(NETWORK).unwrap();
        assert!(!inside(&asker.netns, || ask_any("asker.")).unwrap().is_empty());
        drop((resolver, net));
        eventually("nobody is there", || inside(&asker.netns, || ask_any("asker.")).is_err()).await;

        let net = bed.open().await;
        let keep = Keep {
            networks: vec![bed.network()],
            endpoints: vec![asker.endpoint.clone()],
            ..Keep::default()
        };
        net.reconcile(keep).await.unwrap();
        assert_eq!(net.resolvers().unwrap(), [address]);
        let known = net.resolvers().unwrap();
        let resolver = Resolver::new(ResolverConfig { known: known.clone(), ..ResolverConfig::default() });
        // The sockets of the first close in their own time.
        eventually("the old port again", || {
            resolver.add_network(zone(), Some(GATEWAY)).unwrap() == Some(address) || {
                resolver.remove_network(NETWORK);
                false
            }
        })
        .await;
        resolver.set_member(member(&asker, &["asker"])).unwrap();
        assert_eq!(inside(&asker.netns, || ask_any("asker.")).unwrap(), [IpAddr::from(asker.ip())]);

        // Another port, told again.
        resolver.remove_network(NETWORK);
        let mut taken = None;
        eventually("the port is free", || {
            taken = UdpSocket::bind(address).ok();
            taken.is_some()
        })
        .await;
        let resolver = Resolver::new(ResolverConfig { known, ..ResolverConfig::default() });
        let other = resolver.add_network(zone(), Some(GATEWAY)).unwrap().unwrap();
        assert_ne!(other, address);
        resolver.set_member(member(&asker, &["asker"])).unwrap();
        let netns = asker.netns.as_fd();
        net.set_resolver(netns, &asker.endpoint, other).await.unwrap();
        assert_eq!(inside(&asker.netns, || ask_any("asker.")).unwrap(), [IpAddr::from(asker.ip())]);

        // The entry goes with the endpoint: on request, or when the next daemon does not know it.
        net.detach(&asker.endpoint).await.unwrap();
        assert!(net.resolvers().unwrap().is_empty());
        let second = container(&net, 4).await;
        let netns = second.netns.as_fd();
        net.set_resolver(netns, &second.endpoint, other).await.unwrap();
        net.reconcile(Keep { networks: vec![bed.network()], ..Keep::default() }).await.unwrap();
        assert!(net.resolvers().unwrap().is_empty());
        net.destroy().await.unwrap();
    });
}

#[test]
fn an_upgrade_to_maps_of_another_layout_knows_where_containers_ask() {
    run(async |bed| {
        let net = bed.start().await;
        let (resolver, asker) = start(&net, ResolverConfig::default()).await;
        let address = resolver.address(NETWORK).unwrap();
        drop((resolver, net));
        let pins = PathBuf::from("/sys/fs/bpf/beeline").join(&bed.instance);
        let current = format!("maps_v{}", beeline_net::datapath::LAYOUT_VERSION);
        std::fs::rename(pins.join(current), pins.join("maps_v99")).unwrap();
        // Programs of another layout are of another object.
        let entries = std::fs::read_dir(&pins).unwrap().flatten().map(|entry| entry.path());
        let programs = entries.filter(|path| path.to_string_lossy().contains("/programs_"));
        programs.for_each(|path| std::fs::rename(path, pins.join("programs_of_another")).unwrap());

        let net = bed.open().await;
        let known = net.resolvers().unwrap();
        assert_eq!(known, [address]);
        let keep = Keep {
            networks: vec![bed.network()],
            endpoints: vec![asker.endpoint.clone()],
            ..Keep::default()
        };
        net.reconcile(keep).await.unwrap();
        let resolver = Resolver::new(ResolverConfig { known, ..ResolverConfig::default() });
        eventually("the old port again", || {
            resolver.add_network(zone(), Some(GATEWAY)).unwrap() == Some(address) || {
                resolver.remove_network(NETWORK);
                false
            }
        })
        .await;
        resolver.set_member(member(&asker, &["asker"])).unwrap();
        assert_eq!(inside(&asker.netns, || ask_any("asker.")).unwrap(), [IpAddr::from(asker.ip())]);
        net.destroy().await.unwrap();
    });
}

#[test]
fn other_names_are_asked_for_outside_and_those_of_containers_are_not() {
    run(async |bed| {
        let net = bed.start().await;
        let many: Vec<String> =
            (1..=120).map(|last| format!("--host-record=many.outside.test,198.51.100.{last}")).collect();
        let mut arguments: Vec<&str> = many.iter().map(String::as_str).collect();
        // Were it asked for single names, it would answer.
        arguments.extend(["--address=/leak/198.51.100.1", "--host-record=www.outside.test,198.51.100.7"]);
        let _dnsmasq = Dnsmasq::start(&arguments);
        // The first server is not there.
        let file = ResolvConf::new(&bed, "nameserver 127.0.0.9\nnameserver 127.0.0.1\n");
        let (resolver, asker) = start(&net, file.config()).await;
        let netns = &asker.netns;
        eventually("dnsmasq answers", || dig(netns, "+short www.outside.test") == "198.51.100.7").await;
        assert_eq!(dig(netns, "+short +tcp www.outside.test"), "198.51.100.7");
        assert_eq!(
            dig(netns, "+short many.outside.test").lines().count(),
            120,
            "by TCP, as they are too many"
        );
        assert!(dig(netns, "leak").contains("status: NXDOMAIN"));
        assert!(dig(netns, "nobody.outside.test").contains("status: NXDOMAIN"));
        assert_eq!(dig(netns, "+short -x 172.31.7.2"), "asker.front.");
        assert!(dig(netns, "-x 172.31.7.77").contains("status: NXDOMAIN"));
        let nodata = dig(netns, "AAAA asker");
        assert!(nodata.contains("status: NOERROR") && nodata.contains("ANSWER: 0"), "{nodata}");
        assert!(dig(netns, "+opcode=status asker").contains("status: NOTIMP"));
        assert!(dig(netns, "+edns=1 +noednsnegotiation asker").contains("status: BADVERS"));

        // An own server, and a network that leads nowhere.
        let own = Member { servers: vec!["127.0.0.9:53".parse().unwrap()], ..member(&asker, &["asker"]) };
        resolver.set_member(own).unwrap();
        assert!(dig(netns, "www.outside.test").contains("status: SERVFAIL"));
        resolver.set_member(member(&asker, &["asker"])).unwrap();
        resolver.add_network(Zone { internal: true, ..zone() }, Some(GATEWAY)).unwrap();
        assert!(dig(netns, "www.outside.test").contains("status: SERVFAIL"));
        assert_eq!(dig(netns, "+short asker"), "172.31.7.2");
        net.destroy().await.unwrap();
    });
}

#[test]
fn one_thousand_five_hundred_names_are_found() {
    run(async |bed| {
        let net = bed.start().await;
        let (resolver, asker) = start(&net, ResolverConfig::default()).await;
        let address = |number: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
        for number in 0..1500 {
            let member = Member {
                network: NETWORK,
                container: format!("{number:064x}"),
                names: vec![format!("c{number}"), "all".into()],
                addresses: vec![address(number)],
                ..Member::default()
            };
            resolver.set_member(member).unwrap();
        }
        inside(&asker.netns, || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            for number in 0..1500 {
                assert_eq!(ask(&socket, ASKED, &format!("c{number}.")).unwrap(), [address(number)]);
            }
            // What does not fit in a datagram comes by a connection.
            let mut stream = TcpStream::connect_timeout(&ASKED.into(), PATIENCE).unwrap();
            assert_eq!(ask_by_tcp(&mut stream, "all.").len(), 1500);
        });
        net.destroy().await.unwrap();
    });
}
