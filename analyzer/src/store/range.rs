//! A range of packet time, cut into what the roll-ups can answer.

/// Half-open, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeRange {
    /// `None`: from the beginning.
    pub since_ns: Option<i64>,
    /// `None`: to the end.
    pub until_ns: Option<i64>,
}

/// The coarsest roll-up a question can be answered from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Coarsest {
    /// Slices.
    Second,
    /// `traffic_minute`.
    Minute,
    /// `traffic_hour`.
    Hour,
}

/// Half-open stretches in seconds since 1970, of which none meets another. Together they are
/// the range, but for parts of the first and the last second. What is empty is at 0, where hardly
/// any store has rows to look at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Pieces {
    pub(super) hours: (i64, i64),
    pub(super) minutes: [(i64, i64); 2],
    pub(super) seconds: [(i64, i64); 2],
}

/// Stands for "no bound": beyond every second the store holds (1900 to 2262), and
/// a multiple of an hour.
const NO_BOUND_SECS: i64 = 10_000_000_800;

impl TimeRange {
    /// The lower bound as a number that every instant is at or above.
    pub(super) fn since_or_least(self) -> i64 {
        self.since_ns.unwrap_or(i64::MIN)
    }

    /// The upper bound as a number that every instant is below.
    pub(super) fn until_or_greatest(self) -> i64 {
        self.until_ns.unwrap_or(i64::MAX)
    }

    /// First and last second that have a part in the range.
    pub(super) fn seconds(self) -> (i64, i64) {
        let first = self.since_ns.map_or(-NO_BOUND_SECS, |ns| ns.div_euclid(NANOS));
        let last = self.until_ns.map_or(NO_BOUND_SECS, |ns| ns.saturating_sub(1).div_euclid(NANOS));
        (first, last)
    }

    pub(super) fn pieces(self, coarsest: Coarsest) -> Pieces {
        let mut pieces = Pieces::default();
        if self.since_or_least() >= self.until_or_greatest() {
            return pieces;
        }
        let (first, last) = self.seconds();
        if coarsest == Coarsest::Second {
            pieces.seconds[0] = (first, last + 1);
            return pieces;
        }
        // A minute whose first second is cut is not whole.
        let from = self.since_ns.map_or(-NO_BOUND_SECS, |ns| up(ns, NANOS));
        let until = self.until_ns.map_or(NO_BOUND_SECS, |ns| ns.div_euclid(NANOS));
        let minutes = (up(from, 60) * 60, until.div_euclid(60) * 60);
        let last = if self.until_ns.is_some() { last + 1 } else { until };
        pieces.seconds = around((first, last), minutes);
        if coarsest == Coarsest::Minute {
            pieces.minutes[0] = or_none(minutes);
            return pieces;
        }
        let hours = (up(minutes.0, 3600) * 3600, minutes.1.div_euclid(3600) * 3600);
        pieces.minutes = around(or_none(minutes), hours);
        pieces.hours = or_none(hours);
        pieces
    }
}

/// What is left of a stretch before and after the units that are whole in it.
fn around((from, until): (i64, i64), whole: (i64, i64)) -> [(i64, i64); 2] {
    if whole.0 >= whole.1 {
        return [or_none((from, until)), (0, 0)];
    }
    [or_none((from, whole.0)), or_none((whole.1, until))]
}

fn or_none((from, until): (i64, i64)) -> (i64, i64) {
    if from < until { (from, until) } else { (0, 0) }
}

/// How many whole units begin before `value`, one that is begun included.
fn up(value: i64, unit: i64) -> i64 {
    value.div_euclid(unit) + i64::from(value.rem_euclid(unit) != 0)
}

const NANOS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(pieces: &Pieces) -> i64 {
        let stretches = [pieces.hours].into_iter().chain(pieces.minutes).chain(pieces.seconds);
        stretches.map(|(from, until)| until - from).sum()
    }

    #[test]
    fn pieces_make_up_the_range() {
        let range = TimeRange { since_ns: Some(3_599_500_000_000), until_ns: Some(10_861_000_000_000) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!(pieces.hours, (3600, 10_800));
        assert_eq!(pieces.minutes, [(0, 0), (10_800, 10_860)]);
        assert_eq!(pieces.seconds, [(3599, 3600), (10_860, 10_861)]);
        for coarsest in [Coarsest::Hour, Coarsest::Minute, Coarsest::Second] {
            assert_eq!(covered(&range.pieces(coarsest)), 10_861 - 3599, "{coarsest:?}");
        }
    }

    #[test]
    fn a_range_within_one_second_is_that_second() {
        let range = TimeRange { since_ns: Some(1_200_000_000), until_ns: Some(1_300_000_000) };
        assert_eq!(range.pieces(Coarsest::Hour), Pieces { seconds: [(1, 2), (0, 0)], ..Pieces::default() });
    }

    #[test]
    fn a_minute_whose_first_or_last_second_is_cut_is_not_whole() {
        let range = TimeRange { since_ns: Some(60_000_000_001), until_ns: Some(239_999_999_999) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!((pieces.seconds, pieces.minutes[0]), ([(60, 120), (180, 240)], (120, 180)));
        let whole = TimeRange { since_ns: Some(60_000_000_000), until_ns: Some(240_000_000_000) };
        assert_eq!(whole.pieces(Coarsest::Hour), Pieces { minutes: [(60, 240), (0, 0)], ..Pieces::default() });
    }

    #[test]
    fn without_bounds_everything_is_hours() {
        let pieces = TimeRange { since_ns: None, until_ns: None }.pieces(Coarsest::Hour);
        assert_eq!(pieces, Pieces { hours: (-NO_BOUND_SECS, NO_BOUND_SECS), ..Pieces::default() });
    }

    #[test]
    fn the_last_second_of_the_store_is_within_no_bounds() {
        let range = TimeRange { since_ns: None, until_ns: None };
        assert!(range.pieces(Coarsest::Hour).hours.1 > iotq_proto::Timestamp::MAX.second());
        assert!(range.seconds().1 > iotq_proto::Timestamp::MAX.second());
    }

    #[test]
    fn times_before_1970_are_cut_the_same() {
        let range = TimeRange { since_ns: Some(-1_500_000_000), until_ns: Some(0) };
        assert_eq!(range.pieces(Coarsest::Hour), Pieces { seconds: [(-2, 0), (0, 0)], ..Pieces::default() });
    }

    #[test]
    fn an_empty_range_has_no_pieces() {
        let range = TimeRange { since_ns: Some(5), until_ns: Some(5) };
        assert_eq!(range.pieces(Coarsest::Hour), Pieces::default());
    }
}
