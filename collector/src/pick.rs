//! Which payloads are worth a closer look, decided in the capture thread.
//!
//! Copies as few octets as possible, and still all that names somebody: whole
//! datagrams of protocols that name things, and of TCP the begin of each
//! direction for as long as it may be, or is, a hello, a request or the like.
//! Nothing is kept but where those begin, and no payload is read further than
//! to tell what it is.
//!
//! Directions are looked at each on its own, so that it does not matter whether
//! one interface shows both, or on which of them a packet comes first.
//!
//! What is missed: a stream whose first segment was not captured and whose
//! handshake was not either; one that a later connection displaced from the
//! table while its hello was under way; what lies further than
//! `MAX_STREAM_BYTES` from where a stream began; QUIC versions other than 1, 2
//! and the drafts.

mod content;

use ahash::RandomState;

use self::content::Content;
use crate::{
    chunk::Aims,
    packet::{FlowKey, Packet},
};

/// Decides for one interface or file.
#[derive(Debug)]
pub struct Pick {
    aims: Aims,
    hasher: RandomState,
    /// Directly mapped by hash; empty until the first TCP packet.
    streams: Vec<Stream>,
}

/// One direction of a TCP connection.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Of the hash what is not its place in the table; 0: none.
    tag: u32,
    /// Sequence number of its first octet.
    begin: u32,
    /// How many octets from there are of interest.
    wanted: u32,
    /// What it is was not told by its first segment yet.
    is_open: bool,
}

impl Pick {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(aims: Aims) -> Self {
        Self { aims, hasher: RandomState::new(), streams: Vec::new() }
    }

    /// What is to be handed on of the payload, if anything. Of a SYN it is mostly
    /// empty: who puts segments together has to know where a stream begins.
    #[inline]
    #[must_use]
    pub fn pick<'a>(&mut self, packet: &Packet, payload: &'a [u8]) -> Option<&'a [u8]> {
        let is_picked = match packet.key.protocol {
            TCP if self.aims.names => self.is_of_interest(packet, payload),
            UDP if self.aims.names => is_datagram_of_interest(&packet.key, payload),
            ICMP => self.aims.connections && matches!(payload.first(), Some(3..=5 | 11 | 12)),
            // RFC 4443, section 2.1: the high bit is clear in errors.
            ICMPV6 => self.aims.connections && matches!(payload.first(), Some(1..=4)),
            _ => false,
        };
        is_picked.then(|| payload.get(..MAX_STREAM_BYTES as usize).unwrap_or(payload))
    }

    #[inline]
    fn is_of_interest(&mut self, packet: &Packet, payload: &[u8]) -> bool {
        if packet.tcp_flags == Packet::NO_TCP_FLAGS {
            return false;
        }
        let is_begin = packet.tcp_flags & SYN != 0;
        if !is_begin && payload.is_empty() {
            return false;
        }
        if packet.key.a_port == DNS || packet.key.b_port == DNS {
            return true;
        }
        let hash = self.hash_of(packet);
        if self.streams.is_empty() {
            self.streams = vec![Stream::default(); STREAMS];
        }
        let Some(stream) = self.streams.get_mut(usize::try_from(hash).unwrap_or(usize::MAX) % STREAMS) else {
            return false;
        };
        let tag = u32::try_from(hash >> 32).unwrap_or(0) | 1;
        stream.sees(tag, is_begin, packet.tcp_seq, payload)
    }

    /// Of the five-tuple with its direction. Neither MACs nor VLAN: a route may change.
    #[inline]
    fn hash_of(&self, packet: &Packet) -> u64 {
        let key = &packet.key;
        let ports = u64::from(key.a_port) | u64::from(key.b_port) << 16 | u64::from(packet.from_a) << 32;
        self.hasher.hash_one((u128::from_ne_bytes(key.a_ip), u128::from_ne_bytes(key.b_ip), ports))
    }
}

impl Default for Pick {
    fn default() -> Self {
        Self::new(Aims::default())
    }
}

impl Stream {
    /// Notes a segment of the stream with this tag. Whether it is of interest.
    #[inline]
    fn sees(&mut self, tag: u32, is_begin: bool, seq: u32, payload: &[u8]) -> bool {
        // RFC 9293, section 3.4: a SYN takes one number.
        let seq = seq.wrapping_add(u32::from(is_begin));
        if is_begin && (self.tag != tag || self.begin != seq) {
            *self = Self { tag, begin: seq, wanted: MAX_STREAM_BYTES, is_open: true };
        }
        if is_begin && payload.is_empty() {
            return true;
        }
        if self.tag != tag {
            return self.joins(tag, seq, payload);
        }
        let offset = seq.wrapping_sub(self.begin);
        if offset == 0 && self.is_open {
            match content::of(payload) {
                Content::Unsure => {}
                Content::Wanted(wanted) => (self.wanted, self.is_open) = (wanted.min(MAX_STREAM_BYTES), false),
                Content::Nothing => (self.wanted, self.is_open) = (0, false),
            }
        }
        // Further hellos: after a HelloRetryRequest, after STARTTLS or CONNECT.
        offset < self.wanted || content::is_hello(payload) && self.joins(tag, seq, payload)
    }

    /// A stream whose begin was not seen: its content alone decides.
    fn joins(&mut self, tag: u32, seq: u32, payload: &[u8]) -> bool {
        match content::of(payload) {
            Content::Wanted(wanted) => {
                *self = Self { tag, begin: seq, wanted: wanted.min(MAX_STREAM_BYTES), is_open: false };
                true
            }
            Content::Unsure | Content::Nothing => false,
        }
    }
}

#[inline]
fn is_datagram_of_interest(key: &FlowKey, payload: &[u8]) -> bool {
    key.has_ports && (names_things(key.a_port) || names_things(key.b_port) || content::is_handshake_datagram(payload))
}

#[inline]
fn names_things(port: u16) -> bool {
    matches!(port, DNS | 67 | 68 | 123 | 137 | 546 | 547 | 1900 | 5353 | 5355)
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SYN: u16 = 0x002;
const DNS: u16 = 53;

/// Of 16 octets each: 1 MiB for an interface. A stream is of interest for a
/// second or so after its begin; at a thousand connections a second one of sixty
/// is displaced before.
const STREAMS: usize = 1 << 16;

/// A `ClientHello` with post-quantum keys has 2 KB, with a resumption ticket of
/// the largest size not 16; and the most that is copied of one packet.
const MAX_STREAM_BYTES: u32 = 16 << 10;

#[cfg(test)]
mod tests;
