//! How much a series looks like a beacon, 0 to 1, as RITA v5 counts it.
//!
//! The formulas are those of RITA v5 (`github.com/activecm/rita`, `analysis/beacons.go`, and the thresholds of its
//! `default_config.hjson`); the code is ours. The score is the mean of four:
//!
//! - **times**: mean of 1 − |Bowley's skew| and (median − MAD) / median of the intervals, where the skew is
//!   (Q1 + Q3 − 2 Q2) / (Q3 − Q1), and 0 if Q3 − Q1 is below 10 seconds or the median is a quartile;
//! - **sizes**: the same of the octets of the beats;
//! - **duration**: the greater of (last − first beat) / range, and (longest run of bars with beats) / 12 hours;
//!   0 if less than 6 of 24 bars have beats;
//! - **histogram**: of beats a bar; the greater of 1 − standard deviation / mean, and the part of the bars that
//!   have one of the two most frequent heights (to 5 % of the highest; one bar is left out as a stray; 0 below 11 of
//!   24 bars).
//!
//! What differs. RITA looks at all connections of two hosts in 24 hours and has a bar an hour; we look at the beats of
//! one stretch, in the range from the first to the last event of its series, with up to 24 bars of at least two
//! periods each, and as many of them as RITA demands of 24. Times are not cut to seconds, nor results rounded.

use std::ops::RangeInclusive;

use super::intervals::{deviation, median, quartiles, secs_between};

/// The mean of the four scores; 0 below [`MIN_INTERVALS`] intervals.
///
/// `at_ns` is sorted, `sizes` sorted by size; `range` is what was looked at.
pub(super) fn score(at_ns: &[i64], sizes: &[f64], range: RangeInclusive<i64>) -> f64 {
    let mut intervals: Vec<f64> =
        at_ns.iter().zip(at_ns.iter().skip(1)).map(|(&from, &to)| secs_between(from, to)).collect();
    intervals.retain(|&secs| secs > 0.0);
    intervals.sort_unstable_by(f64::total_cmp);
    if intervals.len() < MIN_INTERVALS {
        return 0.0;
    }
    let histogram = Histogram::of(at_ns, &intervals, &range);
    let scores = [
        statistical(&intervals, 1.0),
        statistical(sizes, 0.0),
        histogram.duration_score(at_ns, &range),
        histogram.score(),
    ];
    scores.iter().sum::<f64>() / 4.0
}

/// The mean of symmetry and of closeness to the median; `otherwise` is the closeness where the median is below 1.
fn statistical(sorted: &[f64], otherwise: f64) -> f64 {
    let Some((lower, middle, upper)) = quartiles(sorted) else { return 0.0 };
    let spread = upper - lower;
    let skew = if spread < MIN_SPREAD || middle <= lower || middle >= upper {
        0.0
    } else {
        (lower + upper - 2.0 * middle) / spread
    };
    let closeness = if middle < 1.0 {
        otherwise
    } else {
        deviation(sorted, middle).map_or(0.0, |deviation| ((middle - deviation) / middle).max(0.0))
    };
    f64::midpoint(1.0 - skew.abs(), closeness)
}

/// How many beats each equal part of the range has.
struct Histogram {
    bars: Vec<u32>,
}

impl Histogram {
    fn of(at_ns: &[i64], intervals: &[f64], range: &RangeInclusive<i64>) -> Self {
        let span = secs_between(*range.start(), *range.end());
        let period = median(intervals).unwrap_or(span);
        let wanted = (span / (BEATS_PER_BAR * period)).floor();
        let count = (1..=BARS).rev().find(|&bars| f64::from(bars) <= wanted).unwrap_or(1);
        let mut bars = vec![0; usize::try_from(count).unwrap_or(1)];
        let mut at = at_ns.iter().peekable();
        for (bar, until) in bars.iter_mut().zip(1..=count) {
            let end = span * f64::from(until) / f64::from(count);
            while at.next_if(|&&at| until == count || secs_between(*range.start(), at) < end).is_some() {
                *bar += 1;
            }
        }
        Self { bars }
    }

    /// The better of evenness, and of how many bars have one of the two most frequent heights.
    fn score(&self) -> f64 {
        self.evenness().max(self.two_heights())
    }

    /// One minus the coefficient of variation, at least 0.
    fn evenness(&self) -> f64 {
        let count = self.bars.len().max(1) as f64;
        let mean = self.bars.iter().map(|&bar| f64::from(bar)).sum::<f64>() / count;
        if mean <= 0.0 {
            return 0.0;
        }
        let variance = self.bars.iter().map(|&bar| (f64::from(bar) - mean).powi(2)).sum::<f64>() / count;
        (1.0 - variance.sqrt() / mean).max(0.0)
    }

