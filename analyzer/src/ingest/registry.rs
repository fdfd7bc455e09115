//! Who is connected, and which of their batches are stored or on their way.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use iotq_proto::{CollectorId, v1};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{clock::now_ns, store::StoredSeqs};

/// Shared by all streams and by questions about the state.
#[derive(Debug, Default)]
pub struct Registry {
    connected: Mutex<BTreeMap<u64, (Connected, CancellationToken)>>,
    epochs: Mutex<HashMap<(CollectorId, u64), Weak<Epoch>>>,
    spools: Mutex<BTreeMap<CollectorId, v1::SpoolState>>,
    next_session: AtomicU64,
    generation: AtomicU64,
    changes: AtomicU64,
}

/// A collector with an open stream.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its name.
    pub collector: CollectorId,
    /// Its release.
    pub version: String,
    /// What it reads.
    pub inputs: Vec<String>,
    /// When what it showed ends, in seconds since 1970. `None`: it showed nothing.
    pub certificate_expires_at: Option<i64>,
}

/// The batches of one epoch. Kept as long as a stream is open for it.
#[derive(Debug)]
pub(super) struct Epoch {
    state: Mutex<EpochState>,
    settled: Notify,
}

#[derive(Debug)]
struct EpochState {
    stored: StoredSeqs,
    under_way: HashSet<u64>,
}

/// Ends a stream's entry when dropped.
#[derive(Debug)]
pub(super) struct Session {
    registry: Arc<Registry>,
    number: u64,
    /// Cancelled when the collector has opened too many others since.
    pub(super) superseded: CancellationToken,
}

impl Registry {
    /// Those connected now.
    #[must_use]
    pub fn connected(&self) -> Vec<Connected> {
        lock(&self.connected).values().map(|(connected, _)| connected.clone()).collect()
    }

    /// Grows whenever something was stored that is not of just now, of files or from a spool, or was changed
    /// otherwise: what was read before is old. What arrives live makes it old within seconds, which its reader knows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Grows with everything that is stored or changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Makes old what was read before: something was removed, or is looked at differently.
    pub fn note_changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// How collectors' spools were when they last said so.
    #[must_use]
    pub fn spools(&self) -> Vec<(CollectorId, v1::SpoolState)> {
        lock(&self.spools).iter().map(|(collector, spool)| (collector.clone(), *spool)).collect()
    }

    pub(super) fn note_spool(&self, collector: &CollectorId, spool: v1::SpoolState) {
        let mut spools = lock(&self.spools);
        if let Some(known) = spools.get_mut(collector) {
            *known = spool;
        } else if spools.len() < MAX_SPOOLS {
            spools.insert(collector.clone(), spool);
        }
    }

