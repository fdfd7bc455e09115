//! Frames as a pcapng file, as Wireshark's tools read them.
//!
//! Section, interface, packets, statistics (draft-ietf-opsawg-pcapng), with
//! timestamps in nanoseconds. Writes whole blocks only.

use std::io::{self, Write};

/// What the file says of where its frames come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The interface's name.
    pub interface: String,
    /// `LINKTYPE_…` number.
    pub link_type: u16,
    /// Octets kept of each frame.
    pub snaplen: u32,
    /// The BPF filter; empty: none.
    pub filter: String,
}

/// What is known of a capture when it has ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// When it began; nanoseconds since 1970.
    pub from_ns: u64,
    /// When it ended.
    pub until_ns: u64,
    /// Frames that the filter let through, written or not.
    pub received: u64,
    /// Of these, frames that the kernel had no room for.
    pub dropped: u64,
    /// Frames that the interface had no room for.
    pub interface_dropped: u64,
}

/// Writes one section with one interface.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    to: W,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(to: W, origin: &Origin) -> io::Result<Self> {
        let mut writer = Self { to, block: Vec::new() };
        writer.write_block(SECTION_HEADER, |body| {
            body.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
            // Version 1.0; the section's length is not known yet.
            body.extend_from_slice(&[1, 0, 0, 0]);
            body.extend_from_slice(&u64::MAX.to_le_bytes());
            option(body, SHB_OS, std::env::consts::OS.as_bytes());
            option(body, SHB_USERAPPL, concat!("iotq-collector ", env!("CARGO_PKG_VERSION")).as_bytes());
            option(body, END_OF_OPTIONS, b"");
        })?;
        writer.write_block(INTERFACE_DESCRIPTION, |body| {
            body.extend_from_slice(&origin.link_type.to_le_bytes());
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&origin.snaplen.to_le_bytes());
            option(body, IF_NAME, origin.interface.as_bytes());
            option(body, IF_TSRESOL, &[NANOSECONDS]);
            if !origin.filter.is_empty() {
                // Its first octet says that a text as libpcap takes it follows.
                option(body, IF_FILTER, &[&[0], origin.filter.as_bytes()].concat());
            }
            option(body, END_OF_OPTIONS, b"");
        })?;
        Ok(writer)
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn frame(&mut self, captured_at_ns: u64, wire_bytes: u32, octets: &[u8]) -> io::Result<()> {
        self.write_block(ENHANCED_PACKET, |body| {
            // The only interface.
            body.extend_from_slice(&0_u32.to_le_bytes());
            timestamp(body, captured_at_ns);
            body.extend_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_le_bytes());
            body.extend_from_slice(&wire_bytes.to_le_bytes());
            padded(body, octets);
        })
    }

    /// Says how it went, and hands back where it was written to.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self, statistics: &Statistics) -> io::Result<W> {
        self.write_block(INTERFACE_STATISTICS, |body| {
            body.extend_from_slice(&0_u32.to_le_bytes());
            timestamp(body, statistics.until_ns);
            for (code, at_ns) in [(ISB_STARTTIME, statistics.from_ns), (ISB_ENDTIME, statistics.until_ns)] {
                let mut value = Vec::new();
                timestamp(&mut value, at_ns);
                option(body, code, &value);
            }
            option(body, ISB_IFDROP, &statistics.interface_dropped.to_le_bytes());
            option(body, ISB_FILTERACCEPT, &statistics.received.to_le_bytes());
            option(body, ISB_OSDROP, &statistics.dropped.to_le_bytes());
            option(body, END_OF_OPTIONS, b"");
        })?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Where it is written to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.to
    }

    /// One call of `write_all` a block.
    fn write_block(&mut self, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.block.clear();
        self.block.extend_from_slice(&kind.to_le_bytes());
        self.block.extend_from_slice(&[0; 4]);
        fill(&mut self.block);
        let length = u32::try_from(self.block.len() + 4).unwrap_or(u32::MAX).to_le_bytes();
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&length);
        }
        self.block.extend_from_slice(&length);
        self.to.write_all(&self.block)
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    // Names and filters are far shorter; the length has 16 bits.
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(body, value);
}

/// To a multiple of four octets.
fn padded(body: &mut Vec<u8>, octets: &[u8]) {
    body.extend_from_slice(octets);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The higher half first.
fn timestamp(body: &mut Vec<u8>, at_ns: u64) {
    let [a, b, c, d, e, f, g, h] = at_ns.to_le_bytes();
    body.extend_from_slice(&[e, f, g, h, a, b, c, d]);
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const END_OF_OPTIONS: u16 = 0;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFDROP: u16 = 5;
const ISB_FILTERACCEPT: u16 = 6;
const ISB_OSDROP: u16 = 7;
/// 10 to the power of minus nine.
const NANOSECONDS: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::file::{FileInput, FileReader},
        packet::Packet,
    };

    /// An Ethernet frame with a UDP datagram of `payload` octets.
    fn frame(payload: u8) -> Vec<u8> {
        let udp = 8 + u16::from(payload);
        let mut octets = vec![0, 0, 0x5e, 0, 0x53, 1, 0, 0, 0x5e, 0, 0x53, 2, 8, 0, 0x45, 0];
        octets.extend_from_slice(&(20 + udp).to_be_bytes());
        octets.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0, 9]);
        octets.extend_from_slice(&udp.to_be_bytes());
        octets.extend_from_slice(&[0, 0]);
        octets.resize(octets.len() + usize::from(payload), 7);
        octets
    }

    #[test]
    fn our_own_reader_reads_what_was_written() {
        let origin = Origin { interface: "eth1".into(), link_type: 1, snaplen: 96, filter: "not port 22".into() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pcapng");
        let mut writer = PcapngWriter::new(std::fs::File::create(&path).unwrap(), &origin).unwrap();
        let at = 1_800_000_000_123_456_789;
        for payload in 0..5 {
            let octets = frame(payload);
            let wire_bytes = u32::try_from(octets.len()).unwrap() + 100;
            writer.frame(at + u64::from(payload), wire_bytes, &octets).unwrap();
        }
        writer.finish(&Statistics { received: 7, dropped: 2, ..Statistics::default() }).unwrap();
        let mut reader = FileReader::open(&FileInput::from(path.as_path())).unwrap();
        let chunk = reader.read_chunk(100).unwrap().unwrap();
        let shown = |packet: &Packet| (packet.captured_at.as_nanos(), packet.wire_bytes, packet.key.a_port);
        let seen: Vec<_> = chunk.packets.iter().map(shown).collect();
        let expected: Vec<_> = (0..5_u32).map(|n| (i64::try_from(at).unwrap() + i64::from(n), 142 + n)).collect();
        assert_eq!(seen.iter().map(|(at, bytes, _)| (*at, *bytes)).collect::<Vec<_>>(), expected);
        assert!(reader.read_chunk(100).unwrap().is_none());
    }
}
