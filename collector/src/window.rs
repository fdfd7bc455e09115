//! Puts packets together into batches.
//!
//! Has no clock and does no I/O: time is what packets and chunks say. What went
//! in comes out, each frame exactly once.

mod kept;
mod slices;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use ahash::RandomState;
use iotq_proto::{LinkProtocol, LossStage, MAX_BATCH_CONNECTIONS, MacAddr, Timestamp, UndecodedReason, v1};

use self::{kept::Kept, slices::Slices};
use crate::{
    chunk::{Aims, Chunk, Covered, FramesAndBytes, Input},
    flow::{Flows, Place},
    names::{LeftOut, Names},
    packet::Packet,
};

/// The batch being built.
///
/// Batches leave it without collector, epoch, number and sealing time: those
/// are the uplink's.
#[derive(Debug)]
pub struct Window {
    aims: Aims,
    slices: Slices,
    flows: Flows,
    names: Names,
    /// When names were last told what time it is.
    expired_at: Option<Timestamp>,
    kept: Kept,
    counts: Counts,
    /// Packet time reported on by this batch.
    range: Option<Range>,
    /// A time that had to be clamped, in case there is no other.
    clamped_at: Option<Timestamp>,
    /// Where the batch before ended, if this one goes on from there.
    edge: Option<Timestamp>,
    source: Option<v1::ReplaySource>,
    live: bool,
    credit: Credit,
    /// Batches since names, connections and sightings went with one.
    bare_batches: u32,
    /// Up to where the last batch with those reported on, live.
    told_at: Option<Timestamp>,
    left_out_payloads: u64,
}

/// Packet time, both ends included.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: Timestamp,
    last: Timestamp,
}

/// All that a batch has besides packets.
#[derive(Debug, Default)]
struct Counts {
    no_ip: HashMap<(LinkProtocol, MacAddr), FramesAndBytes, RandomState>,
    undecoded: HashMap<UndecodedReason, u64>,
    lost: HashMap<LossStage, u64>,
    clamped_times: u64,
}

/// How many quiet batches may still leave after a second instead of ten.
#[derive(Debug)]
struct Credit {
    batches: u32,
    /// When the last one was earned.
    earned_at: Option<Timestamp>,
}

impl Window {
    /// An empty batch, before the first input.
    #[must_use]
    pub fn new(aims: Aims) -> Self {
        Self {
            aims,
            flows: Flows::new(),
            names: Names::new(),
            expired_at: None,
            kept: Kept::default(),
            slices: Slices::with_capacity(SEAL_PACKETS),
            counts: Counts::default(),
            range: None,
            clamped_at: None,
            edge: None,
            source: None,
            live: false,
            credit: Credit { batches: CREDIT_BATCHES, earned_at: None },
            bare_batches: 0,
            told_at: None,
            left_out_payloads: 0,
        }
    }

    /// Takes in a chunk; batches that are full or old enough go to `sealed`.
    pub fn add(&mut self, chunk: &Chunk, sealed: &mut Vec<v1::Batch>) {
        self.left_out_payloads += chunk.left_out_payloads;
        if let Some(input) = &chunk.begins {
            self.begin(input, sealed);
        }
        if let Some(covered) = chunk.covered
            && self.live
        {
            self.break_if_the_clock_jumped(covered, sealed);
        }
        let broken = self.add_packets(chunk, sealed);
        self.add_counts(chunk, sealed);
        if self.aims.connections
            && let Some(covered) = chunk.covered
        {
            self.flows.tick(covered.last_at);
        }
        if self.aims.names {
            self.expire_names(chunk.covered);
        }
        if let Some(covered) = chunk.covered
            && !broken
        {
            self.cover(covered.from_at);
            self.cover(covered.last_at);
        }
        if self.live && self.is_due() {
            self.seal(sealed);
        }
    }

    /// The input has ended: what there is, each batch sealed when it is asked for. Of 100,000 connections, all together
    /// would be larger than all that the window holds.
    pub fn finish(&mut self) -> impl Iterator<Item = v1::Batch> {
        self.flows.finish();
        self.names.finish();
        // What is left is told, however short a while ago the last was.
        self.bare_batches = MAX_BARE_BATCHES;
        self.told_at = None;
        std::iter::from_fn(|| {
            let batch = self.seal_one().map(|(batch, _)| batch);
            if batch.is_none() {
                self.told_at = None;
            }
            batch
        })
    }

