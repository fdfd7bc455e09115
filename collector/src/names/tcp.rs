//! Names on TCP connections: the first octets of each direction, put in order.
//!
//! Each direction is read for itself, so that a mirror that shows only one of
//! them still tells what it can. A direction is known from its SYN on, or from
//! the first segment that begins like something we read. What a direction says
//! first decides what it is; after that only hellos are looked for (they come
//! again after `HelloRetryRequest`, and late after STARTTLS or a proxy's CONNECT),
//! and on port 53 messages.

mod opening;
mod records;
#[cfg(test)]
mod tests;

use std::time::Duration;

use iotq_proto::Timestamp;

use super::{
    Learned,
    dns::Transactions,
    found::Found,
    recent::{Heavy, Limits, Recent},
    seen::{Direction, Seen},
    stream::Gathered,
};
use crate::packet::Packet;
use opening::{Ear, Place, Verdict};

/// The directions whose first octets are still being read, and those that were
/// read lately, so that what is sent again is not read again.
#[derive(Debug)]
pub(super) struct Streams {
    directions: Recent<Direction, Stream>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { directions: Recent::new(LIMITS) }
    }
}

impl Streams {
    /// Reads a segment; also those without payload, which open streams.
    pub(super) fn observe(
        &mut self,
        packet: &Packet,
        seen: &Seen,
        payload: &[u8],
        dns: &mut Transactions,
        found: &mut Found,
    ) -> Option<Learned> {
        let opens = packet.tcp_flags & SYN != 0;
        if packet.tcp_flags == Packet::NO_TCP_FLAGS || (payload.is_empty() && !opens) {
            return None;
        }
        self.expire(seen.at);
        // RFC 9293, section 3.4: the SYN has a number of its own.
        let seq = packet.tcp_seq.wrapping_add(u32::from(opens));
        let is_cut = usize::try_from(packet.payload_bytes).is_ok_and(|on_wire| payload.len() < on_wire);
        let mut ear = Ear::new(seen, is_cut, dns, found);
        self.directions.update(&Direction::from(seen), |known| {
            let stream = match known {
                known if opens => known.filter(|stream| stream.start == seq).or(Some(Stream::opened_at(seq))),
                known => known,
            };
            match stream {
                Some(stream) => stream.read(seq, payload, &mut ear),
                None => Stream::begun_with(seq, payload, Place::Unknown, &mut ear),
            }
        });
        ear.into_learned()
    }

    /// How many were forgotten before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.directions.pushed_out()
    }

    /// Forgets what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.directions.expire(now);
    }
}

/// One direction of a connection.
#[derive(Debug)]
struct Stream {
    /// Sequence number of its first octet, as far as known.
    start: u32,
    /// Sequence number of the first octet that is not yet read.
    next: u32,
    place: Place,
    /// In a box, since most have none.
    waiting: Option<Box<Waiting>>,
}

/// Octets from `next` on that are not yet enough.
#[derive(Debug)]
struct Waiting {
    gathered: Gathered,
    /// Looking again is of no use before there are so many.
    wanted: usize,
}

impl Heavy for Stream {
    fn memory(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.gathered.memory())
    }
}

impl Stream {
    fn opened_at(start: u32) -> Self {
        Self { start, next: start, place: Place::Opening, waiting: None }
    }

    /// A stream we know from this segment on, if that begins with something we read.
    fn begun_with(seq: u32, payload: &[u8], place: Place, ear: &mut Ear<'_>) -> Option<Self> {
        let mut stream = Self { place, ..Self::opened_at(seq) };
        let (used, verdict) = ear.hear(payload, place);
        stream.advance(used);
        match verdict {
            Verdict::Read => Some(stream),
            Verdict::More { wanted } if payload.len() >= MIN_BEGIN => {
                stream.wait(0, payload.get(used..).unwrap_or_default(), wanted);
                Some(stream)
            }
            Verdict::No | Verdict::More { .. } => None,
        }
    }

