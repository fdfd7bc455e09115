//! The time axis: which column an instant falls into, and where labels stand.

use jiff::tz::TimeZone;

use crate::render::units::Zoned;

/// Columns of equal length over a range of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from_ns: i64,
    until_ns: i64,
    /// How long a bar is.
    bar_secs: u64,
    /// How many bars there are.
    bars: usize,
    /// How many characters wide each is.
    bar_width: usize,
}

impl Axis {
    /// As many columns as fit: several steps in one where there are many,
    /// several columns for one step where there are few.
    pub(super) fn new(from_ns: i64, until_ns: i64, step_secs: u64, width: usize) -> Self {
        let step_secs = step_secs.max(1);
        let step_ns = i128::from(step_secs) * NANOS_PER_SEC;
        // Points lie on multiples of the step, and so does the first bar.
        let start = i128::from(from_ns).div_euclid(step_ns) * step_ns;
        let from_ns = i64::try_from(start).unwrap_or(from_ns);
        let length = (i128::from(until_ns) - i128::from(from_ns)).max(1).unsigned_abs();
        let steps = length.div_ceil(step_ns.unsigned_abs());
        let steps_a_bar = steps.div_ceil(width.max(1) as u128).max(1);
        let bar_secs = round_up(step_secs.saturating_mul(u64::try_from(steps_a_bar).unwrap_or(u64::MAX)), step_secs);
        let bar_ns = u128::from(bar_secs) * NANOS_PER_SEC.unsigned_abs();
        let bars = usize::try_from(length.div_ceil(bar_ns)).unwrap_or(width).max(1);
        Self { from_ns, until_ns, bar_secs, bars, bar_width: (width / bars).clamp(1, MAX_BAR_WIDTH) }
    }

    /// Characters it is wide.
    pub(super) fn columns(&self) -> usize {
        self.bars * self.bar_width
    }

    /// How long a bar is.
    pub(super) fn column_secs(&self) -> u64 {
        self.bar_secs
    }

    /// Where it begins and ends; the last bar may reach further.
    pub(super) fn range_ns(&self) -> (i64, i64) {
        (self.from_ns, self.until_ns)
    }

    /// The height of each column; where there is no point it is zero.
    pub(super) fn heights(&self, points: &[(i64, u64)]) -> Vec<u64> {
        let mut bars = vec![0_u64; self.bars];
        for (at_ns, amount) in points {
            let offset = i128::from(*at_ns) - i128::from(self.from_ns);
            let index = usize::try_from(offset.div_euclid(self.bar_ns())).ok();
            if let Some(bar) = index.and_then(|index| bars.get_mut(index)) {
                *bar = bar.saturating_add(*amount);
            }
        }
        bars.iter().flat_map(|bar| std::iter::repeat_n(*bar, self.bar_width)).collect()
    }

    /// The line with its ticks, and the labels below it.
    pub(super) fn draw(&self, time_zone: &TimeZone) -> (String, String) {
        let (tick_secs, format, label_width) = self.ticks();
        let mut line = vec!['─'; self.columns()];
        let mut labels = String::new();
        let tick_ns = i128::from(tick_secs) * NANOS_PER_SEC;
        // Ticks are round in local time.
        let offset_ns = i128::from(offset_secs(self.from_ns, time_zone)) * NANOS_PER_SEC;
        let local_from = i128::from(self.from_ns) + offset_ns;
        let first = local_from.div_euclid(tick_ns) * tick_ns;
        let first = if first < local_from { first + tick_ns } else { first };
        for tick in (0..=self.columns() as i128).map(|index| first + index * tick_ns) {
            let column = (tick - local_from) * self.bar_width as i128 / self.bar_ns();
            let Some(column) = usize::try_from(column).ok().filter(|column| *column < self.columns()) else { break };
            if let Some(place) = line.get_mut(column) {
                *place = '┬';
            }
            let Ok(at_ns) = i64::try_from(tick - offset_ns) else { continue };
            // The last label may not fit; one on top of another must not be.
            if column + label_width <= self.columns() && labels.len() <= column {
                labels.push_str(&" ".repeat(column - labels.len()));
                labels.push_str(&Zoned { at_ns, time_zone }.format(format));
            }
        }
        (line.into_iter().collect(), labels)
    }