    /// Takes a batch back that found no room behind the window: its packets are
    /// lost at `stage`, all it counts and the time it covers stay.
    /// Names and connections go into the next batch, as far as they fit.
    pub fn take_back(&mut self, mut batch: v1::Batch, stage: LossStage) {
        self.kept.take_back(&mut batch);
        let mut lost = batch.slices.map_or(0, |slices| slices.offset_ns.len() as u64);
        for count in batch.no_ip {
            let kind = LinkProtocol::from_u32(count.link_protocol).zip(MacAddr::from_u64(count.mac));
            match kind {
                Some(kind) if self.counts.has_room_for_no_ip(&kind) => {
                    let frames = FramesAndBytes { frames: count.frames, wire_bytes: count.wire_bytes };
                    self.counts.add_no_ip(kind, frames);
                }
                _ => lost += count.frames,
            }
        }
        for count in batch.undecoded {
            *self.counts.undecoded.entry(count.reason()).or_default() += count.frames;
        }
        for count in batch.lost {
            *self.counts.lost.entry(count.stage()).or_default() += count.packets;
        }
        for sighting in batch.sightings {
            self.names.take_back_sighting(&sighting);
        }
        self.counts.clamped_times += batch.clamped_times;
        if lost > 0 {
            *self.counts.lost.entry(stage).or_default() += lost;
        }
        if let (Some(from), Some(until)) = (batch.covered_from_at_ns, batch.covered_until_at_ns) {
            for nanos in [from, until.saturating_sub(1)] {
                self.cover(Timestamp::nearest(nanos.into()).0);
            }
            // The batch goes on from where the lost one did.
            self.edge = None;
        }
    }

