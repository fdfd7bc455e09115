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

/// Half-open stretches in seconds since 1970, and single seconds that the range
/// cuts. Together they are the range, and none meets another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pieces {
    pub(super) hours: (i64, i64),
    pub(super) minutes: [(i64, i64); 2],
    pub(super) seconds: [(i64, i64); 2],
    /// [`NO_SECOND`] where the range cuts none.
    pub(super) cut_seconds: [i64; 2],
}

/// Stands for "no bound": beyond every second the store holds (1900 to 2262), and
/// a multiple of an hour.
const NO_BOUND_SECS: i64 = 10_000_000_800;
/// No slice has this second.
const NO_SECOND: i64 = i64::MIN;

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
        let mut pieces =
            Pieces { hours: (0, 0), minutes: [(0, 0); 2], seconds: [(0, 0); 2], cut_seconds: [NO_SECOND; 2] };
        if self.since_or_least() >= self.until_or_greatest() {
            return pieces;
        }
        let first = self.since_ns.map_or(-NO_BOUND_SECS, |ns| up(ns, NANOS));
        let last = self.until_ns.map_or(NO_BOUND_SECS, |ns| ns.div_euclid(NANOS));
        if let Some(since) = self.since_ns.filter(|ns| ns.rem_euclid(NANOS) != 0) {
            pieces.cut_seconds[0] = since.div_euclid(NANOS);
        }
        if self.until_ns.is_some_and(|ns| ns.rem_euclid(NANOS) != 0) && pieces.cut_seconds[0] != last {
            pieces.cut_seconds[1] = last;
        }
        let (seconds, whole) = split((first, last), 60);
        if coarsest == Coarsest::Second {
            pieces.seconds = [(first, last.max(first)), (0, 0)];
            return pieces;
        }
        pieces.seconds = seconds;
        if coarsest == Coarsest::Minute {
            pieces.minutes = [whole, (0, 0)];
            return pieces;
        }
        (pieces.minutes, pieces.hours) = split(whole, 3600);
        pieces
    }
}

/// Cuts a stretch into what is before the first multiple of `unit`, whole units,
/// and what is after the last.
fn split((from, until): (i64, i64), unit: i64) -> ([(i64, i64); 2], (i64, i64)) {
    if from >= until {
        return ([(0, 0); 2], (0, 0));
    }
    let (first, last) = (up(from, unit) * unit, until.div_euclid(unit) * unit);
    if first >= last {
        return ([(from, until), (0, 0)], (0, 0));
    }
    ([(from, first), (last, until)], (first, last))
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
        assert_eq!(pieces.cut_seconds, [3599, NO_SECOND]);
        assert_eq!(pieces.hours, (3600, 10_800));
        assert_eq!(pieces.minutes, [(3600, 3600), (10_800, 10_860)]);
        assert_eq!(covered(&pieces), 10_861 - 3600);
        for coarsest in [Coarsest::Second, Coarsest::Minute] {
            assert_eq!(covered(&range.pieces(coarsest)), 10_861 - 3600, "{coarsest:?}");
        }
    }

    #[test]
    fn a_range_within_one_second_is_cut_once() {
        let range = TimeRange { since_ns: Some(1_200_000_000), until_ns: Some(1_300_000_000) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!((pieces.cut_seconds, covered(&pieces)), ([1, NO_SECOND], 0));
    }

    #[test]
    fn a_range_over_two_cut_seconds_has_no_whole_one() {
        let range = TimeRange { since_ns: Some(1_200_000_000), until_ns: Some(2_300_000_000) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!((pieces.cut_seconds, covered(&pieces)), ([1, 2], 0));
    }

    #[test]
    fn without_bounds_everything_is_hours() {
        let pieces = TimeRange { since_ns: None, until_ns: None }.pieces(Coarsest::Hour);
        assert_eq!(pieces.hours, (-NO_BOUND_SECS, NO_BOUND_SECS));
        assert_eq!(pieces.cut_seconds, [NO_SECOND; 2]);
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
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!((pieces.cut_seconds, covered(&pieces)), ([-2, NO_SECOND], 1));
    }
}
