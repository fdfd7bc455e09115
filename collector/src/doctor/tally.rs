//! Counting frames: whose they are, in which direction, how often.
//!
//! Has no clock and does no I/O; frames may be anything. Everything kept has a limit.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque, hash_map::Entry};

use ahash::RandomState;
use iotq_proto::{MacAddr, Timestamp};
use serde::Serialize;

use crate::{
    capture::raw::RawFrame,
    decode::{Frame, LinkType, decode},
    packet::{Decoded, Packet},
};

/// What was seen.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Tallied {
    /// All frames.
    pub frames: u64,
    /// Whether frames name both ends of a link: without, nobody's can be told from others'.
    pub has_macs: bool,
    /// From or to this interface itself.
    pub own: u64,
    /// Broadcast and multicast.
    pub group: u64,
    /// From one to another, neither of which is this interface.
    pub foreign: u64,
    /// Who sent those; no more than are kept.
    pub foreign_senders: u64,
    /// Conversations between others: five-tuples.
    pub conversations: Conversations,
    /// IP packets without a tag.
    pub untagged: u64,
    /// IP packets by VLAN.
    pub tagged: BTreeMap<u16, u64>,
    /// Frames that came once more within a moment, octet for octet.
    pub doubled: u64,
    /// Packets with payload that came once more, behind other link headers.
    pub copied: u64,
    /// Frames from elsewhere that are longer than the interface takes from the wire.
    pub above_mtu: u64,
    /// The longest frame.
    pub longest_bytes: u32,
}

/// Conversations by which directions were seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Conversations {
    /// Both.
    pub both: u64,
    /// One.
    pub one_way: u64,
    /// Of those: TCP whose other end must have answered, as this one acknowledges it.
    pub one_way_answered: u64,
    /// One direction with tags and the other without.
    pub half_tagged: u64,
    /// Not followed, for want of room.
    pub left_out: u64,
}

/// Counts frames of one interface.
#[derive(Debug)]
pub struct Tally {
    link_type: LinkType,
    own_mac: Option<MacAddr>,
    longest_allowed: Option<u32>,
    tallied: Tallied,
    senders: HashSet<MacAddr>,
    conversations: HashMap<FiveTuple, [Direction; 2], RandomState>,
    frames: Lately,
    packets: Lately,
    hasher: RandomState,
}

type FiveTuple = ([u8; 16], [u8; 16], u16, u16, u8);

#[derive(Clone, Copy, Debug, Default)]
struct Direction {
    packets: u32,
    /// TCP segments that acknowledge something, but for those that open or reset.
    acknowledging: u32,
    is_tagged: bool,
    is_untagged: bool,
}

impl Tally {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(link_type: LinkType, own_mac: Option<MacAddr>, mtu: Option<u32>) -> Self {
        let has_macs = link_type == LinkType::ETHERNET;
        Self {
            link_type,
            own_mac,
            longest_allowed: mtu.filter(|_| has_macs).map(|mtu| mtu.saturating_add(LINK_BYTES)),
            tallied: Tallied { has_macs, ..Tallied::default() },
            senders: HashSet::new(),
            conversations: HashMap::default(),
            frames: Lately::default(),
            packets: Lately::default(),
            hasher: RandomState::new(),
        }
    }

    /// Counts a frame.
    pub fn observe(&mut self, raw: RawFrame<'_>) {
        let at_ns = raw.captured_at_ns;
        self.tallied.frames += 1;
        self.tallied.longest_bytes = self.tallied.longest_bytes.max(raw.wire_bytes);
        let whose = self.whose(raw.octets);
        match whose {
            Whose::Own { .. } => self.tallied.own += 1,
            Whose::Group => self.tallied.group += 1,
            Whose::Foreign(sender) => {
                self.tallied.foreign += 1;
                if self.senders.len() < MAX_SENDERS {
                    self.senders.insert(sender);
                }
            }
            Whose::Unknown => {}
        }
        // What this host sends is cut by its interface, after it was captured.
        if self.longest_allowed.is_some_and(|most| raw.wire_bytes > most) && whose != (Whose::Own { is_sent: true }) {
            self.tallied.above_mtu += 1;
        }
        if self.frames.is_again(self.hasher.hash_one((raw.wire_bytes, raw.octets)), at_ns) {
            self.tallied.doubled += 1;
            // Once more, what it says would count twice.
            return;
        }
        let captured_at = Timestamp::nearest(at_ns.into()).0;
        let frame = Frame { captured_at, wire_bytes: raw.wire_bytes, bytes: raw.octets };
        if let Decoded::Packet(packet, payload) = decode(self.link_type, frame, &mut Vec::new()) {
            self.observe_packet(&packet, payload, whose, at_ns);
        }
    }