    /// Names that there was no room for, since the start.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        let mut left_out = self.names.left_out();
        left_out.rows += self.kept.left_out();
        left_out.payloads += self.left_out_payloads;
        left_out
    }

    /// Connections that were given up for others, since the start, and those that are open.
    #[must_use]
    pub fn connections(&self) -> (u64, usize) {
        (self.flows.evicted(), self.flows.len())
    }

    fn begin(&mut self, input: &Input, sealed: &mut Vec<v1::Batch>) {
        let source = match input {
            // Each interface's first chunk says so; together they are one input.
            Input::Live if self.live => return,
            Input::Live => None,
            Input::File(source) => Some(source.clone()),
        };
        sealed.extend(self.finish());
        self.edge = None;
        self.expired_at = None;
        self.live = source.is_none();
        self.source = source;
    }

    /// Whether the packets were not one stretch of time.
    #[inline]
    fn add_packets(&mut self, chunk: &Chunk, sealed: &mut Vec<v1::Batch>) -> bool {
        let mut broken = false;
        let mut picked = chunk.picked.iter().peekable();
        let (packets, slices) =
            if self.live { (SEAL_PACKETS_LIVE, SEAL_SLICES_LIVE) } else { (SEAL_PACKETS, usize::MAX) };
        for (packet, index) in chunk.packets.iter().zip(0_u32..) {
            let at = packet.captured_at;
            if self.range.is_some_and(|range| at.as_nanos() < range.last.as_nanos() - JUMP_NS)
                && self.slices.packets() >= MIN_PACKETS_BEFORE_JUMP
            {
                self.seal(sealed);
                self.edge = None;
                broken = true;
            }
            if !self.slices.push(packet) {
                self.seal(sealed);
                // An empty batch has room for a slice.
                let _ = self.slices.push(packet);
            }
            self.cover(at);
            let mut place = Place::UNKNOWN;
            if self.aims.connections
                && let Some(known) = self.slices.place()
            {
                self.flows.observe(packet, known);
                place = *known;
            }
            if let Some(picked) = picked.next_if(|picked| picked.packet == index) {
                self.observe(packet, place, chunk.payload(*picked));
            }
            let is_full = self.slices.packets() >= packets || self.slices.slices() >= slices;
            if is_full || self.names.is_full() || self.has_to_tell(MAX_BATCH_CONNECTIONS) {
                self.seal(sealed);
            }
        }
        broken
    }

    /// Has a closer look at a payload.
    fn observe(&mut self, packet: &Packet, place: Place, payload: &[u8]) {
        match packet.key.protocol {
            ICMP | ICMPV6 if self.aims.connections => self.flows.observe_icmp(packet, payload),
            _ if self.aims.names => {
                if let Some(learned) = self.names.observe(packet, payload) {
                    self.flows.learn(place, learned);
                }
            }
            _ => {}
        }
    }

    /// At most once a second of packet time; absurd times are none.
    fn expire_names(&mut self, covered: Option<Covered>) {
        let Some(now) = covered.map(|covered| covered.last_at) else { return };
        let is_absurd = now == Timestamp::MIN || now == Timestamp::MAX;
        if !is_absurd && self.expired_at.is_none_or(|at| at.second() != now.second()) {
            self.expired_at = Some(now);
            self.names.expire(now);
        }
    }

    fn add_counts(&mut self, chunk: &Chunk, sealed: &mut Vec<v1::Batch>) {
        for (kind, frames) in &chunk.counts.no_ip {
            if !self.counts.has_room_for_no_ip(kind) {
                self.seal(sealed);
            }
            self.counts.add_no_ip(*kind, *frames);
        }
        for (reason, frames) in &chunk.counts.undecoded {
            *self.counts.undecoded.entry(*reason).or_default() += frames;
        }
        for (stage, packets) in &chunk.counts.lost {
            *self.counts.lost.entry(*stage).or_default() += packets;
        }
        for sighting in &chunk.sightings {
            self.names.add_sighting(sighting);
            if self.names.is_full() {
                self.seal(sealed);
            }
        }
        self.counts.clamped_times += chunk.clamped_times;
    }

    /// Live time goes on steadily. Where it does not, somebody set the clock, or
    /// the host slept: that time was not covered.
    fn break_if_the_clock_jumped(&mut self, covered: Covered, sealed: &mut Vec<v1::Batch>) {
        let (first, last) = match (self.range, self.edge) {
            (Some(range), _) => (range.from, range.last),
            (None, Some(edge)) => (edge, edge),
            (None, None) => return,
        };
        let forward = covered.from_at.as_nanos().saturating_sub(last.as_nanos());
        let back = first.as_nanos().saturating_sub(covered.last_at.as_nanos());
        if forward > JUMP_NS || back > JUMP_NS {
            self.seal(sealed);
            self.edge = None;
            self.credit.earned_at = None;
        }
    }

    #[inline]
    fn cover(&mut self, at: Timestamp) {
        if at == Timestamp::MIN || at == Timestamp::MAX {
            // Centuries would seem covered.
            self.clamped_at = Some(at);
            return;
        }
        match &mut self.range {
            Some(range) => {
                range.from = range.from.min(at);
                range.last = range.last.max(at);
            }
            None => self.range = Some(Range { from: at, last: at }),
        }
    }

    /// Live only: whether what there is should not wait any longer.
    fn is_due(&mut self) -> bool {
        let Some(range) = self.range else { return false };
        let from = self.edge.map_or(range.from, |edge| edge.min(range.from));
        let age_ns = range.last.as_nanos().saturating_sub(from.as_nanos());
        self.credit.earn(range.last);
        let has_much = self.slices.packets() >= QUIET_PACKETS || self.flows.waiting() >= CONNECTIONS_LIVE;
        age_ns >= QUIET_AGE_NS
            || age_ns >= SEAL_AGE_NS && (has_much || self.slices.packets() > 0 && self.credit.spend())
    }

    /// Seals what there is. Names and connections that one batch has no room for go into others, which have no packets and
    /// cover no time; live, what there is to say about open connections waits for the next batch.
    fn seal(&mut self, sealed: &mut Vec<v1::Batch>) {
        while let Some((batch, is_more_left)) = self.seal_one() {
            sealed.push(batch);
            if !is_more_left {
                break;
            }
        }
    }

    /// A batch, and whether something is left. Each batch takes some of it, or there is none.
    fn seal_one(&mut self) -> Option<(v1::Batch, bool)> {
        let packets = self.slices.packets() as u64;
        let tells = self.is_time_to_tell();
        let range = self.range.take();
        let clamped = self.clamped_at.take();
        let (from, until) = match (range, clamped.filter(|_| packets > 0)) {
            (Some(range), _) => self.continued(range),
            (None, Some(at)) => (Some(at.as_nanos()), Some(at.as_nanos() + 1)),
            (None, None) => (None, None),
        };
        let mut batch = v1::Batch {
            covered_from_at_ns: from,
            covered_until_at_ns: until,
            slices: (packets > 0).then(|| self.slices.take_columns()),
            ..Default::default()
        };
        batch.frames = packets + self.counts.move_into(&mut batch);
        let mut is_more_left = false;
        if tells {
            self.names.move_sightings_into(&mut batch);
            self.kept.move_into(&mut batch);
            let are_names_left = self.names.move_into(&mut batch);
            let is_flood = self.has_to_tell(MAX_BATCH_CONNECTIONS / 2);
            let most = if self.live && !is_flood { CONNECTIONS_LIVE } else { MAX_BATCH_CONNECTIONS };
            let are_connections_left = self.flows.move_into(&mut batch, most);
            is_more_left = are_names_left || are_connections_left && !(self.live && self.flows.ended() < most);
            self.bare_batches = if is_more_left { MAX_BARE_BATCHES } else { 0 };
            self.told_at = range.map(|range| range.last);
        } else {
            self.bare_batches += 1;
        }
        if batch == v1::Batch::default() {
            return None;
        }
        batch.source = self.source.clone();
        Some((batch, is_more_left))
    }

    /// Whether names, connections and sightings go with the batch that is sealed. An insert
    /// costs the store the same however few rows it has, and they are few: where
    /// batches follow each other faster than anybody looks, some go without.
    fn is_time_to_tell(&self) -> bool {
        let is_late = if self.live {
            let last = self.range.map(|range| range.last.as_nanos());
            let told = self.told_at.map(Timestamp::as_nanos);
            last.zip(told).is_none_or(|(last, told)| last.abs_diff(told) >= SEAL_AGE_NS.unsigned_abs())
        } else {
            self.bare_batches >= MAX_BARE_BATCHES || self.slices.packets() == 0
        };
        is_late || self.names.is_half_full() || self.has_to_tell(MAX_BATCH_CONNECTIONS / 2)
    }

    /// Whether there are so many connections to tell of that it cannot wait. Live only those that are over count: they keep
    /// slots that others could have.
    #[inline]
    fn has_to_tell(&self, connections: usize) -> bool {
        self.flows.waiting() >= connections && (!self.live || self.flows.ended() >= connections)
    }

    /// Half-open, and from where the batch before ended, unless this one lies
    /// before that altogether.
    fn continued(&mut self, range: Range) -> (Option<i64>, Option<i64>) {
        let until = range.last.as_nanos() + 1;
        let from = match self.edge {
            Some(edge) if edge <= range.last => edge.min(range.from),
            _ => range.from,
        };
        self.edge = Timestamp::from_nanos(until);
        (Some(from.as_nanos()), Some(until))
    }
}