    /// The shortest distance of ticks at which their labels do not touch, and
    /// how labels are written at that distance.
    fn ticks(&self) -> (u64, &'static str, usize) {
        let several_days = self.bars as u128 * u128::from(self.bar_secs) > 86_400;
        let label = |tick_secs: u64| match tick_secs {
            ..60 => ("%H:%M:%S", 8),
            60..86_400 if several_days => ("%b %d %H:%M", 12),
            60..86_400 => ("%H:%M", 5),
            86_400..10_000_000 => ("%Y-%m-%d", 10),
            _ => ("%Y-%m", 7),
        };
        let fits = |tick_secs: &u64| {
            let columns = u128::from(*tick_secs) * self.bar_width as u128 / u128::from(self.bar_secs.max(1));
            columns >= label(*tick_secs).1 as u128 + 2
        };
        let tick_secs = TICKS_SECS.into_iter().find(fits).unwrap_or(u64::from(u32::MAX));
        let (format, width) = label(tick_secs);
        (tick_secs, format, width)
    }

    fn bar_ns(&self) -> i128 {
        i128::from(self.bar_secs.max(1)) * NANOS_PER_SEC
    }
}

/// The next round length of a bar that is a multiple of the step, if that does
/// not make the plot much narrower.
fn round_up(bar_secs: u64, step_secs: u64) -> u64 {
    let fits = |round: &u64| *round >= bar_secs && round.is_multiple_of(step_secs);
    let round = if bar_secs == step_secs { None } else { TICKS_SECS.into_iter().find(fits) };
    round.filter(|round| *round < bar_secs.saturating_mul(2)).unwrap_or(bar_secs)
}

fn offset_secs(at_ns: i64, time_zone: &TimeZone) -> i32 {
    let at = jiff::Timestamp::from_nanosecond(at_ns.into());
    at.map_or(0, |at| time_zone.to_offset(at).seconds())
}

const NANOS_PER_SEC: i128 = 1_000_000_000;
/// Wider bars would look like a plateau.
const MAX_BAR_WIDTH: usize = 4;
/// Round distances, from a second to a hundred years.
const TICKS_SECS: [u64; 31] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_200,
    1_800,
    3_600,
    7_200,
    10_800,
    14_400,
    21_600,
    28_800,
    43_200,
    86_400,
    172_800,
    604_800,
    1_209_600,
    2_592_000,
    7_776_000,
    15_552_000,
    31_536_000,
    157_680_000,
    315_360_000,
    3_153_600_000,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn an_hour_of_minutes_fits_as_it_is() {
        let axis = Axis::new(0, HOUR, 60, 70);
        assert_eq!((axis.columns(), axis.column_secs()), (60, 60));
        let (line, labels) = axis.draw(&TimeZone::UTC);
        assert_eq!(line, "┬─────────┬─────────┬─────────┬─────────┬─────────┬─────────");
        assert_eq!(labels, "00:00     00:10     00:20     00:30     00:40     00:50");
    }

    #[test]
    fn many_steps_share_a_column_and_few_are_widened() {
        let day = Axis::new(0, 24 * HOUR, 60, 70);
        assert_eq!((day.columns(), day.column_secs()), (48, 30 * 60));
        let minutes = Axis::new(0, HOUR / 4, 60, 70);
        assert_eq!((minutes.columns(), minutes.column_secs()), (60, 60));
        assert_eq!(minutes.heights(&[(0, 7)]).iter().filter(|height| **height == 7).count(), 4);
    }

    #[test]
    fn missing_points_are_zero() {
        let axis = Axis::new(0, 4_000_000_000, 1, 4);
        assert_eq!(axis.heights(&[(1_000_000_000, 5), (1_500_000_000, 1), (-1, 9), (4_000_000_000, 9)]), [0, 6, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_range_can_be_drawn(from: i64, until: i64, step in 0u64..10_000_000, width in 0usize..300, at: i64) {
            let axis = Axis::new(from.min(until), from.max(until), step, width);
            prop_assert!(axis.columns() <= width.max(1));
            prop_assert_eq!(axis.heights(&[(at, 1)]).len(), axis.columns());
            let (line, labels) = axis.draw(&TimeZone::UTC);
            prop_assert_eq!(line.chars().count(), axis.columns());
            prop_assert!(labels.chars().count() <= axis.columns());
        }

        #[test]
        fn nothing_within_the_range_is_left_out(from: i32, length in 1i64..100_000, step in 1u64..1000, at in 0i64..100_000) {
            let from = i64::from(from) * 1_000_000_000;
            let at = from + at % length * 1_000_000_000;
            let axis = Axis::new(from, from + length * 1_000_000_000, step, 60);
            prop_assert!(axis.heights(&[(at, 1)]).contains(&1));
        }
    }
}