    /// What was seen.
    #[must_use]
    pub fn end(mut self) -> Tallied {
        self.tallied.foreign_senders = self.senders.len() as u64;
        let sums = &mut self.tallied.conversations;
        for [a, b] in self.conversations.values() {
            if a.packets > 0 && b.packets > 0 {
                sums.both += 1;
                let is_half = |one: &Direction, other: &Direction| {
                    one.is_tagged && !one.is_untagged && other.is_untagged && !other.is_tagged
                };
                sums.half_tagged += u64::from(is_half(a, b) || is_half(b, a));
            } else {
                sums.one_way += 1;
                sums.one_way_answered += u64::from(a.acknowledging.max(b.acknowledging) >= ACKNOWLEDGING);
            }
        }
        self.tallied
    }

    fn whose(&self, octets: &[u8]) -> Whose {
        if !self.tallied.has_macs {
            return Whose::Unknown;
        }
        let Some((dst, rest)) = octets.split_first_chunk() else { return Whose::Unknown };
        let Some(src) = rest.first_chunk() else { return Whose::Unknown };
        let (dst, src) = (MacAddr::from_octets(*dst), MacAddr::from_octets(*src));
        if self.own_mac == Some(src) {
            Whose::Own { is_sent: true }
        } else if dst.is_group() {
            Whose::Group
        } else if self.own_mac == Some(dst) {
            Whose::Own { is_sent: false }
        } else {
            Whose::Foreign(src)
        }
    }

    fn observe_packet(&mut self, packet: &Packet, payload: &[u8], whose: Whose, at_ns: u64) {
        match packet.key.vlan.id() {
            Some(id) => *self.tallied.tagged.entry(id).or_default() += 1,
            None => self.tallied.untagged += 1,
        }
        if !matches!(whose, Whose::Foreign(_)) {
            return;
        }
        let key = &packet.key;
        let five_tuple = (key.a_ip, key.b_ip, key.a_port, key.b_port, key.protocol);
        // Without payload a repetition is nothing strange.
        if !payload.is_empty() {
            let said = (five_tuple, packet.from_a, packet.tcp_seq, packet.tcp_ack, packet.tcp_flags, payload);
            self.tallied.copied += u64::from(self.packets.is_again(self.hasher.hash_one(said), at_ns));
        }
        let is_full = self.conversations.len() >= MAX_CONVERSATIONS;
        let directions = match self.conversations.entry(five_tuple) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => {
                self.tallied.conversations.left_out += 1;
                return;
            }
            Entry::Vacant(slot) => slot.insert(Default::default()),
        };
        let [a, b] = directions;
        let direction = if packet.from_a { a } else { b };
        direction.packets = direction.packets.saturating_add(1);
        let flags = packet.tcp_flags;
        if flags != Packet::NO_TCP_FLAGS && flags & ACK != 0 && flags & (SYN | RST) == 0 {
            direction.acknowledging = direction.acknowledging.saturating_add(1);
        }
        *(if key.vlan.id().is_some() { &mut direction.is_tagged } else { &mut direction.is_untagged }) = true;
    }
}

/// Between whom a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    Own {
        is_sent: bool,
    },
    Group,
    Foreign(MacAddr),
    /// No MACs, or cut before them.
    Unknown,
}

/// What was seen within the last moment.
#[derive(Debug, Default)]
struct Lately {
    seen: HashSet<u64, RandomState>,
    order: VecDeque<(u64, u64)>,
}

impl Lately {
    /// Whether the same was seen a moment ago.
    fn is_again(&mut self, hash: u64, at_ns: u64) -> bool {
        while let Some((before_ns, before)) = self.order.front().copied() {
            // In both directions: where time goes back, another moment begins.
            if at_ns.abs_diff(before_ns) <= MOMENT_NS && self.order.len() < MAX_LATELY {
                break;
            }
            self.order.pop_front();
            self.seen.remove(&before);
        }
        if !self.seen.insert(hash) {
            return true;
        }
        self.order.push_back((at_ns, hash));
        false
    }
}

/// Copies that a switch makes are some microseconds apart, a queue between them some
/// milliseconds; who repeats himself on purpose waits longer (TCP 200 ms, RFC 6298 even one second).
const MOMENT_NS: u64 = 10_000_000;
/// Gigabit Ethernet full of smallest frames for that long is 15,000.
const MAX_LATELY: usize = 1 << 16;
/// Some 70 octets each.
const MAX_CONVERSATIONS: usize = 1 << 16;
const MAX_SENDERS: usize = 1 << 16;
/// One may be left over from before.
const ACKNOWLEDGING: u32 = 2;
/// An Ethernet header with two tags.
const LINK_BYTES: u32 = 14 + 2 * 4;
// RFC 9293, section 3.1.
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

#[cfg(test)]
mod tests;
