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
    /// `traffic_day`.
    Day,
}

/// Half-open stretches in seconds since 1970, of which none meets another. Together they are the range:
/// of seconds that are `cut`, only a part is in it. What is empty is at 0, where hardly any store has rows
/// to look at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Pieces {
    pub(super) days: (i64, i64),
    pub(super) hours: [(i64, i64); 2],
    pub(super) minutes: [(i64, i64); 2],
    pub(super) seconds: [(i64, i64); 2],
    pub(super) cut: [(i64, i64); 2],
}

/// Stands for "no bound": beyond every second the store holds (1900 to 2262), and
/// a multiple of a day.
const NO_BOUND_SECS: i64 = 9_999_936_000;

impl TimeRange {
    /// The lower bound as a number that every instant is at or above.
    pub(crate) fn since_or_least(self) -> i64 {
        self.since_ns.unwrap_or(i64::MIN)
    }

    /// The upper bound as a number that every instant is below.
    pub(crate) fn until_or_greatest(self) -> i64 {
        self.until_ns.unwrap_or(i64::MAX)
    }

    /// Whether an instant lies in it.
    pub(crate) fn contains(self, at_ns: i64) -> bool {
        self.since_ns.is_none_or(|since| at_ns >= since) && self.until_ns.is_none_or(|until| at_ns < until)
    }

    /// The same without its upper bound, where nothing is beyond that: what has no end is read in whole days or
    /// hours to its end.
    pub(super) fn unless_beyond(self, newest_at_ns: Option<i64>) -> Self {
        let is_beyond = self.until_ns.zip(newest_at_ns).is_some_and(|(until, newest)| until > newest);
        Self { until_ns: self.until_ns.filter(|_| !is_beyond), ..self }
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
        let from = self.since_ns.map_or(-NO_BOUND_SECS, |ns| up(ns, NANOS));
        let until = self.until_ns.map_or(NO_BOUND_SECS, |ns| ns.div_euclid(NANOS));
        let (first, last) = self.seconds();
        if from > until {
            pieces.cut[0] = (first, last + 1);
            return pieces;
        }
        pieces.cut = [or_none((first, from)), or_none((until, if self.until_ns.is_some() { last + 1 } else { until }))];
        if coarsest == Coarsest::Second {
            pieces.seconds[0] = or_none((from, until));
            return pieces;
        }
        // A minute whose first second is cut is not whole.
        let minutes = (up(from, 60) * 60, until.div_euclid(60) * 60);
        pieces.seconds = around((from, until), minutes);
        if coarsest == Coarsest::Minute {
            pieces.minutes[0] = or_none(minutes);
            return pieces;
        }
        let hours = (up(minutes.0, 3600) * 3600, minutes.1.div_euclid(3600) * 3600);
        pieces.minutes = around(or_none(minutes), hours);
        if coarsest == Coarsest::Hour {
            pieces.hours[0] = or_none(hours);
            return pieces;
        }
        let days = (up(hours.0, 86_400) * 86_400, hours.1.div_euclid(86_400) * 86_400);
        pieces.hours = around(or_none(hours), days);
        pieces.days = or_none(days);
        pieces
    }
}

impl Pieces {
    /// Whether there are whole hours.
    pub(super) fn has_hours(&self) -> bool {
        self.hours != [(0, 0); 2]
    }

    /// Whether there is nothing but whole hours or days.
    pub(super) fn is_of_hours(&self) -> bool {
        *self == Self { days: self.days, hours: self.hours, ..Self::default() }
    }

    /// Without stretches that begin after this: nothing is there.
    pub(super) fn up_to(mut self, newest_at_ns: Option<i64>) -> Self {
        let Some(newest) = newest_at_ns.map(|ns| ns.div_euclid(NANOS)) else { return self };
        let stretches = [&mut self.days].into_iter().chain(&mut self.hours).chain(&mut self.minutes);
        for stretch in stretches.chain(&mut self.seconds).chain(&mut self.cut) {
            if stretch.0 > newest {
                *stretch = (0, 0);
            }
        }
        self
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
        let stretches = [pieces.days].into_iter().chain(pieces.hours).chain(pieces.minutes);
        let stretches = stretches.chain(pieces.seconds).chain(pieces.cut);
        stretches.map(|(from, until)| until - from).sum()
    }

