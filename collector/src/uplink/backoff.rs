//! How long to wait before the next attempt.

use std::time::Duration;

use rand::Rng as _;

/// Doubles with each failure, and is jittered: collectors that lost the same
/// analyzer at once shall not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Another attempt failed.
    pub(super) fn next(&mut self) -> Duration {
        let longest = SHORTEST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        longest.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// An analyzer that restarts is back within a second.
const SHORTEST: Duration = Duration::from_millis(200);

/// An attempt costs next to nothing, and data waits: 200 collectors make forty
/// attempts a second with this.
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_to_a_limit_and_starts_anew() {
        let mut backoff = Backoff::default();
        for exponent in 0..40 {
            let longest = SHORTEST.saturating_mul(1 << exponent.min(20)).min(LONGEST);
            let waiting = backoff.next();
            assert!(longest / 2 <= waiting && waiting <= longest, "{waiting:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= SHORTEST);
    }
}