impl Counts {
    fn has_room_for_no_ip(&self, kind: &(LinkProtocol, MacAddr)) -> bool {
        self.no_ip.len() < MAX_KINDS || self.no_ip.contains_key(kind)
    }

    fn add_no_ip(&mut self, kind: (LinkProtocol, MacAddr), frames: FramesAndBytes) {
        let sum = self.no_ip.entry(kind).or_default();
        sum.frames += frames.frames;
        sum.wire_bytes = sum.wire_bytes.saturating_add(frames.wire_bytes);
    }

    /// Returns how many frames were counted; nothing is left.
    fn move_into(&mut self, batch: &mut v1::Batch) -> u64 {
        let mut sum = 0;
        for ((protocol, mac), counted) in self.no_ip.drain() {
            sum += counted.frames;
            batch.no_ip.push(v1::NoIpCount {
                link_protocol: protocol.as_u32(),
                mac: mac.as_u64(),
                frames: counted.frames,
                wire_bytes: counted.wire_bytes,
            });
        }
        for (reason, frames) in self.undecoded.drain() {
            sum += frames;
            batch.undecoded.push(v1::UndecodedCount { reason: reason.into(), frames });
        }
        for (stage, packets) in self.lost.drain() {
            sum += packets;
            batch.lost.push(v1::LossCount { stage: stage.into(), packets });
        }
        batch.clamped_times = std::mem::take(&mut self.clamped_times);
        // One input gives one sequence of bytes, whatever the hash seeds are.
        batch.no_ip.sort_unstable_by_key(|count| (count.link_protocol, count.mac));
        batch.undecoded.sort_unstable_by_key(|count| count.reason);
        batch.lost.sort_unstable_by_key(|count| count.stage);
        sum
    }
}