    #[test]
    fn pieces_make_up_the_range() {
        let range = TimeRange { since_ns: Some(3_599_500_000_000), until_ns: Some(10_861_000_000_000) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!(pieces.hours[0], (3600, 10_800));
        assert_eq!(pieces.minutes, [(0, 0), (10_800, 10_860)]);
        assert_eq!((pieces.cut, pieces.seconds), ([(3599, 3600), (0, 0)], [(0, 0), (10_860, 10_861)]));
        for coarsest in [Coarsest::Day, Coarsest::Hour, Coarsest::Minute, Coarsest::Second] {
            assert_eq!(covered(&range.pieces(coarsest)), 10_861 - 3599, "{coarsest:?}");
        }
        let range = TimeRange { since_ns: Some(-1_000_000_000), until_ns: Some(3 * 86_400_000_000_000 - 1) };
        let pieces = range.pieces(Coarsest::Day);
        assert_eq!((pieces.days, pieces.hours), ((0, 2 * 86_400), [(0, 0), (2 * 86_400, 3 * 86_400 - 3600)]));
        assert_eq!(covered(&pieces), 3 * 86_400 + 1);
    }

    #[test]
    fn a_range_within_one_second_is_that_second() {
        let range = TimeRange { since_ns: Some(1_200_000_000), until_ns: Some(1_300_000_000) };
        assert_eq!(range.pieces(Coarsest::Hour), Pieces { cut: [(1, 2), (0, 0)], ..Pieces::default() });
        let two = TimeRange { since_ns: Some(1_200_000_000), until_ns: Some(2_300_000_000) };
        assert_eq!(two.pieces(Coarsest::Hour), Pieces { cut: [(1, 2), (2, 3)], ..Pieces::default() });
    }

    #[test]
    fn a_range_that_nothing_is_beyond_has_no_end() {
        let range = TimeRange { since_ns: Some(3_600_000_000_000), until_ns: Some(7_300_500_000_000) };
        assert_eq!(range.unless_beyond(Some(7_300_500_000_000)), range, "the newest is not before the end");
        assert_eq!(range.unless_beyond(None), range);
        let pieces = range.unless_beyond(Some(7_300_499_999_999)).pieces(Coarsest::Hour);
        assert_eq!(pieces, Pieces { hours: [(3600, NO_BOUND_SECS), (0, 0)], ..Pieces::default() });
        let pieces = range.unless_beyond(Some(0)).pieces(Coarsest::Day);
        let expected = Pieces { days: (86_400, NO_BOUND_SECS), hours: [(3600, 86_400), (0, 0)], ..Pieces::default() };
        assert_eq!(pieces, expected);
    }

    #[test]
    fn what_begins_after_the_newest_is_left_out() {
        let range = TimeRange { since_ns: Some(3_599_500_000_000), until_ns: Some(10_861_000_000_000) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!(pieces.up_to(None), pieces);
        assert_eq!(pieces.up_to(Some(10_860_000_000_000)), pieces);
        let earlier = Pieces { seconds: [(0, 0), (0, 0)], ..pieces };
        assert_eq!(pieces.up_to(Some(10_859_999_999_999)), earlier);
        assert_eq!(pieces.up_to(Some(0)), Pieces::default());
    }

    #[test]
    fn a_minute_whose_first_or_last_second_is_cut_is_not_whole() {
        let range = TimeRange { since_ns: Some(60_000_000_001), until_ns: Some(239_999_999_999) };
        let pieces = range.pieces(Coarsest::Hour);
        assert_eq!((pieces.seconds, pieces.minutes[0]), ([(61, 120), (180, 239)], (120, 180)));
        assert_eq!(pieces.cut, [(60, 61), (239, 240)]);
        let whole = TimeRange { since_ns: Some(60_000_000_000), until_ns: Some(240_000_000_000) };
        assert_eq!(whole.pieces(Coarsest::Hour), Pieces { minutes: [(60, 240), (0, 0)], ..Pieces::default() });
    }

    #[test]
    fn without_bounds_everything_is_days_or_hours() {
        let all = TimeRange { since_ns: None, until_ns: None };
        let bounds = (-NO_BOUND_SECS, NO_BOUND_SECS);
        let hours = Pieces { hours: [bounds, (0, 0)], ..Pieces::default() };
        assert_eq!(all.pieces(Coarsest::Hour), hours);
        assert_eq!(all.pieces(Coarsest::Day), Pieces { days: bounds, ..Pieces::default() });
    }

    #[test]
    fn the_last_second_of_the_store_is_within_no_bounds() {
        let range = TimeRange { since_ns: None, until_ns: None };
        assert!(range.pieces(Coarsest::Hour).hours[0].1 > iotq_proto::Timestamp::MAX.second());
        assert!(range.pieces(Coarsest::Day).days.1 > iotq_proto::Timestamp::MAX.second());
        assert!(range.seconds().1 > iotq_proto::Timestamp::MAX.second());
    }

    #[test]
    fn times_before_1970_are_cut_the_same() {
        let range = TimeRange { since_ns: Some(-1_500_000_000), until_ns: Some(0) };
        let expected = Pieces { cut: [(-2, -1), (0, 0)], seconds: [(-1, 0), (0, 0)], ..Pieces::default() };
        assert_eq!(range.pieces(Coarsest::Hour), expected);
    }

    #[test]
    fn an_empty_range_has_no_pieces() {
        let range = TimeRange { since_ns: Some(5), until_ns: Some(5) };
        assert_eq!(range.pieces(Coarsest::Hour), Pieces::default());
    }
}
