//! Which numbers of batches are stored.

/// Numbers in stretches, each with how many there are below it.
#[derive(Debug, Default)]
pub(super) struct Seqs(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    first: u64,
    last: u64,
    below: u64,
}

impl Seqs {
    /// From stretches (first, last) in any order.
    pub(super) fn new(mut stretches: Vec<(u64, u64)>) -> Self {
        stretches.sort_unstable();
        let mut all = Vec::<Stretch>::new();
        for (first, last) in stretches {
            let mut below = 0;
            if let Some(before) = all.last_mut() {
                // The next, or there already.
                if first <= before.last.saturating_add(1) {
                    before.last = before.last.max(last);
                    continue;
                }
                below = before.below + (before.last - before.first) + 1;
            }
            all.push(Stretch { first, last, below });
        }
        Self(all)
    }

    /// How many numbers between these two are not there.
    pub(super) fn missing_between(&self, before: u64, after: u64) -> u64 {
        let Some(between) = after.checked_sub(before).and_then(|apart| apart.checked_sub(1)) else { return 0 };
        between.saturating_sub(self.below(after).saturating_sub(self.below(before.saturating_add(1))))
    }

    /// How many are there below this.
    fn below(&self, seq: u64) -> u64 {
        let next = self.0.partition_point(|stretch| stretch.first < seq);
        let Some(stretch) = next.checked_sub(1).and_then(|at| self.0.get(at)) else { return 0 };
        stretch.below + (seq - stretch.first).min(stretch.last - stretch.first + 1)
    }
}

/// The numbers that the bits of a word of 64 stand for.
pub(super) fn of_bits(word: i64, bits: u64) -> impl Iterator<Item = (u64, u64)> {
    let base = u64::try_from(word).unwrap_or_default().saturating_mul(64);
    let is_full = bits == u64::MAX;
    let all = is_full.then_some((base, base.saturating_add(63)));
    let some = (0..64).filter(move |bit| !is_full && bits & (1 << bit) != 0).map(move |bit| (base + bit, base + bit));
    all.into_iter().chain(some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_and_not_there_is_missing() {
        let seqs = Seqs::new(vec![(10, 12), (1, 3), (4, 4), (20, 20), (11, 13)]);
        assert_eq!(seqs.missing_between(4, 10), 5);
        assert_eq!(seqs.missing_between(3, 10), 5);
        assert_eq!(seqs.missing_between(13, 20), 6);
        assert_eq!(seqs.missing_between(4, 20), 5 + 6);
        assert_eq!((seqs.missing_between(1, 2), seqs.missing_between(2, 2), seqs.missing_between(9, 2)), (0, 0, 0));
        assert_eq!(seqs.missing_between(20, 23), 2);
        assert_eq!(seqs.missing_between(0, u64::MAX), u64::MAX - 1 - 9);
        assert_eq!(Seqs::default().missing_between(5, 8), 2);
    }

    #[test]
    fn bits_are_numbers() {
        assert_eq!(of_bits(2, 0b101).collect::<Vec<_>>(), [(128, 128), (130, 130)]);
        assert_eq!(of_bits(1, u64::MAX).collect::<Vec<_>>(), [(64, 127)]);
        assert_eq!(of_bits(0, 1 << 63).collect::<Vec<_>>(), [(63, 63)]);
    }
}
