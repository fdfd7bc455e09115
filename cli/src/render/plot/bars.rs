//! Heights as block characters.

/// Rows of a plot, the uppermost first, `rows` high in all.
pub(super) fn full_rows(heights: &[u64], max: u64, rows: usize) -> Vec<String> {
    let eighths: Vec<_> = heights.iter().map(|height| scaled(*height, max, rows * 8)).collect();
    let row = |index: usize| {
        let below = (rows - 1 - index) * 8;
        eighths.iter().map(|eighths| block(eighths.saturating_sub(below))).collect()
    };
    (0..rows).map(row).collect()
}

/// A plot one row high.
pub(super) fn block_row(heights: &[u64], max: u64) -> String {
    heights.iter().map(|height| block(scaled(*height, max, 8))).collect()
}

/// Rounded up: what is not nothing is seen.
fn scaled(height: u64, max: u64, steps: usize) -> usize {
    if max == 0 {
        return 0;
    }
    let scaled = (u128::from(height) * steps as u128).div_ceil(u128::from(max));
    usize::try_from(scaled).unwrap_or(steps).min(steps)
}

/// Filled by so many eighths from below.
fn block(eighths: usize) -> char {
    BLOCKS.get(eighths).copied().unwrap_or('█')
}

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_seen_and_nothing_is_not() {
        assert_eq!(block_row(&[0, 1, 500, 1000], 1000), " ▁▄█");
        assert_eq!(block_row(&[0, 0], 0), "  ");
        assert_eq!(block_row(&[u64::MAX], u64::MAX), "█");
    }

    #[test]
    fn rows_stand_on_each_other() {
        assert_eq!(full_rows(&[0, 1, 8, 16], 16, 2), ["   █", " ▁██"]);
    }
}
