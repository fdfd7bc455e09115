//! What was asked and waits for an answer, for so long and so many at most.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use ahash::RandomState;
use iotq_proto::Timestamp;

/// Open requests `T`, by what a request and its answer have in common.
#[derive(Debug)]
pub(super) struct Waiting<K, T> {
    limits: Limits,
    open: HashMap<K, VecDeque<Open<T>>, RandomState>,
    /// Every request put into `open`, in that order; some have been answered since.
    asked: VecDeque<(K, u64)>,
    /// Of the next request.
    number: u64,
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
struct Open<T> {
    number: u64,
    asked_at: Timestamp,
    request: T,
}

impl<K: Copy + Eq + Hash, T> Waiting<K, T> {
    /// None is open.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: HashMap::default(), asked: VecDeque::new(), number: 0, pushed_out: 0 }
    }

    /// Waits for another answer; what there is no room for any longer is given up.
    pub(super) fn add(&mut self, key: K, asked_at: Timestamp, request: T, mut give_up: impl FnMut(T)) {
        let mut pushed_out = 0;
        if self.asked.len() >= self.limits.requests {
            self.give_up_first(&mut |request| {
                pushed_out += 1;
                give_up(request);
            });
        }
        let number = self.number;
        self.number += 1;
        self.asked.push_back((key, number));
        // Most wait alone; the room a growing queue takes would be for four.
        let same = self.open.entry(key).or_insert_with(|| VecDeque::with_capacity(1));
        if same.len() >= self.limits.requests_at_key
            && let Some(first) = same.pop_front()
        {
            pushed_out += 1;
            give_up(first.request);
        }
        self.pushed_out += pushed_out;
        same.push_back(Open { number, asked_at, request });
    }

    /// How many requests were given up before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// Takes out the oldest under the key that `is_it`.
    pub(super) fn take(&mut self, key: &K, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let same = self.open.get_mut(key)?;
        let at = same.iter().position(|open| is_it(&open.request))?;
        let taken = same.remove(at);
        if same.is_empty() {
            self.open.remove(key);
        }
        taken.map(|open| open.request)
    }

    /// Gives up what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp, mut give_up: impl FnMut(T)) {
        while let Some((key, number)) = self.asked.front() {
            let first = self.open.get(key).and_then(|same| same.iter().find(|open| open.number == *number));
            // In both directions: where time went back, another stretch began.
            if first.is_some_and(|open| open.asked_at.as_nanos().abs_diff(now.as_nanos()) <= self.limits.wait_ns) {
                return;
            }
            self.give_up_first(&mut give_up);
        }
    }

    /// Gives up all.
    pub(super) fn finish(&mut self, mut give_up: impl FnMut(T)) {
        while !self.asked.is_empty() {
            self.give_up_first(&mut give_up);
        }
    }

    /// Lets go of the request made first, if it is still open without an answer.
    fn give_up_first(&mut self, give_up: &mut impl FnMut(T)) {
        let Some((key, number)) = self.asked.pop_front() else {
            return;
        };
        let Some(same) = self.open.get_mut(&key) else {
            return;
        };
        if let Some(open) = same.iter().position(|open| open.number == number).and_then(|at| same.remove(at)) {
            give_up(open.request);
        }
        if same.is_empty() {
            self.open.remove(&key);
        }
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
        assert!(waiting.open.is_empty() && waiting.asked.is_empty());
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
                prop_assert!(waiting.asked.len() <= LIMITS.requests);
                prop_assert!(waiting.open.values().all(|same| (1..=LIMITS.requests_at_key).contains(&same.len())));
            }
            waiting.finish(|request| out.push(request));
            prop_assert!(waiting.open.is_empty());
            out.sort_unstable();
            prop_assert_eq!(out, (0..count).collect::<Vec<_>>());
        }
    }
}
