//! Names in DTLS handshakes: RFC 6347, sections 4.1 and 4.2; those of DTLS 1.3
//! begin alike (RFC 9147, section 5.2).

#[cfg(test)]
mod tests;

use std::time::Duration;

use iotq_proto::{Timestamp, TlsTransport};

use super::{
    Learned,
    found::Found,
    octets::Octets,
    recent::{Heavy, Limits, Recent},
    seen::{Direction, Seen},
    stream::Gathered,
    tls::{self, Form},
};

/// The ends whose hello is being put together, or was read lately.
#[derive(Debug)]
pub(super) struct Handshakes {
    senders: Recent<Direction, Sender>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { senders: Recent::new(LIMITS) }
    }
}

impl Handshakes {
    /// Reads a UDP payload, which may be anything.
    pub(super) fn observe(&mut self, seen: &Seen, payload: &[u8], found: &mut Found) -> Option<Learned> {
        if !payload.starts_with(&HANDSHAKE_RECORD) {
            return None;
        }
        self.expire(seen.at);
        let key = Direction::from(seen);
        let mut learned = None;
        for fragment in fragments(payload) {
            let mut sender = self.senders.take(&key).unwrap_or_default();
            let news = sender.read(&fragment, seen, found);
            if !sender.is_new() {
                self.senders.put(key, sender);
            }
            learned = news.or(learned);
        }
        learned
    }

    /// How many were forgotten before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.senders.pushed_out()
    }

    /// Forgets what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.senders.expire(now);
    }
}

/// A piece of a handshake message (RFC 6347, section 4.2.2).
#[derive(Clone, Copy, Debug)]
struct Fragment<'a> {
    message: Message,
    length: usize,
    offset: usize,
    octets: &'a [u8],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Message {
    message_type: u8,
    seq: u16,
}

/// The pieces of messages that records in the clear carry.
fn fragments(datagram: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    let mut records = Octets(datagram);
    let mut inside = Octets(&[]);
    std::iter::from_fn(move || {
        while inside.is_empty() {
            inside = next_record(&mut records)?;
        }
        let message_type = inside.u8()?;
        let length = inside.u24()?;
        let message = Message { message_type, seq: inside.be16()? };
        let offset = inside.u24()?;
        let fragment_length = inside.u24()?;
        let octets = inside.take(fragment_length)?;
        Some(Fragment { message, length, offset, octets })
    })
    .take(MAX_FRAGMENTS)
}

/// RFC 6347, section 4.1.
fn next_record<'a>(records: &mut Octets<'a>) -> Option<Octets<'a>> {
    records.take(HANDSHAKE_RECORD.len()).filter(|begin| *begin == HANDSHAKE_RECORD)?;
    let [_version, e0, e1, ..] = records.array::<9>()?;
    let record = records.vec16()?;
    // Later epochs are encrypted.
    ([e0, e1] == [0, 0]).then_some(Octets(record))
}

/// What one end sent so far.
#[derive(Debug, Default)]
struct Sender {
    /// The hello read last, and what was random in it.
    read: Option<(Message, [u8; 32])>,
    gathering: Option<Gathering>,
}

/// A hello of which not everything is there yet.
#[derive(Debug)]
struct Gathering {
    message: Message,
    length: usize,
    body: Gathered,
}

impl Heavy for Sender {
    fn memory(&self) -> usize {
        self.gathering.as_ref().map_or(0, |gathering| gathering.body.memory())
    }
}

impl Sender {
    fn is_new(&self) -> bool {
        self.read.is_none() && self.gathering.is_none()
    }

    fn read(&mut self, fragment: &Fragment<'_>, seen: &Seen, found: &mut Found) -> Option<Learned> {
        let Fragment { message, length, offset, octets } = *fragment;
        if !matches!(message.message_type, CLIENT_HELLO | SERVER_HELLO) || length > MAX_HELLO {
            return None;
        }
        if (offset, length) == (0, octets.len()) {
            return self.read_body(message, octets, seen, found);
        }
        let same = self.gathering.take().filter(|before| (before.message, before.length) == (message, length));
        let mut gathering = same.unwrap_or_else(|| Gathering { message, length, body: Gathered::new(length) });
        gathering.body.insert(offset, octets);
        if gathering.body.is_full() {
            return self.read_body(message, gathering.body.prefix(), seen, found);
        }
        self.gathering = Some(gathering);
        None
    }

    fn read_body(&mut self, message: Message, body: &[u8], seen: &Seen, found: &mut Found) -> Option<Learned> {
        if message.message_type == SERVER_HELLO {
            return tls::read_server_hello_of(Form::Dtls, body).map(|hello| tls::chosen(Form::Dtls, &hello));
        }
        let hello = tls::read_client_hello_of(Form::Dtls, body)?;
        // One with a cookie has the same random, but a number of its own.
        if self.read.is_some_and(|(read, random)| random == hello.random && message.seq <= read.seq) {
            return None;
        }
        self.read = Some((message, hello.random));
        let row = tls::row(seen, TlsTransport::Udp, &hello, &mut found.fingerprints);
        found.add_tls_hello(row);
        Some(tls::learned(TlsTransport::Udp, hello.server_name()))
    }
}

/// Handshake records of DTLS 1.0 and 1.2, whose versions differ in the next octet;
/// 1.3 says it were 1.2.
const HANDSHAKE_RECORD: [u8; 2] = [22, 0xfe];
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// As for TCP.
const MAX_HELLO: usize = 1 << 14;
/// A flight has some dozen messages; a hello is among the first.
const MAX_FRAGMENTS: usize = 32;
/// As for QUIC; without keys an end takes little.
const LIMITS: Limits = Limits { entries: 1 << 11, memory: 4 << 20, idle: Duration::from_secs(30) };
