//! Questions read, and answers written.

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR},
    },
    serialize::binary::{BinDecodable as _, BinDecoder},
};

use super::names::{Outcome, Subject};

/// The least a client takes by UDP, which needs not be said.
const PLAIN_PAYLOAD: u16 = 512;
/// The most that we send by UDP: what no path cuts into fragments.
const PAYLOAD: u16 = 1232;
/// Bytes of a header.
const HEADER_LEN: usize = 12;
/// How long an answer is good, in seconds: a container that comes again may have another address.
const TTL: u32 = 5;

/// How a question came, and so how its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// A question that can be answered.
#[derive(Clone, Debug)]
pub(super) struct Question {
    message: Message,
    query: Query,
    /// None if the name is none that a container could have.
    pub(super) subject: Option<Subject>,
}

/// What becomes of bytes that came as a question.
#[derive(Debug)]
pub(super) enum Received {
    /// A question.
    Question(Box<Question>),
    /// It is refused with this answer.
    Refused(Vec<u8>),
    /// It deserves no answer.
    Ignored,
}

/// Reads a question.
pub(super) fn receive(bytes: &[u8]) -> Received {
    let Ok(header) = Header::read(&mut BinDecoder::new(bytes)) else { return Received::Ignored };
    // An answer to an answer would go in circles.
    if header.metadata.message_type != MessageType::Query {
        return Received::Ignored;
    }
    if header.metadata.op_code != OpCode::Query {
        return bare(&header, ResponseCode::NotImp);
    }
    let Ok(message) = Message::from_vec(bytes) else { return bare(&header, ResponseCode::FormErr) };
    let [query] = message.queries.as_slice() else { return bare(&header, ResponseCode::FormErr) };
    let query = query.clone();
    let question = Question { subject: subject(&query), query, message };
    match question.refusal() {
        Some(code) => Received::Refused(question.answer(code, Vec::new(), Transport::Udp)),
        None => Received::Question(Box::new(question)),
    }
}

/// An answer that repeats nothing but the header: the rest could not be read.
fn bare(header: &Header, code: ResponseCode) -> Received {
    let mut message = Message::error_msg(header.metadata.id, header.metadata.op_code, code);
    message.metadata.recursion_desired = header.metadata.recursion_desired;
    message.to_vec().map_or(Received::Ignored, Received::Refused)
}

fn subject(query: &Query) -> Option<Subject> {
    if let Ok(network) = query.name.parse_arpa_name()
        && network.prefix_len() == network.max_prefix_len()
    {
        return Some(Subject::Address(network.addr()));
    }
    let mut name = String::new();
    for label in &query.name {
        let label = std::str::from_utf8(label).ok().filter(|label| !label.contains('.'))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(label);
    }
    name.make_ascii_lowercase();
    let about_zone =
        matches!(query.query_type, RecordType::NS | RecordType::SOA | RecordType::DS | RecordType::DNSKEY);
    Some(Subject::Name { name, about_zone })
}

impl Question {
    /// Why a question that can be read is not answered.
    fn refusal(&self) -> Option<ResponseCode> {
        if self.message.version() != 0 {
            return Some(ResponseCode::BADVERS);
        }
        if self.query.query_class != DNSClass::IN {
            return Some(ResponseCode::Refused);
        }
        match self.query.query_type {
            RecordType::AXFR | RecordType::IXFR => Some(ResponseCode::Refused),
            RecordType::OPT => Some(ResponseCode::FormErr),
            _ => None,
        }
    }

