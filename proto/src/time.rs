//! Instants.

/// An instant as nanoseconds since 1970 (UTC, no leap seconds), within what
/// ClickHouse's `DateTime64(9)` holds: 1900-01-01 to 2262-04-11.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1900-01-01T00:00:00Z, the earliest instant of `DateTime64(9)`.
    pub const MIN: Self = Self(-2_208_988_800 * NANOS_PER_SEC);
    /// The end of the last whole second before 2^63 ns (2262-04-11T23:47:15.999999999Z):
    /// a slice's second and what lies in it both fit.
    pub const MAX: Self = Self(i64::MAX / NANOS_PER_SEC * NANOS_PER_SEC - 1);

    /// From nanoseconds since 1970; `None` if out of range.
    #[must_use]
    #[inline]
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&nanos).then_some(Self(nanos))
    }

    /// The nearest instant in range, and whether that is another one.
    #[must_use]
    pub fn nearest(nanos: i128) -> (Self, bool) {
        match i64::try_from(nanos).ok().and_then(Self::from_nanos) {
            Some(at) => (at, false),
            None if nanos < 0 => (Self::MIN, true),
            None => (Self::MAX, true),
        }
    }

    /// Nanoseconds since 1970.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The second it lies in, counted since 1970, rounded down.
    #[must_use]
    #[inline]
    pub const fn second(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// Nanoseconds since the begin of its second.
    #[must_use]
    #[inline]
    pub const fn subsec_nanos(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of 10^9 is in 0..10^9")]
        {
            self.0.rem_euclid(NANOS_PER_SEC) as u32
        }
    }
}

const NANOS_PER_SEC: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_out_of_range_become_the_nearest() {
        assert_eq!(Timestamp::nearest(18_446_744_073_204_277_000_000_000), (Timestamp::MAX, true));
        assert_eq!(Timestamp::nearest(i128::MIN), (Timestamp::MIN, true));
        assert_eq!(Timestamp::nearest(0), (Timestamp::default(), false));
    }

    #[test]
    fn a_second_and_its_rest_make_the_instant() {
        for nanos in [Timestamp::MIN.0, -1, 0, 1_500_000_000, Timestamp::MAX.0] {
            let at = Timestamp::from_nanos(nanos).unwrap();
            assert_eq!(i128::from(at.second()) * 1_000_000_000 + i128::from(at.subsec_nanos()), i128::from(nanos));
        }
    }
}
