//! What time it is, judged by packets whose times may be absurd.

use iotq_proto::Timestamp;

/// The time of the packets, and ticks that only ever go on.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<i64>,
    ticks: u64,
    /// Packets in a row that were far after `now`, or far before it.
    ahead: u8,
    behind: u8,
}

impl Clock {
    /// Takes note of a packet's time.
    ///
    /// A step of more than a minute is believed when several packets in a row
    /// agree about it: one broken time must not end every connection, and two
    /// interfaces whose clocks differ by years must not do so with each packet.
    #[inline]
    pub(super) fn observe(&mut self, at: Timestamp) {
        if is_absurd(at) {
            return;
        }
        let second = at.second();
        let Some(now) = self.now else {
            self.now = Some(second);
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
            step if step < -STEP_SECS => {
                (self.ahead, self.behind) = (0, self.behind + 1);
                if self.behind >= WITNESSES {
                    self.behind = 0;
                    self.now = Some(second);
                }
            }
            _ => (self.ahead, self.behind) = (0, 0),
        }
    }

    /// Seconds that passed, each counted once however often time went back.
    #[inline]
    pub(super) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// For how long there was nothing since then.
    pub(super) fn silence_since(&self, second: i64) -> u64 {
        self.now.map_or(0, |now| u64::try_from(now.saturating_sub(second)).unwrap_or(0))
    }

    fn advance(&mut self, second: i64, step: i64) {
        self.now = Some(second);
        // Beyond the longest time-out a pause is as long as any other.
        self.ticks += u64::try_from(step).unwrap_or(0).min(MAX_STEP_TICKS);
    }
}

/// A time that had to be clamped is none.
pub(super) fn is_absurd(at: Timestamp) -> bool {
    at == Timestamp::MIN || at == Timestamp::MAX
}

/// Interfaces of one capture differ by less.
const STEP_SECS: i64 = 60;
const WITNESSES: u8 = 8;
const MAX_STEP_TICKS: u64 = 8192;
