//! What time it is, judged by packets whose times may be absurd.

use iotq_proto::Timestamp;

/// The time of the packets, and ticks that only ever go on.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<i64>,
    /// Nanoseconds since 1970 at which that second begins.
    begin_ns: i64,
    ticks: u32,
    /// Packets in a row that were far after `now`, or far before it.
    ahead: u8,
    behind: u8,
}

impl Clock {
    /// Takes note of a packet's time.
    ///
    /// A step of more than a day, or back by more than a minute, is believed when
    /// several packets in a row agree about it: one broken time must not end every
    /// connection, and two interfaces whose clocks differ by years must not do so
    /// with each packet.
    #[inline]
    pub(super) fn observe(&mut self, at: Timestamp) {
        // Most packets are of the same second as the one before.
        let offset_ns = at.as_nanos().wrapping_sub(self.begin_ns);
        if (0..NANOS_PER_SEC).contains(&offset_ns) && self.now.is_some() {
            (self.ahead, self.behind) = (0, 0);
        } else if !is_absurd(at) {
            self.observe_step(at);
        }
    }

    fn observe_step(&mut self, at: Timestamp) {
        let second = at.second();
        let Some(now) = self.now else {
            self.set(second);
            return;
        };
        match second.saturating_sub(now) {
            0 => (self.ahead, self.behind) = (0, 0),
            step @ 1..=STEP_SECS => {
                self.advance(second, step);
                (self.ahead, self.behind) = (0, 0);
            }
            step if step > 0 => {
                (self.ahead, self.behind) = (self.ahead + 1, 0);
                if self.ahead >= WITNESSES {
                    self.ahead = 0;
                    self.advance(second, step);
                }
            }
            step if step < -BACK_SECS => {
                (self.ahead, self.behind) = (0, self.behind + 1);
                if self.behind >= WITNESSES {
                    self.behind = 0;
                    self.set(second);
                }
            }
            _ => (self.ahead, self.behind) = (0, 0),
        }
    }

    /// Seconds that passed, each counted once however often time went back. They
    /// go round.
    #[inline]
    pub(super) fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Whether a time is so far ahead that nobody else says so.
    #[inline]
    pub(super) fn is_ahead(&self, at: Timestamp) -> bool {
        at.as_nanos().saturating_sub(self.begin_ns) > STEP_SECS * NANOS_PER_SEC || is_absurd(at)
    }

    fn set(&mut self, second: i64) {
        self.now = Some(second);
        self.begin_ns = second.saturating_mul(NANOS_PER_SEC);
    }

    fn advance(&mut self, second: i64, step: i64) {
        self.set(second);
        // Beyond the longest time-out a pause is as long as any other.
        self.ticks = self.ticks.wrapping_add(u32::try_from(step).unwrap_or(u32::MAX).min(MAX_STEP_TICKS));
    }
}

/// A time that had to be clamped is none.
fn is_absurd(at: Timestamp) -> bool {
    at == Timestamp::MIN || at == Timestamp::MAX
}

/// Nobody is silent for longer, and broken clocks differ by more as a rule.
pub(super) const STEP_SECS: i64 = 86_400;
/// Packets of different interfaces are out of order by less.
const BACK_SECS: i64 = 60;
const WITNESSES: u8 = 8;
const MAX_STEP_TICKS: u32 = 8192;
const NANOS_PER_SEC: i64 = 1_000_000_000;
