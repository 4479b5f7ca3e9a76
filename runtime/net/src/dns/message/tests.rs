use proptest::prelude::*;

use super::*;

fn query(name: &str, record: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record));
    message
}

fn with_payload(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

fn question(message: &Message) -> Question {
    match receive(&message.to_vec().unwrap()) {
        Received::Question(question) => *question,
        other => panic!("{other:?}"),
    }
}

fn refusal(bytes: &[u8]) -> ResponseCode {
    match receive(bytes) {
        Received::Refused(answer) => Message::from_vec(&answer).unwrap().metadata.response_code,
        other => panic!("{other:?}"),
    }
}

fn addresses(count: u8) -> Vec<IpAddr> {
    (0..count).map(|last| IpAddr::from([10, 0, 0, last])).collect()
}

fn answer(message: &Message, outcome: Outcome, transport: Transport) -> Message {
    let bytes = question(message).local_answer(outcome, 0, transport).unwrap();
    Message::from_vec(&bytes).unwrap()
}

#[test]
fn the_answer_repeats_the_question_as_it_was_written() {
    let message = query("WeB.Example.", RecordType::A);
    let asked = question(&message);
    assert_eq!(asked.subject, Some(Subject::Name { name: "web.example".into(), about_zone: false }));
    let told = answer(&message, Outcome::Addresses(addresses(1)), Transport::Udp);
    assert_eq!(told.metadata.id, 7);
    assert!(
        told.metadata.recursion_available && told.metadata.recursion_desired && told.metadata.authoritative
    );
    assert!(told.queries[0].name.eq_case(&message.queries[0].name), "{}", told.queries[0].name);
    assert!(told.answers[0].name.eq_case(&message.queries[0].name), "{}", told.answers[0].name);
    assert_eq!(told.answers[0].data, RData::A(A::new(10, 0, 0, 0)));
    assert!(told.edns.is_none(), "none was offered");
}

#[test]
fn a_name_without_an_address_of_the_family_exists_all_the_same() {
    for record in [RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::HTTPS] {
        let told = answer(&query("web.", record), Outcome::Addresses(addresses(2)), Transport::Udp);
        assert_eq!((told.metadata.response_code, told.answers.len()), (ResponseCode::NoError, 0), "{record}");
    }
    let both = vec![IpAddr::from([10, 0, 0, 1]), "fd00::1".parse().unwrap()];
    for (record, count) in [(RecordType::A, 1), (RecordType::AAAA, 1), (RecordType::ANY, 2)] {
        let told = answer(&query("web.", record), Outcome::Addresses(both.clone()), Transport::Udp);
        assert_eq!(told.answers.len(), count, "{record}");
    }
    let told = answer(&query("nobody.", RecordType::A), Outcome::Unknown, Transport::Udp);
    assert_eq!(told.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn each_of_one_name_is_first_in_its_turn() {
    let asked = question(&query("web.", RecordType::A));
    let first = |turn| {
        let bytes = asked.local_answer(Outcome::Addresses(addresses(3)), turn, Transport::Udp).unwrap();
        Message::from_vec(&bytes).unwrap().answers[0].data.ip_addr().unwrap()
    };
    assert_eq!(
        (0..4).map(first).collect::<Vec<_>>(),
        [0, 1, 2, 0].map(|last| IpAddr::from([10, 0, 0, last]))
    );
}

#[test]
fn an_address_is_asked_for_in_reverse() {
    for (name, address) in [
        ("2.0.0.10.in-addr.arpa.", "10.0.0.2"),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.IP6.arpa.", "fd00::1"),
    ] {
        let message = query(name, RecordType::PTR);
        assert_eq!(question(&message).subject, Some(Subject::Address(address.parse().unwrap())));
        let told = answer(&message, Outcome::Name("web.my_net".into()), Transport::Udp);
        assert_eq!(told.answers[0].data, RData::PTR(PTR(Name::from_ascii("web.my_net.").unwrap())));
    }
    let part = question(&query("0.10.in-addr.arpa.", RecordType::PTR));
    assert!(matches!(part.subject, Some(Subject::Name { .. })), "a part of an address is a name like others");
    let long = "x".repeat(64);
    let told = answer(&query("2.0.0.10.in-addr.arpa.", RecordType::PTR), Outcome::Name(long), Transport::Udp);
    assert!(told.answers.is_empty());
}

#[test]
fn an_answer_is_as_long_as_its_receiver_takes() {
    let all = Outcome::Addresses(addresses(200));
    for (payload, transport, records) in [
        (None, Transport::Udp, 30),
        (Some(100), Transport::Udp, 30),
        (Some(1000), Transport::Udp, 60),
        (Some(4096), Transport::Udp, 75),
        (None, Transport::Tcp, 200),
    ] {
        let plain = query("web.", RecordType::A);
        let message = payload.map_or_else(|| plain.clone(), |payload| with_payload(plain.clone(), payload));
        let asked = question(&message);
        let bytes = asked.local_answer(all.clone(), 0, transport).unwrap();
        assert!(bytes.len() <= asked.limit(transport).min(65535), "{payload:?}: {}", bytes.len());
        let told = Message::from_vec(&bytes).unwrap();
        assert_eq!(told.answers.len(), records, "{payload:?}");
        assert_eq!(told.metadata.truncation, records < 200);
        assert_eq!(told.edns.is_some(), payload.is_some());
    }
}

#[test]
fn what_is_no_question_of_ours_is_refused_or_ignored() {
    let good = query("web.", RecordType::A).to_vec().unwrap();
    let mut notify = good.clone();
    notify[2] |= 4 << 3;
    assert_eq!(refusal(&notify), ResponseCode::NotImp);
    let mut two = query("web.", RecordType::A);
    two.add_query(two.queries[0].clone());
    assert_eq!(refusal(&two.to_vec().unwrap()), ResponseCode::FormErr);
    assert_eq!(refusal(&good[..good.len() - 1]), ResponseCode::FormErr, "cut short");
    assert_eq!(refusal(&query("web.", RecordType::AXFR).to_vec().unwrap()), ResponseCode::Refused);
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(refusal(&chaos.to_vec().unwrap()), ResponseCode::Refused);
    let mut newer = with_payload(query("web.", RecordType::A), 1232);
    newer.edns.as_mut().unwrap().set_version(1);
    assert_eq!(u16::from(refusal(&newer.to_vec().unwrap())), u16::from(ResponseCode::BADVERS));
    let mut response = good.clone();
    response[2] |= 0x80;
    for bytes in [&response[..], &good[..11], &[]] {
        assert!(matches!(receive(bytes), Received::Ignored), "{bytes:?}");
    }
}

#[test]
fn a_servers_answer_is_passed_on_under_the_senders_number() {
    let message = query("www.example.", RecordType::A);
    let asked = question(&message);
    let mut told = Message::response(99, OpCode::Query);
    told.add_query(message.queries[0].clone());
    for last in 0..100 {
        let data = RData::A(A::new(192, 0, 2, last));
        told.add_answer(Record::from_rdata(message.queries[0].name.clone(), 60, data));
    }
    let bytes = told.to_vec().unwrap();
    assert_eq!(judge(&bytes, 99, asked.query()), Reply::Answer);
    assert_eq!(judge(&bytes, 98, asked.query()), Reply::Unrelated);
    let by_tcp = Message::from_vec(&asked.relay(&bytes, Transport::Tcp)).unwrap();
    assert_eq!((by_tcp.metadata.id, by_tcp.answers.len()), (7, 100));
    let by_udp = Message::from_vec(&asked.relay(&bytes, Transport::Udp)).unwrap();
    assert_eq!((by_udp.metadata.id, by_udp.answers.len(), by_udp.metadata.truncation), (7, 0, true));

    let other = query("other.example.", RecordType::A);
    assert_eq!(judge(&bytes, 99, question(&other).query()), Reply::Unrelated);
    told.metadata.response_code = ResponseCode::ServFail;
    assert_eq!(judge(&told.to_vec().unwrap(), 99, asked.query()), Reply::Failure);
}

proptest! {
    #[test]
    fn no_bytes_at_all_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        drop(receive(&bytes));
        let asked = question(&query("a.b.", RecordType::A));
        let _ = judge(&bytes, 7, asked.query());
        drop(asked.relay(&bytes, Transport::Udp));
    }

    #[test]
    fn a_question_with_any_byte_changed_is_read_or_refused(at in 0usize..60, byte: u8, payload: u16) {
        let message = with_payload(query("some.name.of.a-container.", RecordType::AAAA), payload);
        let mut bytes = message.to_vec().unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Received::Question(question) = receive(&bytes) {
            let answer = question.local_answer(Outcome::Addresses(addresses(250)), 3, Transport::Udp).unwrap();
            prop_assert!(answer.len() <= question.limit(Transport::Udp).min(1232));
        }
    }

    #[test]
    fn labels_of_any_bytes_are_names_like_others(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)) {
        let name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        let mut message = query("x.", RecordType::A);
        message.queries[0].set_name(name);
        let asked = question(&message);
        drop(asked.local_answer(Outcome::Unknown, 0, Transport::Udp));
    }
}
