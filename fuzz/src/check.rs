//! What has to hold, whatever the octets were.

use iotq_collector::{
    chunk::{Aims, Chunk, Covered},
    names::Names,
    window::Window,
};
use iotq_proto::{CheckedBatch, MAX_BATCH_NAME_BYTES, MAX_SIGHTING_TEXT, v1};
use prost::Message as _;

use crate::{items::items, wire::Wire};

/// Each item is the payload of a packet between two ends. What `Names` finds in
/// them makes batches that the analyzer takes.
pub fn names(octets: &[u8], mut wire: Wire) {
    let mut names = Names::new();
    for (selector, payload) in items(octets) {
        let packet = wire.packet(selector, payload);
        if let Some(learned) = names.observe(&packet, payload) {
            assert!(learned.server_name.len() <= 1020 && learned.client_id_hash.len() <= 16);
        }
    }
    names.finish();
    let mut batch = v1::Batch::default();
    names.move_sightings_into(&mut batch);
    for sighting in &batch.sightings {
        assert!(sighting.text.len() <= MAX_SIGHTING_TEXT);
        assert!(!sighting.text.chars().any(char::is_control));
    }
    taken_by_the_analyzer(batch);
    for _ in 0..MAX_BATCHES {
        let mut batch = v1::Batch::default();
        let is_more_left = names.move_into(&mut batch);
        let octets = batch.encoded_len();
        assert!(octets <= MAX_BATCH_NAME_BYTES + MAX_BATCH_NAME_BYTES / 8, "{octets} octets of names");
        taken_by_the_analyzer(batch);
        if !is_more_left {
            return;
        }
    }
    panic!("names never end");
}

/// What a chunk becomes balances, and the analyzer takes it.
pub fn chunk(mut chunk: Chunk) {
    let times = || chunk.packets.iter().map(|packet| packet.captured_at);
    chunk.covered = times().min().zip(times().max()).map(|(from_at, last_at)| Covered { from_at, last_at });
    let frames = chunk.frames();
    let mut window = Window::new(Aims::default());
    let mut batches = Vec::new();
    window.add(&chunk, &mut batches);
    window.finish(&mut batches);
    assert_eq!(batches.iter().map(|batch| batch.frames).sum::<u64>(), frames);
    batches.into_iter().for_each(taken_by_the_analyzer);
}

/// The uplink's part is added to the batch, and it is checked as the analyzer does.
pub fn taken_by_the_analyzer(batch: v1::Batch) {
    let batch = v1::Batch { collector: "fuzz".to_owned(), epoch: 1, seq: 1, sealed_at_ns: 1, ..batch };
    if let Err(error) = CheckedBatch::try_from(batch) {
        panic!("the analyzer refuses it: {error}");
    }
}

/// `Names` keeps four batches' worth when nobody takes any, of three kinds.
const MAX_BATCHES: usize = 32;
