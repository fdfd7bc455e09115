//! pcapng files (draft-ietf-opsawg-pcapng).

mod interface;

use iotq_proto::Timestamp;

use self::interface::Interface;
use super::{Damage, MAX_CAPTURED_BYTES, Reached, stream::Stream};
use crate::{
    capture::intake::{FrameTime, Intake},
    decode::Frame,
};

/// A reader of pcapng.
#[derive(Default)]
pub(super) struct Pcapng {
    order: ByteOrder,
    /// Of the current section, by their numbers.
    interfaces: Vec<Interface>,
    /// That of the frame read last, for those that have none.
    last_at: Timestamp,
}

/// Byte order of a section.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ByteOrder {
    Big,
    #[default]
    Little,
}

impl ByteOrder {
    #[inline]
    fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(octets),
            Self::Little => u16::from_le_bytes(octets),
        }
    }

    #[inline]
    fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(octets),
            Self::Little => u32::from_le_bytes(octets),
        }
    }

    fn i64(self, octets: [u8; 8]) -> i64 {
        match self {
            Self::Big => i64::from_be_bytes(octets),
            Self::Little => i64::from_le_bytes(octets),
        }
    }
}

/// One block without its type, lengths and padding.
#[derive(Clone, Copy)]
struct Block<'a> {
    block_type: u32,
    /// As it says itself, all included.
    length: u32,
    body: &'a [u8],
}

impl Block<'_> {
    fn too_short(&self) -> Damage {
        Damage::BlockTooShort { block_type: self.block_type, length: self.length }
    }
}

impl Pcapng {
    /// Reads up to `max_frames` frames. When it fails, the stream stands at the
    /// begin of the block that is damaged.
    pub(super) fn read(
        &mut self,
        stream: &mut Stream,
        intake: &mut Intake,
        max_frames: usize,
    ) -> Result<Reached, Damage> {
        while intake.has_room(max_frames) {
            let found = stream.fill(MIN_BLOCK_BYTES).map_err(Damage::Read)?;
            if found == 0 {
                return Ok(Reached::End);
            }
            let Some(&[t0, t1, t2, t3, l0, l1, l2, l3, m0, m1, m2, m3]) = stream.bytes().first_chunk() else {
                return Err(Damage::BlockCut { needed: MIN_BLOCK_BYTES, found });
            };
            if [t0, t1, t2, t3] == SECTION_HEADER.to_be_bytes() {
                // A section may have another byte order, its own length included.
                self.begin_section([m0, m1, m2, m3])?;
            }
            let (block_type, length) = (self.order.u32([t0, t1, t2, t3]), self.order.u32([l0, l1, l2, l3]));
            if length > MAX_BLOCK_BYTES {
                return Err(Damage::BlockTooLong { block_type, length });
            }
            let needed = length as usize;
            if needed < MIN_BLOCK_BYTES {
                return Err(Damage::BlockTooShort { block_type, length });
            }
            let found = stream.fill(needed).map_err(Damage::Read)?;
            let Some((body, &length_at_end)) = stream.bytes().get(8..needed).and_then(<[u8]>::split_last_chunk) else {
                return Err(Damage::BlockCut { needed, found });
            };
            let length_at_end = self.order.u32(length_at_end);
            if length_at_end != length {
                return Err(Damage::BlockLengthsDiffer { length, length_at_end });
            }
            self.read_block(Block { block_type, length, body }, intake)?;
            stream.consume(needed);
        }
        Ok(Reached::Limit)
    }

    fn begin_section(&mut self, magic: [u8; 4]) -> Result<(), Damage> {
        self.order = match u32::from_be_bytes(magic) {
            BYTE_ORDER_MAGIC => ByteOrder::Big,
            magic if magic.swap_bytes() == BYTE_ORDER_MAGIC => ByteOrder::Little,
            magic => return Err(Damage::ByteOrder { magic }),
        };
        self.interfaces.clear();
        Ok(())
    }

    #[inline]
    fn read_block(&mut self, block: Block<'_>, intake: &mut Intake) -> Result<(), Damage> {
        match block.block_type {
            ENHANCED_PACKET => self.read_enhanced_packet(block, intake),
            SIMPLE_PACKET => self.read_simple_packet(block, intake),
            OBSOLETE_PACKET => self.read_obsolete_packet(block, intake),
            INTERFACE_DESCRIPTION => self.read_interface(block),
            SECTION_HEADER => self.check_version(block),
            // Names, statistics, secrets, journals, vendors' own.
            _ => Ok(()),
        }
    }

