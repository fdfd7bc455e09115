//! Batches from when they were sealed until the analyzer answered for them.
//!
//! In memory: what is sent, and what is sent next. The spool has the rest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use iotq_proto::{LossStage, v1};

use crate::totals::Totals;

/// Batches without an answer, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    limits: Limits,
    waiting: BTreeMap<u64, Waiting>,
    encoded_bytes: usize,
    /// Those that were not sent on this connection.
    unsent: BTreeSet<u64>,
}

/// One batch, ready to be sent any number of times.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The encoded `PushRequest`.
    pub(super) message: Bytes,
    /// What it accounts for, without `carried`.
    pub(super) totals: Totals,
    /// Losses of batches refused before, that it reports for them.
    pub(super) carried: BTreeMap<LossStage, u64>,
    /// The file it was read from.
    pub(super) source: Option<v1::ReplaySource>,
    /// It is in the spool, too.
    pub(super) is_spooled: bool,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Octets of encoded batches.
    pub(super) encoded_bytes: usize,
    /// Batches.
    pub(super) batches: usize,
}

impl Limits {
    /// Where memory is all there is.
    pub(super) const MEMORY_ONLY: Self = Self { encoded_bytes: MAX_ENCODED_BYTES, batches: MAX_BATCHES };
    /// Where the rest can lie on disk.
    pub(super) const BEFORE_SPOOL: Self = Self { encoded_bytes: MAX_LOADED_BYTES, batches: MAX_LOADED_BATCHES };
    /// The same live, where batches are smaller.
    pub(super) const BEFORE_SPOOL_LIVE: Self = Self { encoded_bytes: MAX_LOADED_BYTES / 2, ..Self::BEFORE_SPOOL };
}

impl Unacknowledged {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, waiting: BTreeMap::new(), encoded_bytes: 0, unsent: BTreeSet::new() }
    }

    /// Takes a batch; the caller has asked `has_room` before.
    pub(super) fn push(&mut self, seq: u64, batch: Waiting) {
        self.encoded_bytes += batch.message.len();
        self.waiting.insert(seq, batch);
        self.unsent.insert(seq);
    }

    /// The batch to send next, which from now on counts as sent.
    pub(super) fn send_next(&mut self) -> Option<(u64, Bytes)> {
        let seq = self.unsent.pop_first()?;
        Some((seq, self.waiting.get(&seq)?.message.clone()))
    }

    /// Another connection begins: nothing was sent on it yet.
    pub(super) fn rewind(&mut self) {
        self.unsent = self.waiting.keys().copied().collect();
    }

    /// The batch was answered. `None`: it had been before, or never was one.
    pub(super) fn settle(&mut self, seq: u64) -> Option<Waiting> {
        let batch = self.waiting.remove(&seq)?;
        self.encoded_bytes -= batch.message.len();
        self.unsent.remove(&seq);
        Some(batch)
    }

    /// All batches up to and including this one were answered.
    pub(super) fn settle_through(&mut self, seq: u64) -> Vec<(u64, Waiting)> {
        let settled: Vec<u64> = self.waiting.range(..=seq).map(|(seq, _)| *seq).collect();
        settled.into_iter().filter_map(|seq| Some((seq, self.settle(seq)?))).collect()
    }

    /// The first batch that is in memory only.
    pub(super) fn first_unspooled(&self) -> Option<(u64, &Waiting)> {
        self.waiting.iter().find(|(_, batch)| !batch.is_spooled).map(|(seq, batch)| (*seq, batch))
    }

    /// It is in the spool now, too.
    pub(super) fn note_spooled(&mut self, seq: u64) {
        if let Some(batch) = self.waiting.get_mut(&seq) {
            batch.is_spooled = true;
        }
    }

    /// Batches that are in memory only and not on their way, and their octets.
    pub(super) fn unspooled(&self) -> (u64, u64) {
        let unsent = self.unsent.iter().filter_map(|seq| self.waiting.get(seq));
        let unspooled = unsent.filter(|batch| !batch.is_spooled);
        unspooled.fold((0, 0), |(batches, bytes), batch| (batches + 1, bytes + batch.message.len() as u64))
    }

    /// Octets sent on this connection, and not answered.
    pub(super) fn in_flight_bytes(&self) -> u64 {
        let sent = self.waiting.iter().filter(|(seq, _)| !self.unsent.contains(seq));
        sent.map(|(_, batch)| batch.message.len() as u64).sum()
    }

    /// Everything that is left.
    pub(super) fn drain(&mut self) -> BTreeMap<u64, Waiting> {
        self.encoded_bytes = 0;
        self.unsent.clear();
        std::mem::take(&mut self.waiting)
    }

    /// Whether another batch may wait. One over the limit in octets is let in:
    /// its size is known only afterwards.
    pub(super) fn has_room(&self) -> bool {
        self.encoded_bytes < self.limits.encoded_bytes && self.waiting.len() < self.limits.batches
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sent on this connection, and not answered.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() - self.unsent.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Half of the 64 MB a collector may take under full load (DESIGN.md section 8);
/// some thirty full batches, two million packets.
const MAX_ENCODED_BYTES: usize = 32 << 20;

/// Quiet batches are small: a day of one in ten seconds is 8,640 of them. Beside
/// its octets each costs some 300 in this table.
const MAX_BATCHES: usize = 8640;

/// Two of the largest batches of files, since one over the limit is let in, or what a fast link has under way of live ones.
const MAX_LOADED_BYTES: usize = 8 << 20;

/// More than an analyzer lets wait for their answer (16).
const MAX_LOADED_BATCHES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(octets: usize) -> Waiting {
        Waiting {
            message: vec![0; octets].into(),
            totals: Totals::default(),
            carried: BTreeMap::new(),
            source: None,
            is_spooled: false,
        }
    }

    fn store(batches: u64) -> Unacknowledged {
        let mut store = Unacknowledged::new(Limits::MEMORY_ONLY);
        for seq in 1..=batches {
            store.push(seq, waiting(10));
        }
        store
    }

    fn send_all(store: &mut Unacknowledged) -> Vec<u64> {
        std::iter::from_fn(|| store.send_next().map(|(seq, _)| seq)).collect()
    }

    #[test]
    fn after_a_reconnect_all_is_sent_again_in_order() {
        let mut store = store(4);
        assert_eq!(send_all(&mut store), [1, 2, 3, 4]);
        assert!(store.settle(3).is_some() && store.settle(3).is_none());
        assert_eq!(store.in_flight(), 3);
        store.rewind();
        assert_eq!((store.in_flight(), store.has_unsent()), (0, true));
        assert_eq!(send_all(&mut store), [1, 2, 4]);
        assert_eq!((store.in_flight(), store.has_unsent()), (3, false));
    }

    #[test]
    fn what_the_analyzer_has_is_not_sent_again() {
        let mut store = store(4);
        send_all(&mut store);
        store.rewind();
        assert_eq!(store.settle_through(2).len(), 2);
        assert_eq!(send_all(&mut store), [3, 4]);
        assert_eq!(store.settle_through(9).len(), 2);
        assert!(store.is_empty() && store.in_flight() == 0 && store.encoded_bytes == 0);
    }

    #[test]
    fn room_is_limited_in_batches_and_octets() {
        let mut store = Unacknowledged::new(Limits { encoded_bytes: 100, batches: 3 });
        store.push(1, waiting(10));
        store.push(2, waiting(90));
        assert!(!store.has_room());
        store.settle(2);
        assert!(store.has_room());
        store.push(3, waiting(1));
        store.push(4, waiting(1));
        assert!(!store.has_room());
    }
}