    pub(super) fn note_stored(&self, batch: &v1::Batch) {
        let age_ns = batch.covered_until_at_ns.map(|until_ns| now_ns().saturating_sub(until_ns));
        // The first of a start may be a collector's first.
        if batch.seq == 1 || batch.source.is_some() || age_ns.is_none_or(|age_ns| age_ns > JUST_NOW_NS) {
            self.note_changed();
        } else {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Enters a stream. Of too many of one collector the oldest is ended: whoever comes
    /// back after a cut need not wait until its dead streams are noticed.
    pub(super) fn connect(self: &Arc<Self>, connected: Connected) -> Session {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let superseded = CancellationToken::new();
        let mut all = lock(&self.connected);
        let of_it =
            all.values().filter(|(other, ended)| other.collector == connected.collector && !ended.is_cancelled());
        let of_it: Vec<_> = of_it.map(|(_, ended)| ended.clone()).collect();
        if let Some(oldest) = of_it.first().filter(|_| of_it.len() >= MAX_STREAMS) {
            oldest.cancel();
        }
        all.insert(number, (connected, superseded.clone()));
        drop(all);
        Session { registry: Arc::clone(self), number, superseded }
    }

    pub(super) fn epoch(&self, collector: &CollectorId, epoch: u64) -> Option<Arc<Epoch>> {
        lock(&self.epochs).get(&(collector.clone(), epoch)).and_then(Weak::upgrade)
    }

    /// Enters an epoch that was read from the store, unless another stream was first.
    pub(super) fn enter(&self, collector: &CollectorId, epoch: u64, stored: StoredSeqs) -> Arc<Epoch> {
        let mut epochs = lock(&self.epochs);
        epochs.retain(|_, epoch| epoch.strong_count() > 0);
        let key = (collector.clone(), epoch);
        if let Some(epoch) = epochs.get(&key).and_then(Weak::upgrade) {
            return epoch;
        }
        let state = EpochState { stored, under_way: HashSet::new() };
        let epoch = Arc::new(Epoch { state: Mutex::new(state), settled: Notify::new() });
        epochs.insert(key, Arc::downgrade(&epoch));
        epoch
    }
}

impl Epoch {
    pub(super) fn stored_through(&self) -> u64 {
        lock(&self.state).stored.through
    }

    /// Takes on storing a batch; `None` if it is stored already. Waits while
    /// another stream is storing it.
    pub(super) async fn begin(self: &Arc<Self>, seq: u64) -> Option<UnderWay> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // Before looking, so that no notification falls between.
            settled.as_mut().enable();
            {
                let mut state = lock(&self.state);
                if state.stored.contains(seq) {
                    return None;
                }
                if state.under_way.insert(seq) {
                    return Some(UnderWay { epoch: Arc::clone(self), seq });
                }
            }
            settled.await;
        }
    }
}

/// A batch that is being stored. Dropped without [`UnderWay::stored`]: it was not.
#[derive(Debug)]
pub(super) struct UnderWay {
    epoch: Arc<Epoch>,
    seq: u64,
}

impl UnderWay {
    pub(super) fn stored(self) {
        lock(&self.epoch.state).stored.add(self.seq);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.epoch.state).under_way.remove(&self.seq);
        self.epoch.settled.notify_waiters();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.registry.connected).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can leave a value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A live batch covers ten seconds at most and is stored some seconds later.
const JUST_NOW_NS: i64 = 60 * 1_000_000_000;

/// Collectors whose spool is known: twenty times as many as one analyzer is made
/// for, so that made-up names cannot fill the memory.
const MAX_SPOOLS: usize = 4096;

/// Streams of one collector: its live one, the one for what earlier starts left, and
/// some that were cut off and that nobody has missed yet.
pub(super) const MAX_STREAMS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_streams_of_a_collector_the_oldest_gives_way() {
        let registry = Arc::new(Registry::default());
        let connected = |name: &str| Connected {
            collector: name.parse().unwrap(),
            version: String::new(),
            inputs: Vec::new(),
            certificate_expires_at: None,
        };
        let other = registry.connect(connected("cellar"));
        let sessions: Vec<_> = (0..MAX_STREAMS + 2).map(|_| registry.connect(connected("attic"))).collect();
        let ended: Vec<_> = sessions.iter().map(|session| session.superseded.is_cancelled()).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 2);
        assert!(ended[0] && ended[1] && !other.superseded.is_cancelled());
        drop(sessions);
        assert_eq!(registry.connected().len(), 1);
    }

    #[tokio::test]
    async fn a_batch_is_stored_by_one_stream_at_a_time() {
        let registry = Registry::default();
        let collector: CollectorId = "attic".parse().unwrap();
        let epoch = registry.enter(&collector, 1, StoredSeqs::default());
        let other = registry.enter(&collector, 1, StoredSeqs::default());

        let first = epoch.begin(1).await.unwrap();
        let second = tokio::spawn(async move { other.begin(1).await.is_none() });
        tokio::task::yield_now().await;
        first.stored();
        assert!(second.await.unwrap(), "the second must find it stored");
        assert_eq!(epoch.stored_through(), 1);
    }

    #[tokio::test]
    async fn a_batch_given_up_can_be_taken_on_again() {
        let registry = Registry::default();
        let epoch = registry.enter(&"attic".parse().unwrap(), 1, StoredSeqs::default());
        drop(epoch.begin(1).await.unwrap());
        assert!(epoch.begin(1).await.is_some());
    }
}
