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

use crate::store::StoredSeqs;

/// Shared by all streams and by questions about the state.
#[derive(Debug, Default)]
pub struct Registry {
    connected: Mutex<BTreeMap<u64, Connected>>,
    epochs: Mutex<HashMap<(CollectorId, u64), Weak<Epoch>>>,
    spools: Mutex<BTreeMap<CollectorId, v1::SpoolState>>,
    next_session: AtomicU64,
    generation: AtomicU64,
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
}

impl Registry {
    /// Those connected now.
    #[must_use]
    pub fn connected(&self) -> Vec<Connected> {
        lock(&self.connected).values().cloned().collect()
    }

    /// Grows whenever something was stored: answers made before are old.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
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

    pub(super) fn note_stored(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(super) fn connect(self: &Arc<Self>, connected: Connected) -> Session {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        lock(&self.connected).insert(number, connected);
        Session { registry: Arc::clone(self), number }
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

/// Collectors whose spool is known: twenty times as many as one analyzer is made
/// for, so that made-up names cannot fill the memory.
const MAX_SPOOLS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

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
