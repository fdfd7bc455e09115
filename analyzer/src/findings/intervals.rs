//! Statistics of intervals that one wild value does not spoil: medians,
//! quartiles, and where values crowd. No means, no variances.

/// Median of the differences of sorted instants, in seconds; `None` below two instants.
///
/// Sorts `at_ns`.
#[must_use]
pub fn median_interval_secs(at_ns: &mut [i64]) -> Option<f64> {
    at_ns.sort_unstable();
    let mut intervals: Vec<f64> =
        at_ns.iter().zip(at_ns.iter().skip(1)).map(|(&from, &to)| secs_between(from, to)).collect();
    intervals.sort_unstable_by(f64::total_cmp);
    median(&intervals)
}

/// The seconds from `from` to `to`, 0 if `to` is earlier. Whatever the instants, there is no overflow.
pub(super) fn secs_between(from: i64, to: i64) -> f64 {
    if to <= from { 0.0 } else { to.abs_diff(from) as f64 / NANOS_PER_SEC }
}

/// The middle of sorted values, between the two middle ones if their number is even.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The median absolute deviation from `middle`.
pub(super) fn deviation(values: &[f64], middle: f64) -> Option<f64> {
    let mut away: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    away.sort_unstable_by(f64::total_cmp);
    median(&away)
}

/// Lower quartile, median and upper quartile: the quartiles are the medians of
/// the halves, to neither of which the middle one of an odd number belongs.
pub(super) fn quartiles(sorted: &[f64]) -> Option<(f64, f64, f64)> {
    let half = sorted.len() / 2;
    let lower = median(sorted.get(..half)?)?;
    let upper = median(sorted.get(sorted.len() - half..)?)?;
    Some((lower, median(sorted)?, upper))
}

/// The centres of the windows from `c (1 - width)` to `c (1 + width)` that hold most
/// of the sorted positive values, the fullest first, at most `limit`, none within another.
pub(super) fn crowds(sorted: &[f64], width: f64, limit: usize) -> Vec<f64> {
    let ratio = (1.0 + width) / (1.0 - width);
    let mut beyond = 0;
    let mut windows: Vec<(usize, f64)> = Vec::with_capacity(sorted.len());
    for (first, &low) in sorted.iter().enumerate() {
        while sorted.get(beyond).is_some_and(|&value| value <= low * ratio) {
            beyond += 1;
        }
        // The values need not fill the window: it is put round them.
        let high = sorted.get(beyond.saturating_sub(1)).copied().unwrap_or(low);
        windows.push((beyond - first, f64::midpoint(low, high)));
    }
    windows.sort_by_key(|&(held, _)| std::cmp::Reverse(held));
    let mut centres: Vec<f64> = Vec::with_capacity(limit);
    for (held, centre) in windows {
        if centres.len() == limit || held < CROWD {
            break;
        }
        if centres.iter().all(|taken| (centre - taken).abs() > width * taken) {
            centres.push(centre);
        }
    }
    centres
}

const NANOS_PER_SEC: f64 = 1e9;
/// Fewer like intervals than this are no period: the smallest stretch has more.
const CROWD: usize = 3;
