//! Octets that arrive in pieces, put in order: the first of a TCP direction, a
//! QUIC CRYPTO stream, a fragmented DTLS handshake message.
//!
//! Bounded, whatever arrives: in octets and in the number of gaps. Where pieces
//! overlap, what came first stays.

use std::ops::Range;

/// The first octets of a stream, with gaps where none have come yet.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    /// Gaps are filled with zeros until their octets come.
    octets: Vec<u8>,
    /// What is there: not empty, not touching, ascending.
    there: Vec<Range<usize>>,
    limit: usize,
}

impl Gathered {
    /// Nothing yet, and never more than `limit` octets.
    pub(super) fn new(limit: usize) -> Self {
        Self { octets: Vec::new(), there: Vec::new(), limit }
    }

    /// Puts a piece where it belongs; what lies past the limit is left out, and a
    /// piece that would make one gap too many.
    pub(super) fn insert(&mut self, offset: usize, piece: &[u8]) {
        let end = offset.saturating_add(piece.len()).min(self.limit);
        let Some(piece) = end.checked_sub(offset).and_then(|length| piece.get(..length)) else {
            return;
        };
        // Those from `first` on end at or behind the piece's begin, those before `last` begin at or before its end.
        let first = self.there.partition_point(|range| range.end < offset);
        let last = self.there.partition_point(|range| range.start <= end);
        if piece.is_empty() || (first == last && self.there.len() >= MAX_PIECES) {
            return;
        }
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        let mut joined = offset..end;
        let mut next = offset;
        for range in self.there.drain(first..last) {
            copy(&mut self.octets, offset, piece, next..range.start);
            next = next.max(range.end);
            joined = joined.start.min(range.start)..joined.end.max(range.end);
        }
        copy(&mut self.octets, offset, piece, next..end);
        self.there.insert(first, joined);
    }

    /// Leaves out octets at the begin; offsets count from what remains.
    pub(super) fn drop_front(&mut self, count: usize) {
        self.octets.drain(..count.min(self.octets.len()));
        self.there.retain_mut(|range| {
            *range = range.start.saturating_sub(count)..range.end.saturating_sub(count);
            range.start < range.end
        });
    }

    /// What is there from the begin up to the first gap.
    pub(super) fn prefix(&self) -> &[u8] {
        let end = self.there.first().filter(|range| range.start == 0).map_or(0, |range| range.end);
        self.octets.get(..end).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.there.is_empty()
    }

    /// Whether the begin has as many octets as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.prefix().len() >= self.limit
    }

    /// How many octets of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.octets.capacity() + self.there.capacity() * size_of::<Range<usize>>()
    }
}

/// Fills `range` from a piece that begins at `offset`; nothing if the range is none.
fn copy(octets: &mut [u8], offset: usize, piece: &[u8], range: Range<usize>) {
    let source = range.start.checked_sub(offset).zip(range.end.checked_sub(offset));
    if let (Some((from, to)), Some(gap)) = (source, octets.get_mut(range)) {
        // Both are the same range, from another begin.
        if let Some(new) = piece.get(from..to) {
            gap.copy_from_slice(new);
        }
    }
}

/// Chrome cuts its hello into some ten pieces and shuffles them.
const MAX_PIECES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_octets_win() {
        let mut gathered = Gathered::new(8);
        gathered.insert(2, b"cd");
        gathered.insert(6, b"gh");
        assert_eq!(gathered.prefix(), b"");
        gathered.insert(1, b"XXXXXXXXXX");
        assert_eq!(gathered.prefix(), b"");
        gathered.insert(0, b"ab");
        assert_eq!(gathered.prefix(), b"aXcdXXgh");
        assert!(gathered.is_full());
        gathered.drop_front(6);
        assert_eq!(gathered.prefix(), b"gh");
    }

    #[test]
    fn gaps_are_limited() {
        let mut gathered = Gathered::new(4096);
        for at in 0..1000 {
            gathered.insert(1 + 2 * at, b"x");
        }
        assert_eq!(gathered.there.len(), MAX_PIECES);
        assert!(gathered.memory() < 3 * 4096);
        // What closes a gap is always welcome.
        gathered.insert(0, &[b'y'; 4096]);
        assert!(gathered.is_full());
        assert_eq!(gathered.there.len(), 1);
    }

    proptest! {
        /// Against a model that has an entry an octet.
        #[test]
        fn like_a_table_of_octets(
            pieces in prop::collection::vec((0_usize..80, prop::collection::vec(any::<u8>(), 0..30)), 0..20),
            drops in prop::collection::vec(prop::option::of(0_usize..20), 20),
        ) {
            let mut gathered = Gathered::new(64);
            let mut model = vec![None; 64];
            for ((offset, piece), dropped) in pieces.iter().zip(drops) {
                gathered.insert(*offset, piece);
                for (at, octet) in piece.iter().enumerate() {
                    if let Some(slot) = model.get_mut(offset + at) {
                        slot.get_or_insert(*octet);
                    }
                }
                if let Some(count) = dropped {
                    gathered.drop_front(count);
                    model.drain(..count);
                    model.resize(64, None);
                }
                let expected: Vec<u8> = model.iter().map_while(|octet| *octet).collect();
                prop_assert_eq!(gathered.prefix(), &expected);
            }
        }
    }
}