    /// Section 4.1: byte-order magic, version, section length, options.
    fn check_version(&self, block: Block<'_>) -> Result<(), Damage> {
        let &[_, _, _, _, a0, a1, i0, i1, ..] = block.body.first_chunk::<16>().ok_or_else(|| block.too_short())?;
        let (major, minor) = (self.order.u16([a0, a1]), self.order.u16([i0, i1]));
        // 1.2 was written by mistake and means 1.0.
        if major == 1 { Ok(()) } else { Err(Damage::Version { major, minor }) }
    }

    /// Section 4.2: link type, reserved, snaplen, options.
    fn read_interface(&mut self, block: Block<'_>) -> Result<(), Damage> {
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Damage::TooManyInterfaces { limit: MAX_INTERFACES });
        }
        let interface = Interface::read(self.order, block.body).ok_or_else(|| block.too_short())?;
        self.interfaces.push(interface);
        Ok(())
    }

    /// Section 4.3: interface, time, captured and original length, the frame.
    #[inline]
    fn read_enhanced_packet(&mut self, block: Block<'_>, intake: &mut Intake) -> Result<(), Damage> {
        let (&[i0, i1, i2, i3, ref record @ ..], data) =
            block.body.split_first_chunk::<20>().ok_or_else(|| block.too_short())?;
        self.read_packet(block, self.order.u32([i0, i1, i2, i3]), record, data, intake)
    }

    /// Appendix A: the same, but with two octets of interface and two of drops.
    fn read_obsolete_packet(&mut self, block: Block<'_>, intake: &mut Intake) -> Result<(), Damage> {
        let (&[i0, i1, _, _, ref record @ ..], data) =
            block.body.split_first_chunk::<20>().ok_or_else(|| block.too_short())?;
        self.read_packet(block, u32::from(self.order.u16([i0, i1])), record, data, intake)
    }

    #[inline]
    fn read_packet(
        &mut self,
        block: Block<'_>,
        interface: u32,
        record: &[u8; 16],
        data: &[u8],
        intake: &mut Intake,
    ) -> Result<(), Damage> {
        let &[h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, c2, c3, w0, w1, w2, w3] = record;
        let order = self.order;
        let captured_bytes = order.u32([c0, c1, c2, c3]);
        if captured_bytes > MAX_CAPTURED_BYTES {
            return Err(Damage::PacketTooLong { captured_bytes });
        }
        let bytes = data.get(..captured_bytes as usize).ok_or_else(|| block.too_short())?;
        let interface = self.interface(interface)?;
        let ticks = u64::from(order.u32([h0, h1, h2, h3])) << 32 | u64::from(order.u32([l0, l1, l2, l3]));
        let (captured_at, is_clamped) = Timestamp::nearest(interface.nanos(ticks));
        let time = if is_clamped { FrameTime::Clamped } else { FrameTime::Captured };
        let frame = Frame { captured_at, wire_bytes: order.u32([w0, w1, w2, w3]), bytes };
        intake.add(interface.link_type, frame, time);
        self.last_at = captured_at;
        Ok(())
    }

    /// Section 4.4: original length, the frame; from the first interface, cut at
    /// its snaplen, without a time.
    fn read_simple_packet(&mut self, block: Block<'_>, intake: &mut Intake) -> Result<(), Damage> {
        let (&wire_bytes, data) = block.body.split_first_chunk().ok_or_else(|| block.too_short())?;
        let wire_bytes = self.order.u32(wire_bytes);
        let interface = self.interface(0)?;
        let captured_bytes = if interface.snaplen == 0 { wire_bytes } else { wire_bytes.min(interface.snaplen) };
        if captured_bytes > MAX_CAPTURED_BYTES {
            return Err(Damage::PacketTooLong { captured_bytes });
        }
        let bytes = data.get(..captured_bytes as usize).ok_or_else(|| block.too_short())?;
        let frame = Frame { captured_at: self.last_at, wire_bytes, bytes };
        intake.add(interface.link_type, frame, FrameTime::Unknown);
        Ok(())
    }

    #[inline]
    fn interface(&self, number: u32) -> Result<Interface, Damage> {
        let known = self.interfaces.len();
        let interface = usize::try_from(number).ok().and_then(|number| self.interfaces.get(number));
        interface.copied().ok_or(Damage::NoSuchInterface { interface: number, known })
    }
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and twice the length.
const MIN_BLOCK_BYTES: usize = 12;
/// Packets are far shorter; the longest blocks hold secrets and names. Wireshark
/// has the same limit.
pub(super) const MAX_BLOCK_BYTES: u32 = 16 << 20;
/// The obsolete packet block could not name more.
const MAX_INTERFACES: usize = 1 << 16;
