//! Frames in, chunk out: each frame is decoded and counted exactly once.

use std::collections::hash_map::Entry;

use iotq_proto::{LossStage, Timestamp};

use super::own::OwnConnections;
use crate::{
    chunk::{Aims, Chunk, Covered, FramesAndBytes},
    decode::{Frame, LinkType, decode},
    packet::Decoded,
    pick::Pick,
};

/// A chunk in the making, and what is remembered from one to the next.
pub(super) struct Intake {
    chunk: Chunk,
    frames: usize,
    pick: Pick,
}

impl Intake {
    /// For one input.
    pub(super) fn new(aims: Aims) -> Self {
        Self { chunk: Chunk::default(), frames: 0, pick: Pick::new(aims) }
    }

    /// Makes room for about so many frames.
    pub(super) fn reserve(&mut self, frames: usize) {
        self.chunk.packets.reserve(frames.min(MAX_RESERVED_PACKETS));
    }

    /// Decodes and counts a frame.
    #[inline]
    pub(super) fn add(&mut self, link_type: LinkType, frame: Frame<'_>, time: FrameTime) {
        self.add_unless_own(link_type, frame, time, None);
    }

    /// The same, but leaves out frames of our own connections altogether.
    #[inline]
    pub(super) fn add_unless_own(
        &mut self,
        link_type: LinkType,
        frame: Frame<'_>,
        time: FrameTime,
        own: Option<&OwnConnections>,
    ) {
        match decode(link_type, frame, &mut self.chunk.sightings) {
            Decoded::Packet(packet, payload) => {
                if own.is_some_and(|own| own.contains(&packet)) {
                    return;
                }
                if let Some(payload) = self.pick.pick(&packet, payload) {
                    self.chunk.pick(payload);
                }
                self.chunk.clamped_times += u64::from(time == FrameTime::Clamped);
                self.chunk.packets.push(packet);
            }
            Decoded::NoIp { protocol, source } => {
                let wire_bytes = u64::from(frame.wire_bytes);
                match self.chunk.counts.no_ip.entry((protocol, source)) {
                    Entry::Occupied(mut count) => {
                        let count = count.get_mut();
                        count.frames += 1;
                        count.wire_bytes += wire_bytes;
                    }
                    Entry::Vacant(slot) => {
                        slot.insert(FramesAndBytes { frames: 1, wire_bytes });
                    }
                }
            }
            Decoded::Undecoded(reason) => *self.chunk.counts.undecoded.entry(reason).or_default() += 1,
        }
        self.frames += 1;
        if time != FrameTime::Unknown {
            self.cover(frame.captured_at);
        }
    }

    /// Notes frames that are known to be missing.
    pub(super) fn add_lost(&mut self, stage: LossStage, frames: u64) {
        if frames > 0 {
            *self.chunk.counts.lost.entry(stage).or_default() += frames;
        }
    }

    /// Stretches the covered time to this instant.
    #[inline]
    pub(super) fn cover(&mut self, at: Timestamp) {
        let covered = self.chunk.covered.get_or_insert(Covered { from_at: at, last_at: at });
        covered.from_at = covered.from_at.min(at);
        covered.last_at = covered.last_at.max(at);
    }

    /// How many frames were counted.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Whether the chunk has fewer frames than this, and takes another payload.
    #[inline]
    pub(super) fn has_room(&self, max_frames: usize) -> bool {
        self.frames < max_frames && self.chunk.has_room_for_payload()
    }

    /// The chunk; another one begins.
    pub(super) fn take(&mut self) -> Chunk {
        self.frames = 0;
        std::mem::take(&mut self.chunk)
    }

    /// Takes back a chunk that nobody needs any longer, for its memory.
    pub(super) fn recycle(&mut self, mut chunk: Chunk) {
        if self.frames == 0 && self.chunk.frames() == 0 {
            chunk.clear();
            self.chunk = chunk;
        }
    }
}

/// What is known about a frame's time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FrameTime {
    /// It is the one in the capture.
    Captured,
    /// It is the nearest to it that [`Timestamp`] holds.
    Clamped,
    /// The capture has none; it is that of the frame before.
    Unknown,
}

/// More than this is not set aside before there are frames to fill it.
const MAX_RESERVED_PACKETS: usize = 1 << 14;
