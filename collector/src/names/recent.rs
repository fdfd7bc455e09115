//! A table that forgets: what was not touched for a while, and the older half
//! when it becomes too large.
//!
//! Two generations: the young one becomes the old one when it is full or old
//! enough, and what nobody touched in the old one goes. So each step takes the
//! same time, however hostile the traffic, and nothing has to be searched for
//! what is overdue.

use std::{hash::Hash, mem, time::Duration};

use ahash::RandomState;
use hashbrown::HashTable;
use iotq_proto::Timestamp;

/// What takes memory beside its place in the table.
pub(super) trait Heavy {
    /// Octets.
    fn memory(&self) -> usize;
}

/// How much a table keeps, for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) entries: usize,
    /// Of [`Heavy::memory`].
    pub(super) memory: usize,
    /// What was touched last so long ago may be forgotten; after twice that it is.
    pub(super) idle: Duration,
}

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashTable<(K, V)>,
    old: HashTable<(K, V)>,
    hasher: RandomState,
    /// What the young ones were said to take, at most.
    young_memory: usize,
    turned_at: Timestamp,
    limits: Limits,
    /// Entries that had to go before their time.
    pushed_out: u64,
}

impl<K: Clone + Eq + Hash, V: Heavy> Recent<K, V> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            young: HashTable::new(),
            old: HashTable::new(),
            hasher: RandomState::new(),
            young_memory: 0,
            turned_at: Timestamp::MIN,
            limits,
            pushed_out: 0,
        }
    }

    /// Changes an entry, makes one, or takes one out.
    pub(super) fn update(&mut self, key: &K, change: impl FnOnce(Option<V>) -> Option<V>) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.young.find_entry(hash, |(other, _)| other == key) {
            let ((key, value), place) = entry.remove();
            self.young_memory = self.young_memory.saturating_sub(value.memory());
            let Some(value) = change(Some(value)) else { return };
            let memory = self.young_memory.saturating_add(value.memory());
            if memory < self.limits.memory / 2 {
                self.young_memory = memory;
                place.insert((key, value));
            } else {
                self.insert(hash, key, value);
            }
            return;
        }
        let old = self.old.find_entry(hash, |(other, _)| other == key).ok().map(|entry| entry.remove().0.1);
        if let Some(value) = change(old) {
            self.insert(hash, key.clone(), value);
        }
    }

    /// Takes an entry out, to be put in again if it is still needed.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        let mut taken = None;
        self.update(key, |value| {
            taken = value;
            None
        });
        taken
    }

    /// Puts an entry where there is none.
    pub(super) fn put(&mut self, key: K, value: V) -> &mut V {
        self.insert(self.hasher.hash_one(&key), key, value)
    }

    /// An entry as it is; looking does not keep it young.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let is_it = |entry: &(K, V)| entry.0 == *key;
        self.young.find(hash, is_it).or_else(|| self.old.find(hash, is_it)).map(|(_, value)| value)
    }

    /// How many entries had to go before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// Forgets what is overdue. Packet time may go back: a little means nothing,
    /// with more another input has begun.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let since = i128::from(now.as_nanos()) - i128::from(self.turned_at.as_nanos());
        let idle = i128::try_from(self.limits.idle.as_nanos()).unwrap_or(i128::MAX);
        if (-idle..idle).contains(&since) {
            return;
        }
        self.turn();
        if !(0..2 * idle).contains(&since) {
            self.old.clear();
        }
        self.turned_at = now;
    }

    fn insert(&mut self, hash: u64, key: K, value: V) -> &mut V {
        self.young_memory = self.young_memory.saturating_add(value.memory());
        if self.young.len() >= self.limits.entries / 2 || self.young_memory >= self.limits.memory / 2 {
            self.pushed_out += self.old.len() as u64;
            self.turn();
            self.young_memory = value.memory();
        }
        let hasher = &self.hasher;
        let entry = self.young.insert_unique(hash, (key, value), |(key, _)| hasher.hash_one(key));
        &mut entry.into_mut().1
    }

    fn turn(&mut self) {
        mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.young_memory = 0;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.young.iter().chain(&self.old).map(|(_, value)| value.memory()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Weight(usize);

    impl Heavy for Weight {
        fn memory(&self) -> usize {
            self.0
        }
    }

    const LIMITS: Limits = Limits { entries: 8, memory: 1000, idle: Duration::from_secs(10) };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_nanos(secs * 1_000_000_000).unwrap()
    }

    #[test]
    fn what_is_touched_stays() {
        let mut table = Recent::new(LIMITS);
        table.expire(at(0));
        table.put("idle", Weight(1));
        table.put("busy", Weight(1));
        for secs in [9, 18, 27, 36] {
            table.expire(at(secs));
            let busy = table.take(&"busy").expect("still there");
            table.put("busy", busy);
        }
        assert!(table.peek(&"idle").is_none());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn time_may_go_back() {
        let mut table = Recent::new(LIMITS);
        table.expire(at(1_000_000));
        table.put("before", Weight(1));
        // Interfaces are a little apart.
        table.expire(at(999_995));
        assert_eq!(table.len(), 1);
        table.expire(at(0));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn too_many_or_too_heavy_push_out_the_older_half() {
        let mut table = Recent::new(LIMITS);
        for number in 0..100 {
            table.put(number, Weight(0));
            assert!(table.len() <= LIMITS.entries);
            assert!(table.peek(&number).is_some());
        }
        for number in 0..100 {
            table.put(number, Weight(90));
            assert!(table.memory() <= LIMITS.memory + 90);
        }
        assert!((170..200).contains(&table.pushed_out()), "{}", table.pushed_out());
        // Putting one in again and again costs nobody else its place.
        let mut table = Recent::new(LIMITS);
        table.put(0, Weight(100));
        for _ in 0..100 {
            let again = table.take(&1).unwrap_or(Weight(100));
            table.put(1, again);
        }
        assert!(table.peek(&0).is_some());
        assert_eq!(table.pushed_out(), 0);
    }
}
