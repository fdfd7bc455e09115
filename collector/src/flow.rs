//! Connections: who talks to whom, since when, and how it ends.
//!
//! A connection is a five-tuple for as long as its time-out says; neither MAC nor
//! VLAN matters, so that asymmetric routes and half-tagged mirrors show one. Has
//! no clock: time is what packets say, and absurd times neither end nor keep
//! anything.
//!
//! What is not in connections, but in slices all the same: later fragments and
//! transport headers cut before their ports, since they show no five-tuple.

mod clock;
mod connection;
mod history;
mod quoted;
mod tcp;
#[cfg(test)]
mod tests;
mod timers;

use ahash::RandomState;
use hashbrown::HashTable;
use iotq_proto::{ConnectionEnd, MAX_BATCH_CONNECTIONS, Timestamp, v1};

use self::{
    clock::{Clock, STEP_SECS},
    connection::{Connection, Key},
    timers::Wheel,
};
use crate::{names::Learned, packet::Packet};

/// All connections there are, and what is yet to be said about them.
#[derive(Debug)]
pub struct Flows {
    /// Index into `slots`.
    open: HashTable<u32>,
    hasher: RandomState,
    slots: Vec<Connection>,
    /// Slots whose connection is over and reported.
    free: Vec<u32>,
    /// Connections that have something to say in the next batch.
    queue: Vec<u32>,
    /// Those of them that are over: they keep slots that open ones could have.
    ended: usize,
    wheel: Wheel,
    clock: Clock,
    /// Of the connection opened last.
    number: u64,
    /// Where to look next for one to give up.
    hand: usize,
    max_connections: usize,
    evicted: u64,
}

/// Where the connection of a packet was found: a first guess for the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place(u32);

