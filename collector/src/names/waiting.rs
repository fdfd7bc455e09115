//! What was asked and waits for an answer, for so long and so many at most.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;
use iotq_proto::Timestamp;
use slab::Slab;

/// Open requests `T`, by what a request and its answer have in common.
///
/// Requests are in two kinds of lists: all in the order in which they were asked,
/// and those of each key. Their places are used again, so that nothing is
/// allocated for a request.
#[derive(Debug)]
pub(super) struct Waiting<K, T> {
    limits: Limits,
    open: Slab<Open<K, T>>,
    /// The oldest of each key.
    firsts: HashTable<usize>,
    hasher: RandomState,
    /// Of all.
    oldest: Option<usize>,
    newest: Option<usize>,
    /// Requests given up before their time.
    pushed_out: u64,
}

/// How much is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long one waits, in packet time.
    pub(super) wait_ns: u64,
    /// How many wait in all.
    pub(super) requests: usize,
    /// How many wait under one key; they are searched from the first.
    pub(super) requests_at_key: usize,
}

#[derive(Debug)]
struct Open<K, T> {
    key: K,
    asked_at: Timestamp,
    request: T,
    /// Asked before and after this one.
    older: Option<usize>,
    newer: Option<usize>,
    /// The next one of the same key.
    next: Option<usize>,
}

impl<K: Copy + Eq + Hash, T> Waiting<K, T> {
    /// None is open.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: Slab::new(),
            firsts: HashTable::new(),
            hasher: RandomState::new(),
            oldest: None,
            newest: None,
            pushed_out: 0,
        }
    }

    /// Waits for another answer; what there is no room for any longer is given up.
    pub(super) fn add(&mut self, key: K, asked_at: Timestamp, request: T, mut give_up: impl FnMut(T)) {
        if self.open.len() >= self.limits.requests {
            self.pushed_out += 1;
            self.give_up_first(&mut give_up);
        }
        // Of those with its key the last one, and how many there are.
        let (mut last, mut count) = (None, 0);
        let mut here = self.first(&key);
        while let Some((index, open)) = here.and_then(|index| Some((index, self.open.get(index)?))) {
            (last, count, here) = (Some(index), count + 1, open.next);
        }
        if count >= self.limits.requests_at_key
            && let Some(given_up) = self.take(&key, |_| true)
        {
            self.pushed_out += 1;
            give_up(given_up);
            last = last.filter(|index| self.open.contains(*index));
        }
        let index = self.open.insert(Open { key, asked_at, request, older: self.newest, newer: None, next: None });
        match self.newest.replace(index).and_then(|before| self.open.get_mut(before)) {
            Some(before) => before.newer = Some(index),
            None => self.oldest = Some(index),
        }
        if let Some(last) = last.and_then(|last| self.open.get_mut(last)) {
            last.next = Some(index);
            return;
        }
        let (open, hasher) = (&self.open, &self.hasher);
        self.firsts.insert_unique(hasher.hash_one(key), index, |index| {
            open.get(*index).map_or(0, |open| hasher.hash_one(open.key))
        });
    }

    /// How many requests were given up before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// Takes out the oldest under the key that `is_it`.
    pub(super) fn take(&mut self, key: &K, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let mut before = None;
        let mut here = self.first(key)?;
        loop {
            let open = self.open.get(here)?;
            if is_it(&open.request) {
                return self.remove(here, before);
            }
            (before, here) = (Some(here), open.next?);
        }
    }

    /// Gives up what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp, mut give_up: impl FnMut(T)) {
        while let Some(first) = self.oldest.and_then(|index| self.open.get(index)) {
            // In both directions: where time went back, another stretch began.
            if first.asked_at.as_nanos().abs_diff(now.as_nanos()) <= self.limits.wait_ns {
                return;
            }
            self.give_up_first(&mut give_up);
        }
    }

    /// Gives up all.
    pub(super) fn finish(&mut self, mut give_up: impl FnMut(T)) {
        while self.oldest.is_some() {
            self.give_up_first(&mut give_up);
        }
    }

    /// Lets go of the request made first, which is also the first of its key.
    fn give_up_first(&mut self, give_up: &mut impl FnMut(T)) {
        if let Some(request) = self.oldest.and_then(|index| self.remove(index, None)) {
            give_up(request);
        }
    }

    fn first(&self, key: &K) -> Option<usize> {
        let is_it = |index: &usize| self.open.get(*index).is_some_and(|open| open.key == *key);
        self.firsts.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Takes a request out of all lists; `before` is the one before it under its
    /// key, if it is not the first.
    fn remove(&mut self, index: usize, before: Option<usize>) -> Option<T> {
        let hash = self.hasher.hash_one(self.open.get(index)?.key);
        let Open { request, older, newer, next, .. } = self.open.try_remove(index)?;
        match older.and_then(|older| self.open.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.open.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        if let Some(before) = before.and_then(|before| self.open.get_mut(before)) {
            before.next = next;
        } else if let Ok(mut first) = self.firsts.find_entry(hash, |first| *first == index) {
            match next {
                Some(next) => *first.get_mut() = next,
                None => _ = first.remove(),
            }
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { wait_ns: 10, requests: 8, requests_at_key: 3 };

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos).unwrap()
    }

    #[test]
    fn the_oldest_is_taken_and_the_overdue_is_given_up() {
        let mut waiting = Waiting::new(LIMITS);
        let mut given_up = Vec::new();
        for (nanos, request) in [(0, 'a'), (1, 'b'), (5, 'c')] {
            waiting.add(1, at(nanos), request, |request| given_up.push(request));
        }
        assert_eq!((waiting.take(&2, |_| true), waiting.take(&1, |_| true)), (None, Some('a')));
        waiting.expire(at(12), |request| given_up.push(request));
        assert_eq!(given_up, ['b']);
        waiting.expire(at(-6), |request| given_up.push(request));
        assert_eq!(given_up, ['b', 'c']);
        assert!(waiting.open.is_empty() && waiting.firsts.is_empty());
    }

    proptest! {
        /// What went in comes out once, and the limits hold at any time.
        #[test]
        fn nothing_is_lost_or_doubled(steps in proptest::collection::vec((0..4u8, 0..4u8, 0..50i64), 0..200)) {
            let mut waiting = Waiting::new(LIMITS);
            let mut out = Vec::new();
            let mut count = 0;
            for (step, key, nanos) in steps {
                match step {
                    0 => waiting.expire(at(nanos), |request| out.push(request)),
                    1 => out.extend(waiting.take(&key, |_| true)),
                    _ => {
                        waiting.add(key, at(nanos), count, |request| out.push(request));
                        count += 1;
                    }
                }
                prop_assert!(waiting.open.len() <= LIMITS.requests);
                for key in 0..4 {
                    let at_key = waiting.open.iter().filter(|(_, open)| open.key == key).count();
                    prop_assert!(at_key <= LIMITS.requests_at_key);
                }
            }
            waiting.finish(|request| out.push(request));
            prop_assert!(waiting.open.is_empty() && waiting.firsts.is_empty());
            out.sort_unstable();
            prop_assert_eq!(out, (0..count).collect::<Vec<_>>());
        }
    }
}
