//! What the segments of a TCP connection say about its two ends.
//!
//! The states and their changes are those of Zeek's connection log, whose
//! `conn_state` and `history` users know and compare with. Differences: checksums
//! and windows are not looked at and content gaps not searched for (no letters
//! `c`, `w`, `g`), and a SYN that is answered after it was refused counts as
//! established.

use iotq_proto::ConnState;

use super::history::History;
use crate::packet::Packet;

/// What is known of both ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tcp {
    pub(super) orig: End,
    pub(super) resp: End,
}

/// One end, judged by the segments it sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    state: State,
    previous: State,
    /// Letters that are in the history once at most, or have been there.
    seen: u8,
    /// Of the SYN, or of the octet before the first one seen.
    start: u32,
    /// The first sequence number that was not used yet.
    next: u32,
    /// The highest one that the other end acknowledged.
    acknowledged: u32,
    /// Octets that were passed over, and may come late: none if both are equal.
    hole: (u32, u32),
    last_fin: u32,
    last_rst: u32,
    /// Segments that did not advance `next`, for the history.
    repeated: u32,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// Nothing seen.
    #[default]
    Inactive,
    SynSent,
    SynAckSent,
    /// Segments seen, but not how they began.
    Partial,
    Established,
    /// A FIN was sent.
    Closed,
    Reset,
}

/// Of a TCP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    flags: u16,
    seq: u32,
    ack: u32,
    payload_bytes: u32,
}

impl Segment {
    /// `None`: no TCP, or its header was cut.
    #[inline]
    pub(super) fn of(packet: &Packet) -> Option<Self> {
        (packet.tcp_flags != Packet::NO_TCP_FLAGS).then_some(Self {
            flags: packet.tcp_flags,
            seq: packet.tcp_seq,
            ack: packet.tcp_ack,
            payload_bytes: packet.payload_bytes,
        })
    }

    #[inline]
    pub(super) fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Asks for a connection.
    #[inline]
    pub(super) fn is_syn(self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    /// The first sequence number behind it. What a RST carries is no part of the stream.
    fn end(self) -> u32 {
        let payload_bytes = if self.has(RST) { 0 } else { self.payload_bytes };
        self.seq.wrapping_add(payload_bytes + u32::from(self.has(SYN)) + u32::from(self.has(FIN)))
    }
}

impl Tcp {
    /// Whether a segment belongs to this connection, and does not begin another
    /// one of the same five-tuple.
    pub(super) fn continues(&self, segment: Segment, is_from_orig: bool) -> bool {
        if !segment.has(SYN) {
            return true;
        }
        let is_closed = self.orig.is_closed() || self.resp.is_closed();
        if segment.has(ACK) {
            // Only a connection that begins with its answer can begin with another one.
            return self.orig.state != State::Inactive || (!is_closed && segment.seq == self.resp.start);
        }
        let is_same = if is_from_orig { segment.seq == self.orig.start } else { segment.seq == self.resp.start };
        if is_closed {
            // Windows asks again, with the same number, after it was refused.
            return is_from_orig && is_same && !self.is_established();
        }
        // Two ends may open a connection at once (RFC 9293, section 3.5).
        let is_simultaneous = !is_from_orig && self.orig.state == State::SynSent && self.resp.state == State::Inactive;
        is_same && (is_from_orig || !self.orig.has_sent_syn()) || is_simultaneous
    }

    /// Whether this SYN shows that the ends were taken for each other.
    pub(super) fn is_turned_round(&self, segment: Segment, is_from_orig: bool) -> bool {
        segment.is_syn() && !is_from_orig && !self.orig.has_sent_syn() && segment.seq == self.resp.start
    }

    /// Turns the ends round.
    pub(super) fn turn_round(&mut self) {
        std::mem::swap(&mut self.orig, &mut self.resp);
    }

