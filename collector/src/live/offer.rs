//! From a capture thread to the window, without ever waiting.

use std::sync::mpsc::{SyncSender, TrySendError};

use iotq_proto::LossStage;
use tracing::{info, warn};

use crate::chunk::Chunk;

/// One capture's end of the queue.
///
/// Waiting here would only move the loss into the kernel's ring, where it can no
/// longer be told apart from an overloaded interface.
#[derive(Debug)]
pub(super) struct Offer {
    chunks: SyncSender<Chunk>,
    /// Counts of chunks that found no room; their packets are among the lost.
    owed: Option<Chunk>,
}

impl Offer {
    pub(super) fn new(chunks: SyncSender<Chunk>) -> Self {
        Self { chunks, owed: None }
    }

    /// Hands a chunk on, or counts its packets as lost. Whether anybody is there.
    pub(super) fn offer(&mut self, mut chunk: Chunk) -> bool {
        let losing = self.owed.is_some();
        if let Some(owed) = self.owed.take() {
            add_counts(&mut chunk, owed);
        }
        match self.chunks.try_send(chunk) {
            Ok(()) => {
                if losing {
                    info!("the window takes packets again");
                }
                true
            }
            Err(TrySendError::Full(chunk)) => {
                if !losing {
                    warn!("losing packets: this host is too slow for what it captures");
                }
                self.owed = Some(without_packets(chunk));
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Hands on what is owed. Capture has ended: now there is time to wait.
    pub(super) fn finish(mut self) {
        if let Some(owed) = self.owed.take() {
            let _ = self.chunks.send(owed);
        }
    }
}

fn without_packets(mut chunk: Chunk) -> Chunk {
    let packets = std::mem::take(&mut chunk.packets).len() as u64;
    // What they carried goes with them.
    (chunk.picked, chunk.octets) = (Vec::new(), Vec::new());
    // They come again.
    chunk.sightings = Vec::new();
    chunk.clamped_times = 0;
    let mut lost = packets;
    if chunk.counts.no_ip.len() > MAX_OWED_KINDS {
        lost += chunk.counts.no_ip.drain().map(|(_, counted)| counted.frames).sum::<u64>();
    }
    if lost > 0 {
        *chunk.counts.lost.entry(LossStage::WindowQueue).or_default() += lost;
    }
    chunk
}

fn add_counts(chunk: &mut Chunk, owed: Chunk) {
    for (kind, counted) in owed.counts.no_ip {
        let sum = chunk.counts.no_ip.entry(kind).or_default();
        sum.frames += counted.frames;
        sum.wire_bytes = sum.wire_bytes.saturating_add(counted.wire_bytes);
    }
    for (reason, frames) in owed.counts.undecoded {
        *chunk.counts.undecoded.entry(reason).or_default() += frames;
    }
    for (stage, packets) in owed.counts.lost {
        *chunk.counts.lost.entry(stage).or_default() += packets;
    }
    chunk.covered = match (owed.covered, chunk.covered) {
        (Some(mut before), Some(now)) => {
            before.from_at = before.from_at.min(now.from_at);
            before.last_at = before.last_at.max(now.last_at);
            Some(before)
        }
        (before, now) => before.or(now),
    };
    chunk.begins = owed.begins.or(chunk.begins.take());
}

/// A window that stands still must not make this grow without end.
const MAX_OWED_KINDS: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use iotq_proto::{LinkProtocol, MacAddr, Timestamp, UndecodedReason, VlanId};

    use super::*;
    use crate::{
        chunk::{Covered, FramesAndBytes, Input},
        packet::{Endpoint, FlowKey, Packet, Shared},
    };

    fn chunk(packets: usize, second: i64) -> Chunk {
        let at = Timestamp::from_nanos(second * 1_000_000_000).unwrap();
        let shared = Shared { vlan: VlanId::UNTAGGED, protocol: 17, ip_version: 4, has_ports: false };
        let (key, from_a) = FlowKey::between(Endpoint::default(), Endpoint::default(), shared);
        let packet = Packet {
            captured_at: at,
            key,
            from_a,
            wire_bytes: 60,
            payload_bytes: 0,
            tcp_flags: 0xffff,
            tcp_seq: 0,
            tcp_ack: 0,
        };
        let mut chunk = Chunk {
            packets: vec![packet; packets],
            covered: Some(Covered { from_at: at, last_at: at }),
            ..Chunk::default()
        };
        chunk.counts.undecoded.insert(UndecodedReason::IpVersion, 1);
        chunk.counts.lost.insert(LossStage::KernelRing, 2);
        let kind = (LinkProtocol::ether_type(0x88cc), MacAddr::NONE);
        chunk.counts.no_ip.insert(kind, FramesAndBytes { frames: 3, wire_bytes: 180 });
        chunk
    }

    #[test]
    fn what_finds_no_room_is_counted_and_everything_balances() {
        let (chunks, queue) = sync_channel(1);
        let mut offer = Offer::new(chunks);
        let first = Chunk { begins: Some(Input::Live), ..chunk(5, 0) };
        let offered = [first, chunk(7, 1), chunk(11, 2), chunk(13, 3), chunk(17, 4)];
        let frames: u64 = offered.iter().map(Chunk::frames).sum();
        let [first, second, third, fourth, fifth] = offered;
        for chunk in [first, second, third] {
            assert!(offer.offer(chunk));
        }
        let mut taken = vec![queue.recv().unwrap()];
        assert!(offer.offer(fourth));
        taken.push(queue.recv().unwrap());
        assert!(offer.offer(fifth));
        offer.finish();
        taken.extend(queue.iter());
        assert_eq!(taken.iter().map(Chunk::frames).sum::<u64>(), frames);
        assert_eq!(taken[1].packets.len(), 13);
        assert_eq!(taken[1].counts.lost[&LossStage::WindowQueue], 7 + 11);
        assert_eq!(taken[1].covered.unwrap().from_at.second(), 1);
    }

    #[test]
    fn what_is_owed_at_the_end_is_paid() {
        let (chunks, queue) = sync_channel(1);
        let mut offer = Offer::new(chunks);
        assert!(offer.offer(chunk(1, 0)) && offer.offer(chunk(2, 1)));
        let reader = std::thread::spawn(move || queue.iter().map(|chunk| chunk.frames()).collect::<Vec<_>>());
        offer.finish();
        assert_eq!(reader.join().unwrap(), [1 + 6, 2 + 6]);
    }

    #[test]
    fn the_begin_of_an_input_survives_a_full_queue() {
        let (chunks, queue) = sync_channel(1);
        let mut offer = Offer::new(chunks);
        offer.offer(chunk(1, 0));
        offer.offer(Chunk { begins: Some(Input::Live), ..chunk(1, 1) });
        queue.recv().unwrap();
        offer.offer(chunk(1, 2));
        assert!(queue.recv().unwrap().begins.is_some());
    }

    #[test]
    fn without_a_window_there_is_nothing_to_do() {
        let (chunks, queue) = sync_channel(1);
        drop(queue);
        assert!(!Offer::new(chunks).offer(Chunk::default()));
    }
}
