//! Against servers of the test's own, each with a manner.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

use super::*;
use crate::dns::message::{Received, receive};

/// What a server does with a question.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers with an address that ends so.
    Answers(u8),
    /// Answers so after a while.
    Slow(u8),
    Fails,
    Silent,
    /// Answers something else first.
    Confused(u8),
    /// Has an answer that fits in no datagram.
    Long,
}

fn respond(bytes: &[u8], code: ResponseCode, last: u8, count: u8) -> Message {
    let asked = Message::from_vec(bytes).unwrap();
    let mut message = Message::error_msg(asked.metadata.id, OpCode::Query, code);
    message.add_queries(asked.queries.clone());
    for _ in 0..count {
        let data = RData::A(A::new(192, 0, 2, last));
        message.add_answer(Record::from_rdata(asked.queries[0].name.clone(), 60, data));
    }
    message
}

async fn serve(socket: UdpSocket, manner: Manner) {
    let mut buffer = [0; 512];
    while let Ok((length, sender)) = socket.recv_from(&mut buffer).await {
        let bytes = &buffer[..length];
        let mut answers = match manner {
            Manner::Answers(last) | Manner::Slow(last) => {
                vec![respond(bytes, ResponseCode::NoError, last, 1)]
            }
            Manner::Fails => vec![respond(bytes, ResponseCode::ServFail, 0, 0)],
            Manner::Silent => vec![],
            Manner::Confused(last) => {
                let good = respond(bytes, ResponseCode::NoError, last, 1);
                let mut wrong = good.clone();
                wrong.metadata.id = wrong.metadata.id.wrapping_add(1);
                vec![wrong, good]
            }
            Manner::Long => vec![respond(bytes, ResponseCode::NoError, 0, 0)],
        };
        if matches!(manner, Manner::Long) {
            answers[0].metadata.truncation = true;
        }
        if matches!(manner, Manner::Slow(_)) {
            tokio::time::sleep(HEAD_START * 2).await;
        }
        for answer in answers {
            socket.send_to(&answer.to_vec().unwrap(), sender).await.unwrap();
        }
    }
}

async fn serve_long(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let bytes = exchange::receive(&mut stream, 512).await.unwrap();
        let answer = respond(&bytes, ResponseCode::NoError, 1, 200);
        exchange::send(&mut stream, &answer.to_vec().unwrap()).await.unwrap();
    }
}

/// Servers that end with the set.
async fn servers(tasks: &mut JoinSet<()>, manners: &[Manner]) -> ServerList {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for manner in manners {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(serve(UdpSocket::bind(address).await.unwrap(), *manner));
        tasks.spawn(serve_long(listener));
        addresses.push(address);
    }
    ServerList::new(&addresses)
}

fn question() -> (Question, Vec<u8>) {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii("www.example.").unwrap(), RecordType::A));
    let bytes = message.to_vec().unwrap();
    let Received::Question(question) = receive(&bytes) else { panic!("a question") };
    (*question, bytes)
}

async fn outcome(list: &ServerList, transport: Transport) -> Option<(ResponseCode, Option<u8>, usize)> {
    let (question, bytes) = question();
    let answer = Message::from_vec(&ask(list, &question, &bytes, transport).await?).unwrap();
    let last = answer.answers.first().and_then(|record| match record.data.ip_addr()? {
        std::net::IpAddr::V4(address) => Some(address.octets()[3]),
        std::net::IpAddr::V6(_) => None,
    });
    Some((answer.metadata.response_code, last, answer.answers.len()))
}

#[tokio::test]
async fn the_first_good_answer_decides() {
    for (manners, expected) in [
        (&[Manner::Answers(1), Manner::Answers(2)][..], 1),
        (&[Manner::Fails, Manner::Answers(2)], 2),
        (&[Manner::Silent, Manner::Fails, Manner::Answers(3)], 3),
        (&[Manner::Slow(1), Manner::Answers(2)], 2),
        (&[Manner::Slow(1), Manner::Fails, Manner::Silent], 1),
        (&[Manner::Confused(1)], 1),
    ] {
        let mut tasks = JoinSet::new();
        let list = servers(&mut tasks, manners).await;
        let found = outcome(&list, Transport::Udp).await.unwrap();
        assert_eq!(found, (ResponseCode::NoError, Some(expected), 1));
    }
}

#[tokio::test]
async fn a_failure_is_told_when_all_fail_and_nothing_when_nobody_answers() {
    let mut tasks = JoinSet::new();
    let failing = servers(&mut tasks, &[Manner::Fails, Manner::Fails]).await;
    let found = outcome(&failing, Transport::Udp).await.unwrap();
    assert_eq!(found.0, ResponseCode::ServFail);
    // Nothing listens there: the kernel says so, and none is waited for.
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let begin = Instant::now();
    assert_eq!(outcome(&ServerList::new(&[closed, closed]), Transport::Udp).await, None);
    assert_eq!(outcome(&ServerList::new(&[]), Transport::Udp).await, None);
    assert!(begin.elapsed() < HEAD_START);
}

#[tokio::test]
async fn a_server_that_stays_silent_loses_its_head_start() {
    let mut tasks = JoinSet::new();
    let list = servers(&mut tasks, &[Manner::Silent, Manner::Answers(2)]).await;
    for _ in 0..3 {
        outcome(&list, Transport::Udp).await.unwrap();
    }
    let begin = Instant::now();
    outcome(&list, Transport::Udp).await.unwrap();
    assert!(begin.elapsed() < HEAD_START);
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_fetched_by_tcp_for_who_asked_so() {
    let mut tasks = JoinSet::new();
    let list = servers(&mut tasks, &[Manner::Long]).await;
    assert_eq!(outcome(&list, Transport::Udp).await.unwrap(), (ResponseCode::NoError, None, 0));
    assert_eq!(outcome(&list, Transport::Tcp).await.unwrap(), (ResponseCode::NoError, Some(1), 200));
}
