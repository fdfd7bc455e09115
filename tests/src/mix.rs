//! Traffic in bulk, for measuring: a mixed household of any number of packets, and
//! a storm of smallest frames.
//!
//! Streams: memory does not grow with the number of packets. Fast enough not to be
//! what is measured: headers are written in place, and the checksum of a payload
//! cut from one piece of noise is the difference of two running sums.

mod forge;
mod household;
mod storm;

use std::io;

pub use household::{HouseholdMix, household_mix, names_mix};
pub use storm::{Storm, storm};

/// Takes one frame and the time it was captured.
pub trait Sink {
    /// Takes it.
    ///
    /// # Errors
    /// If it cannot be written.
    fn frame(&mut self, at_ns: i64, octets: &[u8]) -> io::Result<()>;
}

impl<F: FnMut(i64, &[u8]) -> io::Result<()> + ?Sized> Sink for F {
    fn frame(&mut self, at_ns: i64, octets: &[u8]) -> io::Result<()> {
        self(at_ns, octets)
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Made {
    /// Frames, all of them.
    pub frames: u64,
    /// Those without IP.
    pub no_ip: u64,
    /// Octets on the wire.
    pub wire_bytes: u64,
}

impl Made {
    fn count(&mut self, octets: &[u8]) {
        self.frames += 1;
        self.wire_bytes += octets.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use etherparse::{NetSlice, SlicedPacket};

    use super::*;
    use crate::{
        scenario::{MINUTE_NS, Span},
        traffic::tests::assert_sound,
    };

    #[test]
    fn a_mix_has_as_many_sound_frames_as_asked_for_and_the_usual_size() {
        let span = Span { since_ns: 1_790_000_000_000_000_000, until_ns: 1_790_000_000_000_000_000 + 10 * MINUTE_NS };
        let (mut last_ns, mut frames, mut slices) = (span.since_ns, 0_u64, HashSet::new());
        let mix = HouseholdMix { packets: 60_000, devices: 40, span, seed: 1 };
        let made = household_mix(&mix, &mut |at_ns: i64, octets: &[u8]| {
            assert!(at_ns >= last_ns, "time goes on");
            last_ns = at_ns;
            frames += 1;
            assert_sound(octets);
            let sliced = SlicedPacket::from_ethernet(octets).unwrap();
            if let Some(NetSlice::Ipv4(ip)) = sliced.net {
                let ports = ip.payload().payload.get(..4).map(<[u8]>::to_vec).unwrap_or_default();
                let mut ends =
                    [(ip.header().source(), ports[..2].to_vec()), (ip.header().destination(), ports[2..].to_vec())];
                ends.sort();
                slices.insert((at_ns / 1_000_000_000, ends));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((made.frames, frames), (60_000, 60_000));
        let mean = made.wire_bytes / made.frames;
        assert!((281..=301).contains(&mean), "{mean} octets a frame");
        // 6.1 packets a slice, times ten.
        let in_slice = (made.frames - made.no_ip) * 10 / slices.len() as u64;
        assert!((55..=67).contains(&in_slice), "{in_slice}/10 packets a slice");
        let lasted = (last_ns - span.since_ns) * 100 / span.duration_ns();
        assert!((90..=110).contains(&lasted), "{lasted} % of the span");
    }

    #[test]
    fn a_storm_is_made_of_smallest_frames_of_many_flows() {
        let mut flows = HashSet::new();
        let storm_of = Storm { packets: 20_000, flows: 500, at_ns: 1_790_000_000_000_000_000, seed: 1 };
        let made = storm(&storm_of, &mut |_: i64, octets: &[u8]| {
            assert_eq!(octets.len(), 60);
            assert_sound(octets);
            flows.insert(octets[26..38].to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!((made.frames, made.wire_bytes), (20_000, 1_200_000));
        assert_eq!(flows.len(), 500);
    }
}
