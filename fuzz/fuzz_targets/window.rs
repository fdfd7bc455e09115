//! Frames from decoder to batch, with all that is read of them on the way.
#![no_main]

use iotq_collector::{
    chunk::{Aims, Chunk, Input},
    decode::{Frame, LinkType, decode},
    packet::Decoded,
    pick::Pick,
};
use iotq_fuzz::{check, items::items, seeds};
use iotq_proto::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::frames(), |octets: &[u8]| {
    let mut chunk = Chunk { begins: Some(Input::Live), ..Chunk::default() };
    let mut pick = Pick::new(Aims::default());
    let mut at_ns = 0_i64;
    for (link_type, bytes) in items(octets) {
        // Time goes on by what the frame says, and back now and then.
        let step = bytes.iter().rev().take(2).fold(0, |step, octet| step << 8 | i64::from(*octet)) - 5000;
        at_ns += step * 1_000_000;
        let captured_at = Timestamp::from_nanos(at_ns).unwrap_or_default();
        let wire_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let frame = Frame { captured_at, wire_bytes, bytes };
        match decode(LinkType(link_type.into()), frame, &mut chunk.sightings) {
            Decoded::Packet(packet, payload) => {
                if let Some(payload) = pick.pick(&packet, payload) {
                    chunk.pick(payload);
                }
                chunk.packets.push(packet);
            }
            Decoded::NoIp { protocol, source } => {
                let count = chunk.counts.no_ip.entry((protocol, source)).or_default();
                count.frames += 1;
                count.wire_bytes += u64::from(wire_bytes);
            }
            Decoded::Undecoded(reason) => *chunk.counts.undecoded.entry(reason).or_default() += 1,
        }
    }
    check::chunk(chunk);
});
