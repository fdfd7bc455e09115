//! Names in QUIC Initial packets: the client's TLS hello in its CRYPTO frames
//! (RFC 9001; version 2: RFC 9369).
//!
//! Only what a client sends is read. What opens with the keys that a client's
//! first packet would have is QUIC, and nothing else is: no name is invented.

mod keys;
mod packet;
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
    tls,
};
use keys::ClientKeys;
use packet::Initial;

/// The connections whose hello is being put together, or was lately.
#[derive(Debug)]
pub(super) struct Initials {
    /// By the direction of the client.
    clients: Recent<Direction, Client>,
    /// For packets in the clear.
    scratch: Vec<u8>,
}

impl Default for Initials {
    fn default() -> Self {
        Self { clients: Recent::new(LIMITS), scratch: Vec::new() }
    }
}

impl Initials {
    /// Reads a UDP payload, which may be anything.
    pub(super) fn observe(&mut self, seen: &Seen, payload: &[u8], found: &mut Found) -> Option<Learned> {
        if !packet::is_long(payload) {
            return None;
        }
        self.expire(seen.at);
        let mut learned = None;
        let key = Direction::from(seen);
        for initial in packet::initials(payload) {
            let client = match self.clients.take(&key) {
                Some(mut client) => {
                    client.read(&initial, payload.len(), &mut self.scratch);
                    client
                }
                // Servers answer with the same versions.
                None if self.clients.peek(&key.reversed()).is_some() => return None,
                None => match Client::begun_with(&initial, payload.len(), &mut self.scratch) {
                    Some(client) => client,
                    None => continue,
                },
            };
            let client = self.clients.put(key, client);
            while let Some(news) = client.next_hello(seen, found) {
                learned = news.or(learned);
            }
        }
        learned
    }

    /// How many were forgotten before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.clients.pushed_out()
    }

    /// Forgets what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.clients.expire(now);
    }
}

/// What a client sent so far.
#[derive(Debug)]
struct Client {
    version: u32,
    /// What the keys were made from.
    destination_id: Vec<u8>,
    keys: ClientKeys,
    /// Its CRYPTO stream from `read` on.
    crypto: Gathered,
    /// How many octets of the CRYPTO stream are done with.
    read: usize,
    /// Of the hello before, which is sent again after a Retry.
    random: Option<[u8; 32]>,
    /// How many packets are looked at yet.
    packets_left: u8,
}

impl Heavy for Client {
    fn memory(&self) -> usize {
        KEYS_MEMORY + self.crypto.memory()
    }
}

impl Client {
    /// A connection whose first packet this is.
    fn begun_with(initial: &Initial<'_>, datagram_bytes: usize, scratch: &mut Vec<u8>) -> Option<Self> {
        // RFC 9000, sections 7.2 and 14.1. Most packets of servers end here.
        if initial.destination_id.len() < MIN_FIRST_ID || datagram_bytes < MIN_FIRST_DATAGRAM {
            return None;
        }
        let keys = ClientKeys::of_first(initial)?;
        let payload = keys.open(initial, scratch)?;
        let mut client = Self {
            version: initial.version,
            destination_id: initial.destination_id.to_vec(),
            keys,
            crypto: Gathered::new(MAX_CRYPTO),
            read: 0,
            random: None,
            packets_left: MAX_PACKETS,
        };
        client.gather(payload);
        Some(client)
    }

    fn read(&mut self, initial: &Initial<'_>, datagram_bytes: usize, scratch: &mut Vec<u8>) {
        if self.packets_left == 0 {
            return;
        }
        self.packets_left -= 1;
        if initial.version == self.version
            && let Some(payload) = self.keys.open(initial, scratch)
        {
            self.gather(payload);
            return;
        }
        // After a Retry, a version negotiation, or on another connection with the
        // same ports, the keys come from another identifier.
        if (initial.version, initial.destination_id) != (self.version, self.destination_id.as_slice())
            && let Some(again) = Self::begun_with(initial, datagram_bytes, scratch)
        {
            *self = Self { random: self.random, packets_left: self.packets_left, ..again };
        }
    }

    fn gather(&mut self, payload: &[u8]) {
        for (offset, octets) in packet::crypto_frames(payload) {
            let Ok(offset) = usize::try_from(offset) else {
                continue;
            };
            match offset.checked_sub(self.read) {
                Some(ahead) => self.crypto.insert(ahead, octets),
                // What was read may be sent again, with more behind it.
                None => self.crypto.insert(0, octets.get(self.read - offset..).unwrap_or_default()),
            }
        }
    }

    /// Reads a hello that is complete, if there is one; the inner `None`: nothing
    /// new is in it.
    fn next_hello(&mut self, seen: &Seen, found: &mut Found) -> Option<Option<Learned>> {
        let mut octets = Octets(self.crypto.prefix());
        let message_type = octets.u8()?;
        let length = octets.u24()?;
        if message_type != CLIENT_HELLO || length > MAX_CRYPTO {
            // It is none, and what follows cannot be either.
            self.packets_left = 0;
            return None;
        }
        let hello = tls::read_client_hello(octets.take(length)?);
        let is_again = self.read == 0 && hello.is_some_and(|hello| self.random == Some(hello.random));
        let news = hello.filter(|_| !is_again).map(|hello| {
            let row = tls::row(seen, TlsTransport::Quic, &hello, &mut found.fingerprints);
            found.add_tls_hello(row);
            tls::learned(TlsTransport::Quic, hello.server_name())
        });
        self.random = hello.map(|hello| hello.random).or(self.random);
        self.crypto.drop_front(HEADER_LEN + length);
        self.read += HEADER_LEN + length;
        Some(news)
    }
}

/// RFC 8446, section 4.
const CLIENT_HELLO: u8 = 1;
const HEADER_LEN: usize = 4;
/// RFC 9000, section 7.2: the identifier a client makes up has at least so many octets.
const MIN_FIRST_ID: usize = 8;
/// RFC 9000, section 14.1: servers discard what is shorter.
const MIN_FIRST_DATAGRAM: usize = 1200;
/// As for TCP: hellos have up to some 2 KiB.
const MAX_CRYPTO: usize = 16 << 10;
/// A hello takes two or three packets, sent two or three times if packets get
/// lost, and as many after a Retry or a `HelloRetryRequest`.
const MAX_PACKETS: u8 = 32;
/// Of [`ClientKeys`] on the heap, rounded up.
const KEYS_MEMORY: usize = 2 << 10;
/// A connection's hello is there within a second or never; a collector sees some
/// hundred new ones a second at most. With its keys and an ordinary hello a
/// client takes 5 KiB.
const LIMITS: Limits = Limits { entries: 1 << 11, memory: 8 << 20, idle: Duration::from_secs(30) };
