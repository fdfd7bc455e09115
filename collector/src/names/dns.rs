//! DNS questions and the answers to them: RFC 1035 over any transport, LLMNR
//! (RFC 4795), and the questions of multicast DNS (RFC 6762).

mod message;
mod name;
mod rdata;
#[cfg(test)]
pub(super) mod tests;

use std::hash::{Hash, Hasher};

use iotq_proto::{DnsKind, MAX_DNS_ANSWERS, RecordType, Timestamp, VlanId, v1};

use super::{
    found::Found,
    mdns,
    seen::Seen,
    waiting::{Limits, Waiting},
};
use crate::packet::Endpoint;

pub(super) use message::{Message, Record, Section};
pub(super) use name::{MAX_NAME_OCTETS, Name};

/// The questions that wait for an answer.
#[derive(Debug)]
pub(super) struct Transactions {
    waiting: Waiting<Exchange, Question>,
    /// For a name that may turn out not to be needed.
    scratch: String,
}

/// A question; the row is made when it leaves, with or without its answer.
#[derive(Debug)]
struct Question {
    kind: DnsKind,
    at: Timestamp,
    client: Endpoint,
    server: Endpoint,
    ip_version: u8,
    protocol: u8,
    vlan: VlanId,
    was_seen: bool,
    qtype: u16,
    qname: String,
}

/// What a question and its answer have in common, but for the question itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Exchange {
    client_ip: [u8; 16],
    /// All zero for LLMNR: who answers is not whom the client asked.
    server_ip: [u8; 16],
    client_port: u16,
    server_port: u16,
    id: u16,
    protocol: u8,
}

impl Default for Transactions {
    fn default() -> Self {
        let limits = Limits { wait_ns: ANSWER_WAIT_NS, requests: MAX_OPEN, requests_at_key: MAX_OPEN_AT_ONCE };
        Self { waiting: Waiting::new(limits), scratch: String::new() }
    }
}

impl Transactions {
    /// Reads a message, over whatever transport; TCP's length field is not part
    /// of it. Whether it is one.
    pub(super) fn observe(&mut self, kind: DnsKind, seen: &Seen, octets: &[u8], found: &mut Found) -> bool {
        let Some(message) = Message::read(octets) else {
            return false;
        };
        // A bare header is an answer at most (FORMERR, for one). Else something has
        // to be readable: chance hits a good header more often than names behind it.
        let is_message = if message.is_bare() {
            message.is_response()
        } else {
            message.questions().next().is_some() || message.records().next().is_some()
        };
        if !is_message {
            return false;
        }
        self.expire(seen.at, found);
        match (kind, message.is_response()) {
            _ if !message.is_standard_query() => {}
            (DnsKind::Mdns, is_response) => {
                if !is_response {
                    Self::note_unanswerable(seen, &message, found);
                }
                mdns::observe(seen, &message, found);
            }
            (_, false) => self.ask(kind, seen, &message, found),
            (_, true) => self.answer(kind, seen, &message, found),
        }
        true
    }

    /// How many questions were given up before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.waiting.pushed_out()
    }

    /// Gives up what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp, found: &mut Found) {
        self.waiting.expire(now, |question| found.add_dns(question.into()));
    }

    /// Gives up all.
    pub(super) fn finish(&mut self, found: &mut Found) {
        self.waiting.finish(|question| found.add_dns(question.into()));
    }

    fn ask(&mut self, kind: DnsKind, seen: &Seen, message: &Message<'_>, found: &mut Found) {
        let exchange = Exchange::between(kind, message.id, seen, &seen.src, &seen.dst);
        for question in message.questions().take(MAX_QUESTIONS) {
            let question = Question {
                was_seen: true,
                qtype: question.qtype,
                qname: question.name.lower(),
                ..Question::between(kind, seen, seen.src, seen.dst)
            };
            self.waiting.add(exchange, seen.at, question, |given_up| found.add_dns(given_up.into()));
        }
    }

    fn answer(&mut self, kind: DnsKind, seen: &Seen, message: &Message<'_>, found: &mut Found) {
        let exchange = Exchange::between(kind, message.id, seen, &seen.dst, &seen.src);
        let rcode = extended_rcode(message);
        let mut answers: Vec<_> = message
            .records()
            .take_while(|record| record.section == Section::Answer)
            .take(MAX_DNS_ANSWERS)
            .map(|record| v1::DnsRecord {
                name: record.name.lower(),
                r#type: record.rtype.into(),
                ttl_secs: record.ttl_secs,
                data: rdata::text(&record),
            })
            .collect();
        let answered = |question: Question, answers| v1::DnsTransaction {
            answered_at_ns: Some(seen.at.as_nanos()),
            rcode: Some(rcode),
            answers,
            ..question.into()
        };
        let mut questions = message.questions().take(MAX_QUESTIONS).peekable();
        if questions.peek().is_none() {
            // Some servers refuse without repeating the question, or it is cut off:
            // id and ports say well enough which it was.
            if let Some(question) = self.waiting.take(&exchange, |_| true) {
                found.add_dns(answered(question, answers));
            }
            return;
        }
        while let Some(question) = questions.next() {
            self.scratch.clear();
            question.name.write_lower(&mut self.scratch);
            let (qname, qtype) = (&self.scratch, question.qtype);
            let asked = self.waiting.take(&exchange, |open| open.qtype == qtype && open.qname == *qname);
            let asked = asked.unwrap_or_else(|| Question {
                qname: qname.clone(),
                qtype,
                ..Question::between(kind, seen, seen.dst, seen.src)
            });
            // The last one, most often the only one, has them for itself.
            let answers = if questions.peek().is_some() { answers.clone() } else { std::mem::take(&mut answers) };
            found.add_dns(answered(asked, answers));
        }
    }

    /// Multicast questions: anybody may answer, with nothing that says to what
    /// (RFC 6762, section 6), so none waits for it.
    fn note_unanswerable(seen: &Seen, message: &Message<'_>, found: &mut Found) {
        for question in message.questions().take(MAX_QUESTIONS) {
            let question = Question {
                was_seen: true,
                qtype: question.qtype,
                qname: question.name.lower(),
                ..Question::between(DnsKind::Mdns, seen, seen.src, seen.dst)
            };
            found.add_dns(question.into());
        }
    }
}

