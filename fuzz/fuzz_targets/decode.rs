//! Frames of any link type, each on its own.
#![no_main]

use iotq_collector::{
    decode::{Frame, LinkType, decode},
    packet::Decoded,
};
use iotq_fuzz::{items::items, seeds};
use iotq_proto::{MAX_SIGHTING_TEXT, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::frames(), |octets: &[u8]| {
    for (link_type, bytes) in items(octets) {
        let wire_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let frame = Frame { captured_at: Timestamp::default(), wire_bytes, bytes };
        let mut sightings = Vec::new();
        if let Decoded::Packet(packet, payload) = decode(LinkType(link_type.into()), frame, &mut sightings) {
            assert!(payload.len() <= bytes.len());
            assert!(packet.key.has_ports || (packet.key.a_port, packet.key.b_port) == (0, 0));
        }
        assert!(sightings.iter().all(|sighting| sighting.text.len() <= MAX_SIGHTING_TEXT));
    }
});