    /// What is asked.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// The longest answer that its sender takes, in bytes.
    pub(super) fn limit(&self, transport: Transport) -> usize {
        match transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => usize::from(self.message.max_payload().max(PLAIN_PAYLOAD)),
        }
    }

    /// The answer when the names of the instance have one; else it is elsewhere. `turn` says whose turn it is among
    /// those of the same name.
    pub(super) fn local_answer(
        &self,
        outcome: Outcome,
        turn: usize,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let (code, data) = match outcome {
            Outcome::Elsewhere => return None,
            Outcome::Unknown => (ResponseCode::NXDomain, Vec::new()),
            Outcome::Addresses(addresses) => (ResponseCode::NoError, self.records(&addresses, turn)),
            Outcome::Name(name) => (ResponseCode::NoError, self.pointer(&name)),
        };
        Some(self.answer(code, data, transport))
    }

    /// The addresses of the family that is asked for, each first in its turn.
    fn records(&self, addresses: &[IpAddr], turn: usize) -> Vec<RData> {
        let asked = self.query.query_type;
        let mut data: Vec<RData> = addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) if matches!(asked, RecordType::A | RecordType::ANY) => {
                    Some(RData::A(A(*address)))
                }
                IpAddr::V6(address) if matches!(asked, RecordType::AAAA | RecordType::ANY) => {
                    Some(RData::AAAA(AAAA(*address)))
                }
                _ => None,
            })
            .collect();
        if !data.is_empty() {
            let first = turn % data.len();
            data.rotate_left(first);
        }
        data
    }

    fn pointer(&self, name: &str) -> Vec<RData> {
        if !matches!(self.query.query_type, RecordType::PTR | RecordType::ANY) {
            return Vec::new();
        }
        // A container may have a name that is too long for a label: then nothing is called so in a message.
        let labels = name.split('.').map(str::as_bytes);
        Name::from_labels(labels).map_or_else(|_| Vec::new(), |name| vec![RData::PTR(PTR(name))])
    }

    /// An answer without records.
    pub(super) fn failure(&self, code: ResponseCode) -> Vec<u8> {
        self.answer(code, Vec::new(), Transport::Udp)
    }

    /// An answer of ours, shortened to what its receiver takes.
    fn answer(&self, code: ResponseCode, data: Vec<RData>, transport: Transport) -> Vec<u8> {
        let mut message = Message::error_msg(self.message.metadata.id, OpCode::Query, code);
        message.metadata.recursion_desired = self.message.metadata.recursion_desired;
        message.metadata.checking_disabled = self.message.metadata.checking_disabled;
        message.metadata.recursion_available = true;
        message.metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        message.add_query(self.query.clone());
        message
            .add_answers(data.into_iter().map(|data| Record::from_rdata(self.query.name.clone(), TTL, data)));
        if let Some(asked) = &self.message.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        let limit = match transport {
            Transport::Tcp => self.limit(transport),
            Transport::Udp => self.limit(transport).min(usize::from(PAYLOAD)),
        };
        encode_within(message, limit)
    }

    /// A server's answer as it goes to the sender: under the sender's number, and not longer than it takes.
    pub(super) fn relay(&self, answer: &[u8], transport: Transport) -> Vec<u8> {
        if answer.len() <= self.limit(transport) {
            return with_id(answer, self.message.metadata.id);
        }
        let mut message = Message::response(self.message.metadata.id, OpCode::Query);
        if let Ok(header) = Header::read(&mut BinDecoder::new(answer)) {
            message.metadata = header.metadata;
        }
        message.metadata.id = self.message.metadata.id;
        message.metadata.truncation = true;
        message.add_query(self.query.clone());
        message.to_vec().unwrap_or_default()
    }
}

/// A message under another number.
pub(super) fn with_id(bytes: &[u8], id: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(field) = bytes.first_chunk_mut::<2>() {
        *field = id.to_be_bytes();
    }
    bytes
}

/// Writes a message, with as many of its answers as there is room for.
fn encode_within(mut message: Message, limit: usize) -> Vec<u8> {
    let mut bytes = message.to_vec().unwrap_or_default();
    if bytes.len() <= limit {
        return bytes;
    }
    message.metadata.truncation = true;
    let all = std::mem::take(&mut message.answers);
    let mut length_with = |count: usize| {
        message.answers = all[..count].to_vec();
        bytes = message.to_vec().unwrap_or_default();
        bytes.len()
    };
    let frame = length_with(0);
    let each = length_with(all.len().min(1)).saturating_sub(frame).max(1);
    let mut room = all.len().min(limit.saturating_sub(frame) / each);
    loop {
        let length = length_with(room);
        if length <= limit || room == 0 {
            return bytes;
        }
        // Not every record was as short as the first.
        room = (room * limit / length).min(room - 1);
    }
}

/// What a server's message says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// An answer, also that there is nothing.
    Answer,
    /// The beginning of one that is too long for UDP.
    Truncated,
    /// The server cannot tell.
    Failure,
    /// Not an answer to this question.
    Unrelated,
}

/// Judges a server's message to the question under this number.
pub(super) fn judge(bytes: &[u8], id: u16, query: &Query) -> Reply {
    let mut decoder = BinDecoder::new(bytes);
    let Ok(header) = Header::read(&mut decoder) else { return Reply::Unrelated };
    let metadata = header.metadata;
    if metadata.id != id || metadata.message_type != MessageType::Response {
        return Reply::Unrelated;
    }
    let is_good = matches!(metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    // Who could not read the question does not repeat it.
    if header.counts.queries == 0 && !is_good && bytes.len() == HEADER_LEN {
        return Reply::Failure;
    }
    if header.counts.queries != 1 || Query::read(&mut decoder).ok().as_ref() != Some(query) {
        return Reply::Unrelated;
    }
    match (is_good, metadata.truncation) {
        (false, _) => Reply::Failure,
        (true, true) => Reply::Truncated,
        (true, false) => Reply::Answer,
    }
}

#[cfg(test)]
mod tests;
