//! What capture hands to the window: decoded packets, and what became of the
//! other frames.

use std::collections::HashMap;

use iotq_proto::{LinkProtocol, LossStage, MacAddr, SightingKind, Timestamp, UndecodedReason, VlanId, v1};

use crate::packet::Packet;

/// Packets of one input, in the order they were read, with the counts of the
/// frames read since the chunk before. `frames` of a chunk are
/// `packets.len()` + those in `no_ip` + `undecoded` + `lost`.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// Decoded packets.
    pub packets: Vec<Packet>,
    /// What else was seen since the chunk before.
    pub counts: Counts,
    /// Devices that showed themselves.
    pub sightings: Vec<Sighting>,
    /// Payloads that may name somebody, in the order of their packets.
    pub picked: Vec<Picked>,
    /// Where they are.
    pub octets: Vec<u8>,
    /// Payloads that may name somebody and found no room.
    pub left_out_payloads: u64,
    /// Packets whose time had to be changed to fit [`Timestamp`].
    pub clamped_times: u64,
    /// The first and last time of *any* frame in this chunk, and for live traffic
    /// also of the clock: the packet time it covers. `None`: no frame had a time.
    pub covered: Option<Covered>,
    /// A new input begins with this chunk: seal what there is, and do not treat
    /// the time in between as covered.
    pub begins: Option<Input>,
}

impl Chunk {
    /// All frames it accounts for.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let no_ip: u64 = self.counts.no_ip.values().map(|counted| counted.frames).sum();
        let undecoded: u64 = self.counts.undecoded.values().sum();
        let lost: u64 = self.counts.lost.values().sum();
        self.packets.len() as u64 + no_ip + undecoded + lost
    }

    /// Empties it; its memory stays.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.counts.no_ip.clear();
        self.counts.undecoded.clear();
        self.counts.lost.clear();
        self.sightings.clear();
        self.picked.clear();
        self.octets.clear();
        (self.left_out_payloads, self.clamped_times) = (0, 0);
        (self.covered, self.begins) = (None, None);
    }

    /// Keeps the payload of the packet that is added next. Without room it is
    /// left out, as if it had not been captured.
    pub fn pick(&mut self, payload: &[u8]) {
        if !self.has_room_for_payload() {
            self.left_out_payloads += 1;
            return;
        }
        let begin = self.octets.len();
        self.octets.extend_from_slice(payload);
        if let (Ok(packet), Ok(begin), Ok(end)) =
            (self.packets.len().try_into(), begin.try_into(), self.octets.len().try_into())
        {
            self.picked.push(Picked { packet, begin, end });
        }
    }

    /// Whether another payload would be kept.
    #[inline]
    #[must_use]
    pub fn has_room_for_payload(&self) -> bool {
        self.octets.len() < MAX_OCTETS
    }

    /// The octets of a picked payload.
    #[inline]
    #[must_use]
    pub fn payload(&self, picked: Picked) -> &[u8] {
        self.octets.get(picked.begin as usize..picked.end as usize).unwrap_or_default()
    }
}

/// A payload worth a closer look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Picked {
    /// Its packet's place in `packets`.
    pub packet: u32,
    /// Where it begins in `octets`.
    pub begin: u32,
    /// Where it ends.
    pub end: u32,
}

/// What packets are looked at for, besides counting them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Aims {
    /// DNS, hellos, time requests, names that devices give themselves.
    pub names: bool,
    /// Connections and their states.
    pub connections: bool,
}

impl Default for Aims {
    /// Everything.
    fn default() -> Self {
        Self { names: true, connections: true }
    }
}

/// Packet time, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Covered {
    /// Earliest.
    pub from_at: Timestamp,
    /// Latest.
    pub last_at: Timestamp,
}

/// Frames that are no packets.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Frames without IP and their octets on the wire, by protocol and source.
    pub no_ip: HashMap<(LinkProtocol, MacAddr), FramesAndBytes>,
    /// Frames that could not be read.
    pub undecoded: HashMap<UndecodedReason, u64>,
    /// Packets known to be missing.
    pub lost: HashMap<LossStage, u64>,
}

/// A count of frames and of their octets on the wire.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FramesAndBytes {
    /// Frames.
    pub frames: u64,
    /// Octets on the wire.
    pub wire_bytes: u64,
}

/// A device showed something of itself in one frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// How.
    pub kind: SightingKind,
    /// The frame's outermost tag.
    pub vlan: VlanId,
    /// Who.
    pub mac: MacAddr,
    /// At which address; for a prefix, its base. IPv4 as `::ffff:0:0/96`.
    pub ip: Option<[u8; 16]>,
    /// For a prefix its length (as IPv6), else 128.
    pub prefix_len: u8,
    /// When.
    pub seen_at: Timestamp,
    /// What it said, without control characters, at most
    /// [`MAX_SIGHTING_TEXT`](iotq_proto::MAX_SIGHTING_TEXT) octets; empty: nothing.
    pub text: String,
}

/// Where the packets that follow come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A capture file.
    File(v1::ReplaySource),
    /// Interfaces of this host.
    Live,
}

/// Payloads beyond this are left out: 256 octets of each frame of a live chunk,
/// where a household needs three. The chunks that may wait for the window have
/// 16 MiB of payloads at most.
const MAX_OCTETS: usize = 256 << 10;