impl Question {
    /// One of which nothing but the ends is known.
    fn between(kind: DnsKind, seen: &Seen, client: Endpoint, server: Endpoint) -> Self {
        Self {
            kind,
            at: seen.at,
            client,
            server,
            ip_version: seen.ip_version,
            protocol: seen.protocol,
            vlan: seen.vlan,
            was_seen: false,
            qtype: 0,
            qname: String::new(),
        }
    }
}

impl From<Question> for v1::DnsTransaction {
    fn from(question: Question) -> Self {
        Self {
            kind: question.kind.into(),
            asked_at_ns: question.at.as_nanos(),
            client_ip: question.client.ip.to_vec(),
            server_ip: question.server.ip.to_vec(),
            client_port: question.client.port.into(),
            server_port: question.server.port.into(),
            ip_version: question.ip_version.into(),
            protocol: question.protocol.into(),
            client_mac: question.client.mac.as_u64(),
            vlan_id: question.vlan.as_u16().into(),
            question_seen: question.was_seen,
            qname: question.qname,
            qtype: question.qtype.into(),
            ..Self::default()
        }
    }
}

impl Exchange {
    fn between(kind: DnsKind, id: u16, seen: &Seen, client: &Endpoint, server: &Endpoint) -> Self {
        Self {
            client_ip: client.ip,
            server_ip: if kind == DnsKind::Llmnr { [0; 16] } else { server.ip },
            client_port: client.port,
            server_port: server.port,
            id,
            protocol: seen.protocol,
        }
    }
}

/// In three words: the derived one feeds three times as many.
impl Hash for Exchange {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.client_ip));
        state.write_u128(u128::from_ne_bytes(self.server_ip));
        state.write_u64(u64::from(self.client_port) | u64::from(self.server_port) << 16 | u64::from(self.id) << 32);
    }
}

/// Twelve bits, if there is an OPT record (RFC 6891, section 6.1.3).
fn extended_rcode(message: &Message<'_>) -> u32 {
    let is_opt =
        |record: &Record<'_>| record.section == Section::Additional && RecordType(record.rtype) == RecordType::OPT;
    let high = message.records().find(is_opt).map_or(0, |opt| opt.ttl_secs >> 24);
    high << 4 | u32::from(message.rcode())
}

/// RFC 1035, section 4.2.1 has resolvers ask again after 2 to 5 s; stub resolvers
/// give up a try after 5 s (resolv.conf's timeout), recursive servers answer
/// SERVFAIL after up to 10 s (BIND's `resolver-query-timeout`).
const ANSWER_WAIT_NS: u64 = 10_000_000_000;

/// 1,600 questions a second for as long as they may wait, at some 300 octets
/// each (1,300 with the longest names).
const MAX_OPEN: usize = 1 << 14;

/// A resolver repeats a question some times with the same id and port; the list
/// of what is open there is searched from its begin.
const MAX_OPEN_AT_ONCE: usize = 16;

/// Unicast messages have one, multicast ones up to some hundred in a frame;
/// without a limit a made-up datagram of 64 KiB has 13,000.
const MAX_QUESTIONS: usize = 512;