impl Credit {
    fn earn(&mut self, now: Timestamp) {
        let Some(earned_at) = self.earned_at else {
            self.earned_at = Some(now);
            return;
        };
        if now.as_nanos().saturating_sub(earned_at.as_nanos()) >= QUIET_AGE_NS {
            self.batches = (self.batches + 1).min(CREDIT_BATCHES);
            self.earned_at = Some(now);
        }
    }

    fn spend(&mut self) -> bool {
        let left = self.batches.checked_sub(1);
        self.batches = left.unwrap_or(0);
        left.is_some()
    }
}

/// A batch with this many packets of a file is full: the store's work is for the
/// most part per insert. A household's encode to 18 octets a packet at 6.2
/// packets a slice, so that they have nearly the most slices a batch may have:
/// 7 MB. With the widest numbers everywhere it is twice that, below the message's limit.
const SEAL_PACKETS: usize = 384 << 10;

/// Live it is full earlier: a second of a port is no more as a rule, and some of them may wait beside 100,000
/// connections in the 64 MB a collector should take (DESIGN.md section 8).
const SEAL_PACKETS_LIVE: usize = 64 << 10;

/// The same for slices, each of which takes some 200 octets while it is built and handed on, and 60 encoded: where every
/// other packet has a flow of its own, a batch of 2^16 packets had 12 MB. A household's has 10,000 slices.
const SEAL_SLICES_LIVE: usize = 16 << 10;

/// Connections that a live batch tells of: 4 MB before it is encoded. It is one a second, and 100,000 connections have
/// 1700 updates a second. In a flood of short ones it has as many as it may: each batch costs the store an insert, and a
/// million connections in batches of 2^13 took it 19 s instead of 12.
const CONNECTIONS_LIVE: usize = 1 << 13;

/// The most kinds of frames without IP in a batch. A house has some dozens; the
/// limit keeps hostile batches below the message's.
const MAX_KINDS: usize = 4096;

/// So many batches of a file go without names, connections and sightings: seven inserts
/// less each. With them in every batch the whole path took a third longer.
const MAX_BARE_BATCHES: u32 = 3;

/// Live, a batch of some size is sealed when it covers this much.
const SEAL_AGE_NS: i64 = 1_000_000_000;

/// Fewer packets than this are a quiet batch, and cost the store as much to
/// insert as a full one (3.5 to 18 ms, DESIGN.md section 4).
const QUIET_PACKETS: usize = 256;

/// Live, quiet batches wait until they cover this much.
const QUIET_AGE_NS: i64 = 10_000_000_000;

/// Except for so many, of which one is earned back each ten seconds: somebody
/// who switches a plug and watches sees it within a second or two, while a
/// trickle that never ends settles at one batch in ten seconds.
const CREDIT_BATCHES: u32 = 30;

/// Times further back than this are another stretch, not packets out of order:
/// interfaces of one capture differ by less, broken clocks by more.
const JUMP_NS: i64 = 60 * 1_000_000_000;

/// With fewer packets a batch is rather stretched: two interfaces whose clocks
/// differ by years would else make each packet a batch.
const MIN_PACKETS_BEFORE_JUMP: usize = 4096;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
