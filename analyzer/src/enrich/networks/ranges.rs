//! Ranges of addresses, packed: where each begins, and what it is. A gap is a range
//! that is nothing.

/// Address ranges that do not overlap, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges<A> {
    /// Sorted. The end of a range is the beginning of the next one.
    starts: Vec<A>,
    /// As long as `starts`.
    values: Vec<u32>,
}

/// An address as a number.
pub(super) trait Address: Copy + Ord {
    /// The address after this one; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before this one, at least the first.
    fn before(self) -> Self;
    /// The last of all.
    const LAST: Self;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn before(self) -> Self {
        self.saturating_sub(1)
    }
    const LAST: Self = Self::MAX;
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn before(self) -> Self {
        self.saturating_sub(1)
    }
    const LAST: Self = Self::MAX;
}

/// A range as it was read: first and last address, and what it is.
pub(super) type Row<A> = (A, A, u32);

/// The value of a gap.
pub(super) const NOTHING: u32 = 0;

impl<A: Address> Ranges<A> {
    /// Packs ranges in any order. Where they overlap, the one that begins later is
    /// meant: it is the more specific one; of equal ones the first.
    pub(super) fn pack(mut rows: Vec<Row<A>>) -> Self {
        rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut packed = Self { starts: Vec::new(), values: Vec::new() };
        // Ranges that have begun and not ended: the last one counts.
        let mut open: Vec<(A, u32)> = Vec::new();
        for (first, last, value) in rows {
            packed.close_before(first, &mut open);
            packed.begin(first, value);
            // Those that it outlasts do not come back.
            while open.last().is_some_and(|(end, _)| *end <= last) {
                open.pop();
            }
            open.push((last, value));
        }
        while let Some((end, _)) = open.pop() {
            let Some(next) = end.next() else { continue };
            let value = open.last().map_or(NOTHING, |(_, value)| *value);
            packed.begin(next, value);
        }
        packed.starts.shrink_to_fit();
        packed.values.shrink_to_fit();
        packed
    }

    /// Ends the open ranges that end before this address.
    fn close_before(&mut self, first: A, open: &mut Vec<(A, u32)>) {
        while let Some((end, _)) = open.last().copied()
            && end < first
        {
            open.pop();
            let Some(next) = end.next() else { continue };
            self.begin(next, open.last().map_or(NOTHING, |(_, value)| *value));
        }
    }

    /// From here on it is this.
    fn begin(&mut self, first: A, value: u32) {
        if self.starts.last() == Some(&first) {
            self.starts.pop();
            self.values.pop();
        }
        // Neighbours that are the same are one range.
        if self.values.last().copied().unwrap_or(NOTHING) != value {
            self.starts.push(first);
            self.values.push(value);
        }
    }

    /// What the address is; [`NOTHING`] in a gap.
    pub(super) fn find(&self, address: A) -> u32 {
        let after = self.starts.partition_point(|start| *start <= address);
        after.checked_sub(1).and_then(|at| self.values.get(at)).copied().unwrap_or(NOTHING)
    }

    /// All that are something, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Row<A>> {
        let ends = self.starts.iter().skip(1).map(|start| start.before()).chain([A::LAST]);
        let rows = self.starts.iter().zip(ends).zip(&self.values);
        rows.map(|((first, last), value)| (*first, last, *value)).filter(|(.., value)| *value != NOTHING)
    }

    /// How many are something.
    pub(super) fn len(&self) -> usize {
        self.values.iter().filter(|value| **value != NOTHING).count()
    }

    /// What they take in memory.
    pub(super) fn size_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<A>() + self.values.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_are_nothing_and_ends_belong_to_the_range() {
        let ranges = Ranges::<u32>::pack(vec![(10, 19, 1), (30, 39, 2), (u32::MAX, u32::MAX, 3)]);
        let found: Vec<_> = [0, 9, 10, 19, 20, 30, 39, 40, u32::MAX].map(|at| ranges.find(at)).into();
        assert_eq!(found, [0, 0, 1, 1, 0, 2, 2, 0, 3]);
        assert_eq!(ranges.len(), 3);
    }

    #[test]
    fn the_specific_range_interrupts_the_general_one() {
        let ranges = Ranges::<u32>::pack(vec![(0, 99, 1), (20, 29, 2), (25, 25, 3), (95, 120, 4)]);
        let found: Vec<_> = [0, 19, 20, 25, 26, 30, 94, 95, 99, 100, 120, 121].map(|at| ranges.find(at)).into();
        assert_eq!(found, [1, 1, 2, 3, 2, 1, 1, 4, 4, 4, 4, 0]);
    }

    #[test]
    fn equal_neighbours_are_one() {
        let ranges = Ranges::<u128>::pack(vec![(0, 9, 1), (10, 19, 1), (20, 29, 2)]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 19, 1), (20, 29, 2)]);
    }

    proptest! {
        /// Against the rule said in words: of the ranges that have the address, the
        /// one that begins last, of those the shortest.
        #[test]
        fn every_address_has_its_most_specific_range(
            rows in prop::collection::vec((0_u32..60, 0_u32..20), 0..20)
        ) {
            // A value for each range, so that equal ones can be told apart only by place.
            let rows: Vec<_> =
                rows.iter().zip(1..).map(|((first, length), value)| (*first, first + length, value)).collect();
            let ranges = Ranges::pack(rows.clone());
            for at in 0..90_u32 {
                let best = rows
                    .iter()
                    .filter(|(first, last, _)| (*first..=*last).contains(&at))
                    .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))
                    .map(|(first, last, _)| (*first, *last));
                let found = ranges.find(at);
                let found = rows.iter().find(|row| row.2 == found).map(|(first, last, _)| (*first, *last));
                prop_assert_eq!(found, best, "at {}", at);
            }
            let again = Ranges::pack(ranges.iter().collect());
            prop_assert_eq!(again.starts, ranges.starts);
            prop_assert_eq!(again.values, ranges.values);
        }
    }
}
