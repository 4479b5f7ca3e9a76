//! The whole resolver on the loopback, whose addresses stand for containers.

use std::time::Duration;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

use super::*;

const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MODEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const PATIENCE: Duration = Duration::from_secs(3);

fn member(container: &str, address: Ipv4Addr, servers: &[SocketAddr]) -> Member {
    Member {
        network: 1,
        container: container.into(),
        names: vec![container.into()],
        addresses: vec![address.into()],
        servers: servers.to_vec(),
        ..Member::default()
    }
}

/// A resolver for two containers that ask a server of theirs.
fn resolver(server: SocketAddr) -> (Resolver, SocketAddr) {
    let resolver = Resolver::new(ResolverConfig::default());
    let zone = Zone { network: 1, name: "net".into(), subnets: Vec::new(), internal: false };
    let address = resolver.add_network(zone, Some(Ipv4Addr::LOCALHOST)).unwrap().unwrap();
    resolver.set_member(member("greedy", GREEDY, &[server])).unwrap();
    resolver.set_member(member("modest", MODEST, &[server])).unwrap();
    (resolver, address.into())
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn answer(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 512];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn client(from: Ipv4Addr, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

#[tokio::test]
async fn fifteen_hundred_members_of_a_network_find_each_other() {
    const COUNT: u32 = 1500;
    let resolver = Resolver::new(ResolverConfig::default());
    let zone = Zone { network: 1, name: "net".into(), subnets: Vec::new(), internal: true };
    let to = resolver.add_network(zone, Some(Ipv4Addr::LOCALHOST)).unwrap().unwrap();
    let (address, name) =
        (|number| Ipv4Addr::from(0x7f01_0001 + number), |number| format!("member-{number}"));
    for number in 0..COUNT {
        resolver.set_member(member(&name(number), address(number), &[])).unwrap();
    }
    for number in 0..COUNT {
        let other = (number + 751) % COUNT;
        let asker = client(address(number), to.into()).await;
        asker.send(&question(number as u16, &name(other))).await.unwrap();
        let answer = answer(&asker).await;
        let found: Vec<_> = answer.answers.iter().map(|record| record.data.ip_addr()).collect();
        assert_eq!(found, [Some(address(other).into())], "{} asks for {}", name(number), name(other));
    }
}

#[tokio::test]
async fn a_container_that_asks_too_much_takes_no_place_of_others() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (resolver, address) = resolver(silent.local_addr().unwrap());
    let greedy = client(GREEDY, address).await;
    for id in 0..100 {
        greedy.send(&question(id, "www.example.")).await.unwrap();
    }
    // Those beyond its places are told at once, and its own names go on.
    for _ in 64..100 {
        assert_eq!(answer(&greedy).await.metadata.response_code, ResponseCode::ServFail);
    }
    greedy.send(&question(7777, "modest.")).await.unwrap();
    assert_eq!(answer(&greedy).await.answers.len(), 1);
    let counted = resolver.counters();
    assert_eq!((counted.names, counted.outside, counted.too_many), (1, 100, 36));
    // All who got a place were asked for, the modest one, too.
    let mut buffer = [0; 512];
    for _ in 0..64 {
        timeout(PATIENCE, silent.recv_from(&mut buffer)).await.unwrap().unwrap();
    }
    let modest = client(MODEST, address).await;
    modest.send(&question(1, "other.example.")).await.unwrap();
    loop {
        let (length, from) = timeout(PATIENCE, silent.recv_from(&mut buffer)).await.unwrap().unwrap();
        let mut asked = Message::from_vec(&buffer[..length]).unwrap();
        // Some of the others are asked for again meanwhile.
        if asked.queries[0].name == Name::from_ascii("other.example.").unwrap() {
            asked.metadata.message_type = MessageType::Response;
            silent.send_to(&asked.to_vec().unwrap(), from).await.unwrap();
            break;
        }
    }
    assert_eq!(answer(&modest).await.metadata.response_code, ResponseCode::NoError);
}

#[tokio::test]
async fn connections_have_a_limit_and_strangers_get_none() {
    let (_resolver, address) = resolver((Ipv4Addr::LOCALHOST, 9).into());
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(connect(GREEDY, address).await);
    }
    let is_closed =
        async |mut stream: TcpStream| matches!(timeout(PATIENCE, stream.read_u8()).await, Ok(Err(_)));
    assert!(is_closed(connect(GREEDY, address).await).await, "one too many");
    assert!(is_closed(connect(Ipv4Addr::LOCALHOST, address).await).await, "no container");
    let mut modest = connect(MODEST, address).await;
    let question = question(5, "greedy.net.");
    exchange::send(&mut modest, &question).await.unwrap();
    let answer = Message::from_vec(&exchange::receive(&mut modest, 512).await.unwrap()).unwrap();
    assert_eq!(answer.answers[0].data.ip_addr(), Some(GREEDY.into()));
    modest.write_all(&[0xff; 64]).await.unwrap();
    assert!(is_closed(modest).await, "a question that long is none");
}

#[tokio::test]
async fn who_is_no_container_is_told_nothing() {
    let (_resolver, address) = resolver((Ipv4Addr::LOCALHOST, 9).into());
    let stranger = client(Ipv4Addr::LOCALHOST, address).await;
    for name in ["greedy.", "www.example."] {
        stranger.send(&question(1, name)).await.unwrap();
        let told = answer(&stranger).await;
        assert_eq!((told.metadata.response_code, told.answers.len()), (ResponseCode::Refused, 0), "{name}");
    }
}

#[tokio::test]
async fn nonsense_is_survived() {
    let (_resolver, address) = resolver((Ipv4Addr::LOCALHOST, 9).into());
    let greedy = client(GREEDY, address).await;
    let mut bytes = [0; 300];
    for length in (0..300).cycle().take(1500) {
        getrandom::fill(&mut bytes).unwrap();
        greedy.send(&bytes[..length]).await.unwrap();
        let mut stream = connect(GREEDY, address).await;
        drop(stream.write_all(&bytes[..length]).await);
    }
    let modest = client(MODEST, address).await;
    modest.send(&question(1, "greedy.")).await.unwrap();
    assert_eq!(answer(&modest).await.answers.len(), 1);
}

#[tokio::test]
async fn a_network_that_goes_takes_its_sockets_and_names_along() {
    let (resolver, address) = resolver((Ipv4Addr::LOCALHOST, 9).into());
    let zone = Zone { network: 2, name: "two".into(), subnets: Vec::new(), internal: false };
    let second = resolver.add_network(zone, Some(Ipv4Addr::new(127, 0, 0, 4))).unwrap().unwrap();
    assert_eq!(second.port(), address.port(), "one number for all");
    resolver.remove_network(1);
    assert!(resolver.address(1).is_none());
    assert!(matches!(
        resolver.set_member(member("late", GREEDY, &[])),
        Err(Error::UnknownNetwork { network: 1 })
    ));
    let socket = client(GREEDY, second.into()).await;
    socket.send(&question(1, "modest.")).await.unwrap();
    assert_eq!(answer(&socket).await.metadata.response_code, ResponseCode::Refused);
}
