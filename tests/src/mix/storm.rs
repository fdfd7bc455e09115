//! The worst an interface can bring: smallest frames, back to back.

use std::io;

use super::{
    Made, Sink,
    forge::{End, Forge, Payload},
};
use crate::random::Random;

/// From frame to frame on gigabit Ethernet full of smallest frames: 84 octets with
/// preamble, check sequence and gap (IEEE 802.3), 1.488 million a second.
const GAP_NS: u64 = 672;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many packets.
    pub packets: u64,
    /// Of how many flows, in random order.
    pub flows: u32,
    /// When the first one arrives.
    pub at_ns: i64,
    /// What the order depends on.
    pub seed: u64,
}

/// UDP datagrams of 18 octets in frames of 60.
///
/// # Errors
/// If the sink fails.
pub fn storm(storm: &Storm, sink: &mut (impl Sink + ?Sized)) -> io::Result<Made> {
    let mut random = Random::new(storm.seed);
    let mut forge = Forge::new(&mut random);
    let mut made = Made::default();
    let sink_host = End { mac: [0, 0, 0x5e, 0, 0x53, 0xff], ip: [192, 168, 7, 2], port: 9 };
    for number in 0..storm.packets {
        let flow = u32::try_from(random.below(u64::from(storm.flows.max(1)))).unwrap_or(0);
        let [_, b, c, d] = (flow >> 6).to_be_bytes();
        let [_, _, high, low] = (flow & 0x3f).to_be_bytes();
        let src = End {
            // Locally administered: these are nobody's.
            mac: [0x02, 0, 0, b, c, d],
            ip: [10, b, c, d],
            port: 0xc000 | u16::from_be_bytes([high, low]),
        };
        let frame = forge.udp(&src, &sink_host, Payload::Noise(18));
        made.count(frame);
        let after_ns = i64::try_from(number.saturating_mul(GAP_NS)).unwrap_or(i64::MAX);
        sink.frame(storm.at_ns.saturating_add(after_ns), frame)?;
    }
    Ok(made)
}