impl Place {
    /// Nowhere yet.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

impl Flows {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_CONNECTIONS)
    }

    fn with_limit(max_connections: usize) -> Self {
        Self {
            open: HashTable::new(),
            hasher: RandomState::new(),
            // All at once: what is not used takes no memory, while a vector that grows leaves holes of half its size.
            slots: Vec::with_capacity(max_connections + MAX_BATCH_CONNECTIONS),
            free: Vec::new(),
            queue: Vec::new(),
            ended: 0,
            wheel: Wheel::new(),
            clock: Clock::default(),
            number: 0,
            hand: 0,
            max_connections,
            evicted: 0,
        }
    }

    /// Counts a packet on its connection, opening one if there is none. The place
    /// is where the flow's packet before was found.
    #[inline]
    pub fn observe(&mut self, packet: &Packet, place: &mut Place) {
        self.clock.observe(packet.captured_at);
        if self.clock.ticks() != self.wheel.tick() {
            self.expire(MAX_DUE_PER_PACKET);
        }
        if !has_five_tuple(packet) {
            *place = Place::UNKNOWN;
            return;
        }
        let key = Key::from(&packet.key);
        let index = match self.slots.get(place.0 as usize) {
            Some(connection) if connection.key == key && !connection.is_over() => Some(place.0),
            _ => self.find(&key),
        };
        let index = match index {
            Some(index) if self.continues(index, packet) => index,
            Some(index) => {
                self.replace(index);
                self.open(packet)
            }
            None => self.open(packet),
        };
        *place = Place(index);
        self.count(index, packet);
    }

    /// What was learned from the payload of the packet observed last, whose place
    /// this is.
    pub fn learn(&mut self, place: Place, learned: Learned) {
        if let Some(connection) = self.slots.get_mut(place.0 as usize) {
            connection.learn(learned);
            self.touch(place.0);
        }
    }

    /// An ICMP message: if it is an error, the connection that it quotes is told.
    pub fn observe_icmp(&mut self, packet: &Packet, message: &[u8]) {
        let Some(key) = quoted::key_of(packet, message) else { return };
        if let Some(index) = self.find(&key)
            && let Some(connection) = self.slots.get_mut(index as usize)
        {
            connection.count_unreachable();
            self.touch(index);
        }
    }

    /// It is as late as this, with or without packets.
    pub fn tick(&mut self, now: Timestamp) {
        self.clock.observe(now);
        self.expire(MAX_DUE_PER_TICK);
    }

    /// The input ends, and with it all connections.
    pub fn finish(&mut self) {
        for index in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(connection) = self.slots.get(index as usize) else { break };
            if connection.is_over() {
                continue;
            }
            let (secs, end) = connection.time_out();
            let silence = self.clock.ticks().wrapping_sub(connection.last_tick);
            let is_over = connection.is_closed() || silence >= secs;
            self.end(index, if is_over { end } else { ConnectionEnd::Input });
        }
        self.clock = Clock::default();
        self.wheel = Wheel::new();
    }

    /// Puts updates into a batch, until it has `most` of them. Whether something is left.
    pub fn move_into(&mut self, batch: &mut v1::Batch, most: usize) -> bool {
        let mut bytes = 0;
        let room = most.saturating_sub(batch.connections.len());
        batch.connections.reserve_exact(room.min(self.queue.len()));
        let mut taken = 0;
        for index in self.queue.iter().take(room) {
            let Some(connection) = self.slots.get_mut(*index as usize) else { continue };
            bytes += connection.update_bytes();
            if bytes > MAX_UPDATE_BYTES {
                break;
            }
            taken += 1;
            batch.connections.push(connection.take_update());
            (connection.is_queued, connection.is_dirty) = (false, false);
            connection.updated_tick = self.clock.ticks();
            if connection.is_over() {
                self.free.push(*index);
                self.ended -= 1;
            }
        }
        self.queue.drain(..taken);
        !self.queue.is_empty()
    }

    /// How many have something to say.
    #[inline]
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many of those are over. The others can wait: they need no more room for that.
    #[inline]
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ended
    }

    /// How many were given up for others, since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    #[inline]
    fn find(&self, key: &Key) -> Option<u32> {
        let slots = &self.slots;
        let is_it = |index: &u32| slots.get(*index as usize).is_some_and(|connection| connection.key == *key);
        self.open.find(hash_of(&self.hasher, key), is_it).copied()
    }

    /// Whether the packet goes on with this connection: neither a SYN nor a long
    /// silence says that another one of its five-tuple begins.
    #[inline]
    fn continues(&self, index: u32, packet: &Packet) -> bool {
        let Some(connection) = self.slots.get(index as usize) else { return false };
        let nanos = packet.captured_at.as_nanos().saturating_sub(connection.last_at().as_nanos());
        let ticks = self.clock.ticks().wrapping_sub(connection.last_tick);
        // For most packets there is no need to ask how long it may be silent.
        let is_silent = (nanos >= SHORTEST_SILENCE_NANOS || ticks >= SHORTEST_SILENCE_TICKS) && {
            let secs = connection.time_out().0;
            ticks >= secs || (i64::from(secs)..=STEP_SECS).contains(&(nanos / NANOS_PER_SEC))
        };
        !is_silent && connection.continues(packet)
    }

    /// Ends a connection in favour of another one of its five-tuple.
    fn replace(&mut self, index: u32) {
        if let Some(connection) = self.slots.get(index as usize) {
            let (_, end) = connection.time_out();
            self.end(index, end);
        }
    }

    fn open(&mut self, packet: &Packet) -> u32 {
        if self.open.len() >= self.max_connections {
            self.evict();
        }
        self.number += 1;
        let mut connection = Connection::opened_by(packet, self.number, self.clock.ticks());
        connection.updated_tick = self.clock.ticks().wrapping_sub(UPDATE_TICKS - FIRST_UPDATE_TICKS);
        let key = connection.key;
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.slots.get_mut(index as usize) {
                    *slot = connection;
                }
                index
            }
            None => {
                self.slots.push(connection);
                // The table is full long before.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.open.insert_unique(hash_of(hasher, &key), index, |index| {
            slots.get(*index as usize).map_or(0, |connection| hash_of(hasher, &connection.key))
        });
        self.wheel.set(&mut self.slots, index, FIRST_UPDATE_TICKS);
        index
    }

    #[inline]
    fn count(&mut self, index: u32, packet: &Packet) {
        let Some(connection) = self.slots.get_mut(index as usize) else { return };
        let is_believed = !self.clock.is_ahead(packet.captured_at);
        connection.note_time(packet.captured_at, self.clock.ticks(), is_believed);
        let is_closing = connection.count(packet);
        if !connection.is_dirty {
            self.touch(index);
        }
        if is_closing {
            self.wheel.unset(&mut self.slots, index);
            self.reset_timer(index);
        }
    }

    /// It changed: an update is due now, or a minute after the one before.
    fn touch(&mut self, index: u32) {
        let Some(connection) = self.slots.get_mut(index as usize) else { return };
        if std::mem::replace(&mut connection.is_dirty, true) || connection.is_queued {
            return;
        }
        let due = UPDATE_TICKS.saturating_sub(self.clock.ticks().wrapping_sub(connection.updated_tick));
        if due == 0 {
            self.enqueue(index);
        } else if self.wheel.remaining(connection.links) > due {
            self.wheel.unset(&mut self.slots, index);
            self.wheel.set(&mut self.slots, index, due);
        }
    }

    fn enqueue(&mut self, index: u32) {
        if let Some(connection) = self.slots.get_mut(index as usize)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.queue.push(index);
        }
    }

    /// Looks at connections whose timers are due, at this many at most.
    fn expire(&mut self, mut budget: u32) {
        while budget > 0 {
            budget -= 1;
            match self.wheel.pop(&mut self.slots) {
                Some(index) => self.reset_timer(index),
                None if self.wheel.tick() < self.clock.ticks() => self.wheel.turn(),
                None => break,
            }
        }
    }

    /// Ends a connection that was silent too long, or says when to look again.
    fn reset_timer(&mut self, index: u32) {
        let Some(connection) = self.slots.get(index as usize) else { return };
        let silence = self.clock.ticks().wrapping_sub(connection.last_tick);
        let (secs, end) = connection.time_out();
        if silence >= secs {
            self.end(index, end);
            return;
        }
        let mut due = secs - silence;
        if connection.is_dirty && !connection.is_queued {
            let since = self.clock.ticks().wrapping_sub(connection.updated_tick);
            if since >= UPDATE_TICKS {
                self.enqueue(index);
            } else {
                due = due.min(UPDATE_TICKS - since);
            }
        }
        self.wheel.set(&mut self.slots, index, due);
    }

    /// Gives up the connection that was silent longest, of a few looked at in turn:
    /// to keep all in order would cost each packet more than it is worth.
    fn evict(&mut self) {
        let mut longest: Option<((u32, i64), u32)> = None;
        let mut looked_at = 0;
        for _ in 0..self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len();
            let Some(connection) = self.slots.get(self.hand) else { continue };
            if connection.is_over() {
                continue;
            }
            looked_at += 1;
            let ticks = self.clock.ticks().wrapping_sub(connection.last_tick);
            let silence = (ticks, connection.last_at().as_nanos().saturating_neg());
            if longest.is_none_or(|(most, _)| silence > most)
                && let Ok(index) = u32::try_from(self.hand)
            {
                longest = Some((silence, index));
            }
            if looked_at >= LOOKED_AT {
                break;
            }
        }
        if let Some((_, index)) = longest {
            self.evicted += 1;
            self.end(index, ConnectionEnd::Evicted);
        }
    }

    /// No packet belongs to it from now on; its last update is due.
    fn end(&mut self, index: u32, end: ConnectionEnd) {
        self.wheel.unset(&mut self.slots, index);
        let Some(connection) = self.slots.get_mut(index as usize) else { return };
        connection.end_by(end);
        self.ended += 1;
        let hash = hash_of(&self.hasher, &connection.key);
        if let Ok(entry) = self.open.find_entry(hash, |other| *other == index) {
            entry.remove();
        }
        self.enqueue(index);
    }
}

