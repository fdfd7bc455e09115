//! Classic pcap files (draft-ietf-opsawg-pcap).

use iotq_proto::Timestamp;

use super::{Damage, MAX_CAPTURED_BYTES, Reached, stream::Stream};
use crate::{
    capture::intake::{FrameTime, Intake},
    decode::{Frame, LinkType},
};

/// What the magic number says about all that follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    pub(super) is_big_endian: bool,
    pub(super) has_nanoseconds: bool,
    /// Octets of a packet's header: Linux kernels had a patch (magic 0xa1b2cd34)
    /// that added the interface.
    pub(super) packet_header_bytes: usize,
}

/// A reader of classic pcap.
pub(super) struct Classic {
    layout: Layout,
    /// `None`: the file header is yet to be read.
    link_type: Option<LinkType>,
}

impl Classic {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, link_type: None }
    }

    /// Reads up to `max_frames` frames. When it fails, the stream stands at the
    /// begin of what is damaged.
    pub(super) fn read(
        &mut self,
        stream: &mut Stream,
        intake: &mut Intake,
        max_frames: usize,
    ) -> Result<Reached, Damage> {
        let link_type = match self.link_type {
            Some(link_type) => link_type,
            None => *self.link_type.insert(self.layout.read_file_header(stream)?),
        };
        // The layout is told apart once a chunk, not once a number.
        match self.layout.is_big_endian {
            true => self.layout.read_packets(u32::from_be_bytes, link_type, stream, intake, max_frames),
            false => self.layout.read_packets(u32::from_le_bytes, link_type, stream, intake, max_frames),
        }
    }
}

impl Layout {
    fn read_file_header(self, stream: &mut Stream) -> Result<LinkType, Damage> {
        let found = stream.fill(FILE_HEADER_BYTES).map_err(Damage::Read)?;
        let Some(&[_, _, _, _, a0, a1, i0, i1, .., l0, l1, l2, l3]) = stream.bytes().first_chunk::<FILE_HEADER_BYTES>()
        else {
            return Err(Damage::FileHeaderCut { needed: FILE_HEADER_BYTES, found });
        };
        let (major, minor, network) = if self.is_big_endian {
            (u16::from_be_bytes([a0, a1]), u16::from_be_bytes([i0, i1]), u32::from_be_bytes([l0, l1, l2, l3]))
        } else {
            (u16::from_le_bytes([a0, a1]), u16::from_le_bytes([i0, i1]), u32::from_le_bytes([l0, l1, l2, l3]))
        };
        if major != 2 {
            return Err(Damage::Version { major, minor });
        }
        stream.consume(FILE_HEADER_BYTES);
        // The upper bits tell about frame check sequences.
        Ok(LinkType::from_number(network & 0x03ff_ffff))
    }

    #[inline]
    fn read_packets(
        self,
        number: impl Fn([u8; 4]) -> u32,
        link_type: LinkType,
        stream: &mut Stream,
        intake: &mut Intake,
        max_frames: usize,
    ) -> Result<Reached, Damage> {
        let header_bytes = self.packet_header_bytes;
        let nanos_per_tick = if self.has_nanoseconds { 1 } else { 1000 };
        while intake.has_room(max_frames) {
            let found = stream.fill(header_bytes).map_err(Damage::Read)?;
            if found < header_bytes {
                let needed = header_bytes;
                return if found == 0 { Ok(Reached::End) } else { Err(Damage::PacketHeaderCut { needed, found }) };
            }
            let Some(&[s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3]) = stream.bytes().first_chunk()
            else {
                return Err(Damage::PacketHeaderCut { needed: header_bytes, found });
            };
            let captured_bytes = number([c0, c1, c2, c3]);
            if captured_bytes > MAX_CAPTURED_BYTES {
                return Err(Damage::PacketTooLong { captured_bytes });
            }
            let record_bytes = header_bytes + captured_bytes as usize;
            let found = stream.fill(record_bytes).map_err(Damage::Read)?;
            let Some(bytes) = stream.bytes().get(header_bytes..record_bytes) else {
                return Err(Damage::PacketCut { captured_bytes, found: found.saturating_sub(header_bytes) });
            };
            // Both are unsigned (section 4 of the draft): always within range.
            let (secs, ticks) = (i64::from(number([s0, s1, s2, s3])), i64::from(number([f0, f1, f2, f3])));
            let captured_at = Timestamp::from_nanos(secs * 1_000_000_000 + ticks * nanos_per_tick);
            let frame = Frame {
                captured_at: captured_at.unwrap_or(Timestamp::MAX),
                wire_bytes: number([w0, w1, w2, w3]),
                bytes,
            };
            intake.add(link_type, frame, FrameTime::Captured);
            stream.consume(record_bytes);
        }
        Ok(Reached::Limit)
    }
}

const FILE_HEADER_BYTES: usize = 24;