    /// Takes a segment into account. Whether it has octets that were sent before.
    #[inline]
    pub(super) fn observe(&mut self, segment: Segment, is_from_orig: bool, history: &mut History) -> bool {
        let (end, peer) =
            if is_from_orig { (&mut self.orig, &mut self.resp) } else { (&mut self.resp, &mut self.orig) };
        end.begin(segment);
        end.note(segment, history, is_from_orig);
        if segment.has(ACK) {
            if peer.state == State::Inactive {
                let start = segment.ack.wrapping_sub(1);
                (peer.start, peer.acknowledged, peer.next) = (start, start, start);
                peer.hole = (start, start);
            } else if !segment.has(RST) && is_after(segment.ack, peer.acknowledged) {
                peer.acknowledged = segment.ack;
            }
        }
        let is_repeated = end.advance(segment, history, is_from_orig);
        if segment.has(SYN | FIN | RST) || matches!(end.state, State::Inactive) {
            end.change(peer, segment, is_from_orig);
        }
        is_repeated
    }

    /// Zeek's `conn_state`.
    pub(super) fn conn_state(&self, history: &History) -> ConnState {
        use State::{Closed, Established, Inactive, Partial, Reset, SynAckSent, SynSent};
        let is_inactive = |end: &End| matches!(end.state, Inactive | Partial);
        let (orig, resp) = (&self.orig, &self.resp);
        match (orig.state, resp.state) {
            (SynSent | SynAckSent, Reset) => ConnState::Rej,
            (Reset, Reset) if orig.payload_bytes() == 0 && resp.payload_bytes() == 0 => ConnState::Rej,
            (_, Reset) if is_inactive(orig) => ConnState::Rstrh,
            (_, Reset) => ConnState::Rstr,
            (Reset, _) if !is_inactive(resp) => ConnState::Rsto,
            (Reset, _) if history.is_syn_then_rst() => ConnState::Rstos0,
            (Closed, Closed) => ConnState::Sf,
            (Closed, _) if is_inactive(resp) => ConnState::Sh,
            (Closed, _) => ConnState::S2,
            (_, Closed) if is_inactive(orig) => ConnState::Shr,
            (_, Closed) => ConnState::S3,
            (SynSent, Inactive) => ConnState::S0,
            (Established, Established) => ConnState::S1,
            _ => ConnState::Oth,
        }
    }

    /// Both sent FIN.
    pub(super) fn is_finished(&self) -> bool {
        self.orig.state == State::Closed && self.resp.state == State::Closed
    }

    /// Either sent RST.
    pub(super) fn is_reset(&self) -> bool {
        self.orig.state == State::Reset || self.resp.state == State::Reset
    }

    /// Neither being set up nor being torn down.
    pub(super) fn is_established(&self) -> bool {
        let is_open = |end: &End| matches!(end.state, State::Established | State::Partial);
        is_open(&self.orig) || is_open(&self.resp)
    }

    /// One end has ended its direction.
    pub(super) fn is_half_closed(&self) -> bool {
        self.orig.state == State::Closed || self.resp.state == State::Closed
    }

