//! Packets over time as bars.

use iotq_proto::v1::TimelinePoint;
use jiff::tz::TimeZone;

use crate::render::{Cell, Zoned};

/// Bars in a box of [`WIDTH`] by [`HEIGHT`].
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) bars: Vec<Bar>,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) highest: String,
}

/// One bar, in the units of the box.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    /// What it stands for, shown when pointed at.
    pub(super) title: String,
}

/// The points in bars of equal length; `None`: there are none.
pub(super) fn chart(
    points: &[TimelinePoint],
    since_ns: Option<i64>,
    until_ns: Option<i64>,
    time_zone: &TimeZone,
) -> Option<Chart> {
    let step_ns = |it: &TimelinePoint| i64::try_from(it.step_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    let first = points.iter().map(|it| it.at_ns).min()?;
    let last = points.iter().map(|it| it.at_ns.saturating_add(step_ns(it))).max()?;
    let from = since_ns.map_or(first, |since| since.min(first));
    let until = until_ns.unwrap_or(last).max(last).max(from.saturating_add(1));
    let length = i128::from(until) - i128::from(from);
    let step = i128::from(points.iter().map(step_ns).max().unwrap_or(1).max(1));
    // A point that is longer than a bar would leave the next ones empty.
    let bars = usize::try_from(length / step).unwrap_or(MAX_BARS).clamp(1, MAX_BARS);
    let count = i128::try_from(bars).unwrap_or(1);
    let mut heights = vec![0_u64; bars];
    for point in points {
        let at = (i128::from(point.at_ns) - i128::from(from)) * count / length;
        let at = usize::try_from(at).unwrap_or(0).min(bars - 1);
        if let Some(height) = heights.get_mut(at) {
            *height = height.saturating_add(point.packets);
        }
    }
    let highest = heights.iter().copied().max().unwrap_or(0).max(1);
    let at = |at_ns| Zoned { at_ns, time_zone }.format("%Y-%m-%d %H:%M");
    let packets = |number| Cell::Count(number).in_table(time_zone);
    let start_of = |index: usize| {
        let offset = length * i128::try_from(index).unwrap_or(0) / count;
        i64::try_from(i128::from(from) + offset).unwrap_or(until)
    };
    #[expect(clippy::cast_precision_loss, reason = "a pixel is coarser")]
    let bar = |(index, height): (usize, &u64)| {
        let width = WIDTH / bars as f64;
        let tall = *height as f64 / highest as f64 * HEIGHT;
        Bar {
            x: format!("{:.1}", index as f64 * width),
            y: format!("{:.1}", HEIGHT - tall),
            width: format!("{:.1}", (width * 0.85).max(0.5)),
            height: format!("{tall:.1}"),
            title: format!("{}: {} packets", at(start_of(index)), packets(*height)),
        }
    };
    let busiest = heights.iter().enumerate().max_by_key(|(_, height)| **height).map_or(0, |(index, _)| index);
    Some(Chart {
        title: format!("Packets from {} to {}", at(from), at(until)),
        description: format!(
            "The busiest stretch begins at {} with {} packets.",
            at(start_of(busiest)),
            packets(highest)
        ),
        bars: heights.iter().enumerate().filter(|(_, height)| **height > 0).map(bar).collect(),
        from: at(from),
        until: at(until),
        highest: format!("{} packets", packets(highest)),
    })
}

/// A bar an hour for a week, and wide enough to be seen on paper.
const MAX_BARS: usize = 168;
/// The box, in its own units; the template has the same numbers.
const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 120.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ns: i64, packets: u64) -> TimelinePoint {
        TimelinePoint { at_ns, packets, step_secs: 3_600, ..TimelinePoint::default() }
    }

    #[test]
    fn all_packets_are_in_some_bar() {
        let hour = 3_600_000_000_000;
        let points = [point(0, 5), point(hour, 1), point(hour * 2, 0), point(hour * 3, 10)];
        let chart = chart(&points, Some(0), Some(hour * 4), &TimeZone::UTC).unwrap();
        let bars: Vec<_> = chart.bars.iter().map(|bar| (bar.x.as_str(), bar.height.as_str())).collect();
        assert_eq!(bars, [("0.0", "60.0"), ("210.0", "12.0"), ("630.0", "120.0")]);
        assert_eq!(chart.description, "The busiest stretch begins at 1970-01-01 03:00 with 10 packets.");
    }

    #[test]
    fn extremes_are_drawn_too() {
        for (from, until) in [(i64::MIN, i64::MAX), (5, 5), (9, -9)] {
            let points = [point(i64::MIN, u64::MAX), point(i64::MAX, u64::MAX), point(0, 1)];
            assert!(chart(&points, Some(from), Some(until), &TimeZone::UTC).is_some());
            assert!(chart(&points, None, None, &TimeZone::UTC).is_some());
        }
        assert!(chart(&[], None, None, &TimeZone::UTC).is_none());
    }
}
