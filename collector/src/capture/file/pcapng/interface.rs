//! What an interface description says: link type, snaplen, the unit of time.

use super::ByteOrder;
use crate::decode::LinkType;

/// An interface of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    pub(super) link_type: LinkType,
    /// 0: no limit.
    pub(super) snaplen: u32,
    tick: Tick,
    /// To be added to all times.
    offset_nanos: i128,
}

/// How long a unit of time is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tick {
    /// So many nanoseconds.
    Nanos(u64),
    /// So many make a nanosecond; 0: more than there can be.
    PerNano(u64),
    /// 2 to the power of minus this many seconds.
    PowerOfTwo(u32),
}

impl Interface {
    /// Reads the body of an interface description block (section 4.2); `None` if
    /// it is too short. Options that make no sense end the list of options.
    pub(super) fn read(order: ByteOrder, body: &[u8]) -> Option<Self> {
        let (&[t0, t1, _, _, s0, s1, s2, s3], options) = body.split_first_chunk()?;
        let mut interface = Self {
            link_type: LinkType(order.u16([t0, t1])),
            snaplen: order.u32([s0, s1, s2, s3]),
            tick: Tick::Nanos(1000),
            offset_nanos: 0,
        };
        let mut rest = options;
        while let Some((&[c0, c1, l0, l1], behind)) = rest.split_first_chunk() {
            let (code, length) = (order.u16([c0, c1]), usize::from(order.u16([l0, l1])));
            let Some(value) = behind.get(..length) else {
                break;
            };
            match (code, value) {
                (END_OF_OPTIONS, _) => break,
                (TIME_RESOLUTION, &[resolution]) => interface.tick = Tick::from_option(resolution),
                (TIME_OFFSET, value) => {
                    if let Ok(offset) = <[u8; 8]>::try_from(value) {
                        interface.offset_nanos = i128::from(order.i64(offset)) * 1_000_000_000;
                    }
                }
                _ => {}
            }
            rest = behind.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(interface)
    }

    /// Nanoseconds since 1970, rounded down; anything that the format can say.
    #[inline]
    pub(super) fn nanos(&self, ticks: u64) -> i128 {
        let nanos = match self.tick {
            Tick::Nanos(nanos) => i128::from(ticks) * i128::from(nanos),
            Tick::PerNano(count) => i128::from(ticks.checked_div(count).unwrap_or(0)),
            // Below 2^64 times 2^30.
            Tick::PowerOfTwo(exponent) => (i128::from(ticks) * 1_000_000_000) >> exponent,
        };
        nanos + self.offset_nanos
    }
}

impl Tick {
    /// The option `if_tsresol`: the highest bit chooses between powers of two and
    /// of ten, the rest is the negative exponent.
    fn from_option(resolution: u8) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            Self::PowerOfTwo(exponent)
        } else if exponent <= 9 {
            Self::Nanos(10u64.pow(9 - exponent))
        } else {
            Self::PerNano(10u64.checked_pow(exponent - 9).unwrap_or(0))
        }
    }
}

const END_OF_OPTIONS: u16 = 0;
const TIME_RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(options: &[u8]) -> Interface {
        let body = [&[0, 1, 0, 0, 0, 0, 0xff, 0xff], options].concat();
        Interface::read(ByteOrder::Big, &body).unwrap()
    }

    #[test]
    fn all_resolutions_become_nanoseconds() {
        for (resolution, ticks, nanos) in [
            (0, 1_500_000_000, 1_500_000_000_000_000_000),
            (3, 1_500, 1_500_000_000),
            (6, 1_500_000, 1_500_000_000),
            (9, 1_500_000_001, 1_500_000_001),
            (12, 1_500_000_001_999, 1_500_000_001),
            (28, 15_000_000_000_000_000_000, 1),
            (127, u64::MAX, 0),
            (0x80, 2, 2_000_000_000),
            (0x80 | 10, 1536, 1_500_000_000),
            (0x80 | 32, (1 << 32) + (1 << 31), 1_500_000_000),
            (0xff, u64::MAX, 0),
        ] {
            let interface = interface(&[0, 9, 0, 1, resolution, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(interface.nanos(ticks), nanos, "{resolution:#x}");
        }
    }

    #[test]
    fn offsets_are_signed_seconds() {
        let later = interface(&[0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 10]);
        assert_eq!(later.nanos(1), 10_000_001_000);
        let earlier = interface(&[0, 14, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf6]);
        assert_eq!(earlier.nanos(0), -10_000_000_000);
    }

    #[test]
    fn options_that_make_no_sense_are_left_out() {
        for options in [&[0, 9, 0, 2, 3, 3, 0, 0][..], &[0, 9, 0xff, 0xff, 3], &[0, 9], &[0, 14, 0, 1, 1]] {
            assert_eq!(interface(options).nanos(1), 1000, "{options:?}");
        }
    }
}