    /// The answer to the SYN was seen.
    pub(super) fn is_answered(&self) -> bool {
        self.resp.state == State::Established
    }
}

impl End {
    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed | State::Reset)
    }

    fn has_sent_syn(&self) -> bool {
        self.seen & SEEN_SYN != 0
    }

    fn set(&mut self, state: State) {
        if self.state != state {
            (self.previous, self.state) = (self.state, state);
        }
    }

    /// Where the numbers begin.
    #[inline]
    fn begin(&mut self, segment: Segment) {
        let begins = match self.state {
            State::Inactive => true,
            State::SynSent | State::SynAckSent | State::Established | State::Partial => {
                segment.has(SYN) && segment.seq != self.start
            }
            // What came before it may have been forged.
            State::Reset => segment.has(SYN) && self.previous == State::Inactive,
            State::Closed => false,
        };
        if begins {
            let is_syn = segment.has(SYN);
            self.start = if is_syn { segment.seq } else { segment.seq.wrapping_sub(1) };
            self.acknowledged = self.start;
            self.next = if is_syn { self.start.wrapping_add(1) } else { segment.seq };
            self.hole = (self.next, self.next);
        }
    }

    /// Letters for what the segment is.
    #[inline]
    fn note(&mut self, segment: Segment, history: &mut History, is_orig: bool) {
        let mut once = |bit: u8, letter: u8| {
            let is_first = self.seen & bit == 0;
            if is_first {
                self.seen |= bit;
                history.add(letter, is_orig);
            }
            is_first
        };
        match segment.flags & (SYN | FIN | RST) {
            0 if segment.payload_bytes > 0 => _ = once(SEEN_DATA, b'D'),
            0 if segment.has(ACK) => _ = once(SEEN_ACK, b'A'),
            0 => {}
            SYN => _ = once(SEEN_SYN, if segment.has(ACK) { b'H' } else { b'S' }),
            FIN => {
                // The one number that a FIN takes is behind what it carries.
                let at = segment.seq.wrapping_add(segment.payload_bytes);
                if !once(SEEN_FIN, b'F') && at != self.last_fin {
                    history.add(b'F', is_orig);
                }
                self.last_fin = at;
            }
            RST => {
                if !once(SEEN_RST, b'R') && segment.seq != self.last_rst {
                    history.add(b'R', is_orig);
                }
                self.last_rst = segment.seq;
            }
            flags if flags & (FIN | RST) == FIN | RST => _ = once(SEEN_FIN_RST, b'I'),
            _ => _ = once(SEEN_SEVERAL, b'Q'),
        }
    }

    /// Moves on to behind the segment. Whether some of it was sent before.
    #[inline]
    fn advance(&mut self, segment: Segment, history: &mut History, is_orig: bool) -> bool {
        // Nearly all segments come in order.
        if segment.flags & (SYN | FIN | RST) == 0 && self.state != State::Reset && segment.seq == self.next {
            self.next = segment.seq.wrapping_add(segment.payload_bytes);
            return false;
        }
        self.advance_out_of_order(segment, history, is_orig)
    }

    fn advance_out_of_order(&mut self, segment: Segment, history: &mut History, is_orig: bool) -> bool {
        let (end, has_payload) = (segment.end(), segment.payload_bytes > 0);
        let is_ahead = is_after(end, self.next);
        let ahead = end.wrapping_sub(self.next);
        let begin = segment.seq.wrapping_add(u32::from(segment.has(SYN)));
        let is_only_syn_before = self.next == self.start.wrapping_add(1);
        if segment.has(SYN | RST) && (FAR..=0_u32.wrapping_sub(FAR)).contains(&ahead) {
            // Not to be trusted.
            return false;
        }
        if segment.has(FIN) && is_only_syn_before {
            // All in between was missed, be it more than half of all numbers.
            self.next = end;
            return false;
        }
        if self.state == State::Reset {
            return false;
        }
        if is_ahead {
            if is_after(begin, self.next) {
                self.hole = (self.next, begin);
            }
            let has_old = has_payload && is_after(self.next, begin);
            self.next = end;
            return has_old;
        }
        if !has_payload || segment.has(RST) {
            return false;
        }
        self.repeated = self.repeated.saturating_add(1);
        if is_power_of_ten(self.repeated) {
            history.add(b'T', is_orig);
        }
        // RFC 9293, section 3.8.4: a probe has one octet before the next, or none.
        let is_open = matches!(self.state, State::Established | State::Partial);
        let is_probe = is_open && segment.payload_bytes == 1 && end == self.next;
        !self.fill(begin, end) && !is_probe
    }

    /// Whether these octets were missing until now.
    fn fill(&mut self, begin: u32, end: u32) -> bool {
        let (from, until) = self.hole;
        let is_inside = from != until && !is_after(from, begin) && !is_after(end, until);
        if is_inside {
            // What is left before it is forgotten: it is rare that two segments are late.
            self.hole = if begin == from { (end, until) } else { (from, begin) };
        }
        is_inside
    }

    /// Octets sent, as far as numbers tell.
    fn payload_bytes(&self) -> u32 {
        let used = self.next.wrapping_sub(self.start);
        let acknowledged = self.acknowledged.wrapping_sub(self.start);
        let octets = if used < HALF && acknowledged < HALF { used.max(acknowledged) } else { used };
        octets.saturating_sub(1).saturating_sub(u32::from(self.seen & SEEN_FIN != 0))
    }

    /// What the flags make of this end, and of the other.
    fn change(&mut self, peer: &mut Self, segment: Segment, is_orig: bool) {
        match self.state {
            State::Inactive => self.change_first(peer, segment, is_orig),
            State::SynSent | State::SynAckSent => {
                if segment.has(FIN) {
                    self.set(State::Closed);
                }
                if segment.has(RST) {
                    self.set(State::Reset);
                }
            }
            State::Established | State::Partial => {
                let is_late_syn = self.state == State::Partial && peer.state == State::Inactive && segment.is_syn();
                if is_late_syn {
                    self.set(State::SynSent);
                }
                if segment.has(RST) {
                    self.set(State::Reset);
                } else if segment.has(FIN) {
                    self.set(State::Closed);
                    // A RST behind its FIN was an end in order, too.
                    if peer.state == State::Reset && peer.previous == State::Closed {
                        peer.set(State::Closed);
                    }
                }
            }
            State::Closed => {
                if segment.has(RST) && peer.state != State::Closed {
                    self.set(State::Reset);
                }
            }
            State::Reset => {
                // It was refused before, or somebody said so in its name.
                let is_refusal = self.previous == State::Inactive && peer.state == State::SynSent;
                if is_refusal && segment.flags & (SYN | ACK | RST) == SYN | ACK {
                    peer.set(State::Established);
                    self.set(State::Established);
                }
            }
        }
    }

    /// The same for the first segment of this end.
    fn change_first(&mut self, peer: &mut Self, segment: Segment, is_orig: bool) {
        if segment.has(SYN) {
            let state = match (is_orig, segment.has(ACK)) {
                (true, true) => State::SynAckSent,
                // The answer was captured first.
                (true, false) if peer.state == State::Established => State::Established,
                (true, false) => State::SynSent,
                (false, _) => State::Established,
            };
            if !is_orig && peer.state == State::SynSent {
                peer.set(State::Established);
            }
            self.set(state);
        }
        if segment.has(FIN) {
            self.set(State::Closed);
        }
        if segment.has(RST) {
            self.set(State::Reset);
        }
        if self.state != State::Inactive {
            return;
        }
        if !is_orig && segment.payload_bytes == 0 && peer.state == State::SynSent {
            // An ACK before the SYN-ACK: it will come.
        } else if segment.has(ACK) && peer.state == State::Established {
            self.set(State::Established);
        } else {
            self.set(State::Partial);
        }
    }
}

/// Whether `one` comes after `other` (RFC 9293, section 3.4).
#[inline]
fn is_after(one: u32, other: u32) -> bool {
    (1..HALF).contains(&one.wrapping_sub(other))
}

fn is_power_of_ten(count: u32) -> bool {
    matches!(count, 1 | 10 | 100 | 1000 | 10_000 | 100_000 | 1_000_000)
}

pub(super) const FIN: u16 = 0x001;
pub(super) const SYN: u16 = 0x002;
pub(super) const RST: u16 = 0x004;
pub(super) const ACK: u16 = 0x010;

const SEEN_SYN: u8 = 1;
const SEEN_FIN: u8 = 1 << 1;
const SEEN_RST: u8 = 1 << 2;
const SEEN_DATA: u8 = 1 << 3;
const SEEN_ACK: u8 = 1 << 4;
const SEEN_FIN_RST: u8 = 1 << 5;
const SEEN_SEVERAL: u8 = 1 << 6;

/// Half of all sequence numbers lie after one, half before.
const HALF: u32 = 1 << 31;
/// A SYN or RST further off than this has nothing to do with the stream (Zeek's
/// figure).
const FAR: u32 = 1 << 20;