    fn two_heights(&self) -> f64 {
        let filled = self.filled();
        if filled < self.share(BIMODAL_BARS) {
            return 0.0;
        }
        let step = (f64::from(self.bars.iter().copied().max().unwrap_or(0)) * HEIGHT_STEP).ceil().max(1.0);
        let mut heights: Vec<f64> =
            self.bars.iter().filter(|&&bar| bar > 0).map(|&bar| (f64::from(bar) / step).floor()).collect();
        heights.sort_unstable_by(f64::total_cmp);
        let mut counts: Vec<usize> = heights.chunk_by(|a, b| a == b).map(<[f64]>::len).collect();
        counts.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        let fitting = counts.iter().take(2).sum::<usize>();
        (fitting as f64 / filled.saturating_sub(1).max(1) as f64).min(1.0)
    }

    /// The better of the part of the range covered, and of the longest run of bars; 0 if few bars have beats.
    fn duration_score(&self, at_ns: &[i64], range: &RangeInclusive<i64>) -> f64 {
        let (Some(&first), Some(&last)) = (at_ns.first(), at_ns.last()) else { return 0.0 };
        if self.filled() < self.share(DURATION_BARS) {
            return 0.0;
        }
        let span = secs_between(*range.start(), *range.end());
        let coverage = if span > 0.0 { secs_between(first, last) / span } else { 0.0 };
        let consistency = self.longest_run() as f64 / self.share(CONSISTENT_BARS) as f64;
        coverage.max(consistency).min(1.0)
    }

    fn filled(&self) -> usize {
        self.bars.iter().filter(|&&bar| bar > 0).count()
    }

    /// The longest run of bars with beats, from the last on to the first as round a clock.
    fn longest_run(&self) -> usize {
        let twice = self.bars.iter().chain(&self.bars);
        let (longest, _) = twice.fold((0, 0), |(longest, run), &bar| {
            let run = if bar > 0 { run + 1 } else { 0 };
            (run.max(longest), run)
        });
        longest.min(self.bars.len())
    }

    /// As many of these bars as `of_24` are of 24, at least 1.
    fn share(&self, of_24: usize) -> usize {
        (self.bars.len() * of_24).div_ceil(24).max(1)
    }
}

/// RITA: three intervals, for the quartiles.
const MIN_INTERVALS: usize = 3;
/// RITA: quartiles nearer than this (seconds, octets) are not skewed, whatever lies between.
const MIN_SPREAD: f64 = 10.0;
/// RITA: a day has 24.
const BARS: u32 = 24;
/// Narrower bars would be uneven because of where they begin, not because of the beats.
const BEATS_PER_BAR: f64 = 2.0;
/// RITA `histogram_bimodal_min_hours_seen`, of 24.
const BIMODAL_BARS: usize = 11;
/// RITA `histogram_mode_sensitivity`: bars as high as each other, to a part of the highest.
const HEIGHT_STEP: f64 = 0.05;
/// RITA `duration_min_hours_seen`, of 24.
const DURATION_BARS: usize = 6;
/// RITA `duration_consistency_ideal_hours_seen`, of 24.
const CONSISTENT_BARS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: i64 = 60_000_000_000;

    fn minutes(count: i64) -> Vec<i64> {
        (0..count).map(|beat| beat * MINUTE_NS).collect()
    }

    #[test]
    fn a_clock_scores_one() {
        assert_eq!(score(&minutes(25), &[120.0; 25], 0..=24 * MINUTE_NS), 1.0);
    }

    #[test]
    fn a_tenth_of_the_range_scores_for_times_and_sizes_only() {
        assert_eq!(score(&minutes(25), &[120.0; 25], 0..=250 * MINUTE_NS), 0.5);
    }

    #[test]
    fn skew_and_deviation_lower_the_score() {
        // Quartiles 20, 45 and 100; deviations from the median 15, 15, 25, 25, 55, 55.
        let skew = 1.0 - (20.0 + 100.0 - 90.0) / 80.0;
        let closeness = (45.0 - 25.0) / 45.0;
        let found = statistical(&[20.0, 20.0, 30.0, 60.0, 100.0, 100.0], 1.0);
        assert!((found - (skew + closeness) / 2.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn quartiles_that_are_near_are_not_skewed() {
        assert_eq!(statistical(&[50.0, 50.0, 51.0, 59.0], 1.0), f64::midpoint(1.0, 50.0 / 50.5));
    }

    #[test]
    fn a_run_of_bars_goes_on_at_the_begin() {
        let histogram = Histogram { bars: vec![1, 1, 0, 0, 1, 1, 1] };
        assert_eq!((histogram.longest_run(), histogram.filled()), (5, 5));
    }

    #[test]
    fn two_heights_are_as_good_as_one() {
        let histogram = Histogram { bars: [10, 3].repeat(12) };
        assert_eq!(histogram.score(), 1.0);
        assert!(histogram.evenness() < 0.5);
    }

    #[test]
    fn three_beats_are_no_beacon() {
        assert_eq!(score(&minutes(3), &[1.0; 3], 0..=2 * MINUTE_NS), 0.0);
        assert_eq!(score(&[i64::MIN, i64::MAX, i64::MAX, i64::MAX], &[0.0; 4], i64::MIN..=i64::MAX), 0.0);
    }
}