    /// A segment of a stream we know. `None`: there is nothing more to know of it.
    fn read(mut self, seq: u32, payload: &[u8], ear: &mut Ear<'_>) -> Option<Self> {
        let offset = seq.wrapping_sub(self.next).cast_signed();
        let (offset, payload) = match usize::try_from(offset) {
            Ok(ahead) => (ahead, payload),
            Err(_) if offset < -MAX_BEHIND => return Self::begun_with(seq, payload, Place::Unknown, ear),
            Err(_) => {
                let old = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
                (0, payload.get(old..).unwrap_or_default())
            }
        };
        if payload.is_empty() {
            return Some(self);
        }
        let follows = self.waiting.is_some() || offset == 0 || self.place == Place::Opening || ear.is_dns();
        if !follows || offset >= MAX_WAITING {
            return Self::begun_with(seq, payload, Place::Later, ear).or(Some(self));
        }
        let Some(mut waiting) = self.waiting.take() else {
            if offset > 0 {
                self.wait(offset, payload, 1);
                return Some(self);
            }
            return self.read_in_order(payload, ear);
        };
        waiting.gathered.insert(offset, payload);
        let there = waiting.gathered.prefix();
        if there.len() < waiting.wanted && !waiting.gathered.is_full() && !ear.is_cut() {
            self.waiting = Some(waiting);
            return Some(self);
        }
        let (used, verdict) = ear.hear(there, self.place);
        waiting.gathered.drop_front(used);
        self.advance(used);
        match verdict {
            Verdict::Read if waiting.gathered.is_empty() || !ear.is_dns() => Some(self),
            Verdict::Read => {
                waiting.wanted = 1;
                self.waiting = Some(waiting);
                Some(self)
            }
            Verdict::More { wanted } if !waiting.gathered.is_full() => {
                waiting.wanted = wanted;
                self.waiting = Some(waiting);
                Some(self)
            }
            Verdict::More { .. } | Verdict::No => None,
        }
    }

    fn read_in_order(mut self, payload: &[u8], ear: &mut Ear<'_>) -> Option<Self> {
        let is_opening = self.place == Place::Opening;
        let (used, verdict) = ear.hear(payload, self.place);
        self.advance(used);
        match verdict {
            Verdict::Read => Some(self),
            Verdict::More { wanted } => {
                self.wait(0, payload.get(used..).unwrap_or_default(), wanted);
                Some(self)
            }
            Verdict::No if is_opening => None,
            Verdict::No => Some(self),
        }
    }

    /// These octets were read.
    fn advance(&mut self, used: usize) {
        if used > 0 {
            self.next = self.next.wrapping_add(u32::try_from(used).unwrap_or(u32::MAX));
            self.place = Place::Later;
        }
    }

    fn wait(&mut self, offset: usize, piece: &[u8], wanted: usize) {
        let mut gathered = Gathered::new(MAX_WAITING);
        gathered.insert(offset, piece);
        self.waiting = Some(Box::new(Waiting { gathered, wanted }));
    }
}

/// RFC 9293, section 3.1, in [`Packet::tcp_flags`].
const SYN: u16 = 0x002;
/// The longest hello, and its records' headers if they are as short as 40 octets.
const MAX_WAITING: usize = records::MAX_HELLO + (2 << 10);
/// A segment amid a stream that is shorter begins like something by chance:
/// `ChangeCipherSpec`, and the first hello up to its version.
const MIN_BEGIN: usize = 17;
/// What lies so far before the octets that were read is not sent again: it is
/// another connection with the same ports. A window is seldom larger.
const MAX_BEHIND: i32 = 1 << 20;
/// A direction takes some 100 octets without what waits: 3 MB when both
/// generations' tables have their largest size. A collector sees some hundred
/// new ones a second at most; a flood pushes out what is older.
const LIMITS: Limits = Limits { entries: 1 << 14, memory: 4 << 20, idle: Duration::from_secs(30) };