impl Default for Flows {
    fn default() -> Self {
        Self::new()
    }
}

/// Later fragments and cut headers of protocols with ports have none.
#[inline]
fn has_five_tuple(packet: &Packet) -> bool {
    // TCP, UDP, DCCP, SCTP, UDP-Lite: those whose ports are read.
    packet.key.has_ports || !matches!(packet.key.protocol, 6 | 17 | 33 | 132 | 136)
}

#[inline]
fn hash_of(hasher: &RandomState, key: &Key) -> u64 {
    let small = u64::from(key.a_port) | u64::from(key.b_port) << 16 | u64::from(key.protocol) << 32;
    hasher.hash_one((u128::from_ne_bytes(key.a_ip), u128::from_ne_bytes(key.b_ip), small))
}

/// 288 octets each: 38 MB, of which only those there are take memory. A
/// household has hundreds, a thousand scanned ports a second for the length of
/// an unanswered attempt's time-out are not all kept.
const MAX_CONNECTIONS: usize = 1 << 17;

/// As many are looked at for one to give up. Each is a cache miss: of 32 they took a fifth of the time of a scan.
const LOOKED_AT: u32 = 8;

/// An update a minute at most, but for the first and the last.
const UPDATE_TICKS: u32 = 60;

/// So old is a connection when it is told of first: of most that a scan opens, that is their end.
const FIRST_UPDATE_TICKS: u32 = 2;

/// Each packet opens one connection at most, so that this many more timers than
/// that keep up; a long pause is caught up with over some packets.
const MAX_DUE_PER_PACKET: u32 = 64;

/// The same for each chunk.
const MAX_DUE_PER_TICK: u32 = 1 << 13;

/// Updates beyond this wait for the next batch: some have names of a kilobyte,
/// and most a message's limit has to hold besides.
const MAX_UPDATE_BYTES: usize = 3 << 20;

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// Of all time-outs.
const SHORTEST_SILENCE_TICKS: u32 = 5;
const SHORTEST_SILENCE_NANOS: i64 = 5 * NANOS_PER_SEC;
