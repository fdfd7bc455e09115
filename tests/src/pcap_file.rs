//! Writers of capture files: classic pcap and pcapng.
//!
//! They write what readers have to cope with: both byte orders, several
//! resolutions, several interfaces. They hold nothing back: memory does not grow
//! with the file.

use std::io::{self, Write};

/// `LINKTYPE_ETHERNET`.
pub const ETHERNET: u16 = 1;
/// More than any frame a generator makes, TSO frames included.
pub const SNAPLEN: u32 = 262_144;

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// How numbers are laid down.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ByteOrder {
    /// Least significant octet first.
    #[default]
    Little,
    /// Most significant octet first.
    Big,
}

impl ByteOrder {
    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// What a classic capture's fractions of a second count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Precision {
    /// Microseconds: magic a1b2c3d4.
    #[default]
    Micro,
    /// Nanoseconds: magic a1b23c4d.
    Nano,
}

/// Writes a classic pcap file (draft-ietf-opsawg-pcap).
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    order: ByteOrder,
    precision: Precision,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(mut out: W, link_type: u16, precision: Precision, order: ByteOrder) -> io::Result<Self> {
        let magic = match precision {
            Precision::Micro => 0xa1b2_c3d4,
            Precision::Nano => 0xa1b2_3c4d,
        };
        out.write_all(&order.u32(magic))?;
        out.write_all(&order.u16(2))?;
        out.write_all(&order.u16(4))?;
        out.write_all(&[0; 8])?;
        out.write_all(&order.u32(SNAPLEN))?;
        out.write_all(&order.u32(u32::from(link_type)))?;
        Ok(Self { out, order, precision })
    }

    /// Writes a frame captured whole. Times before 1970 and after 2106 cannot be
    /// written and wrap.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, at_ns: i64, frame: &[u8]) -> io::Result<()> {
        self.write_cut(at_ns, frame, frame.len())
    }

    /// Writes a frame of which only the first octets were captured.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_cut(&mut self, at_ns: i64, captured: &[u8], wire_bytes: usize) -> io::Result<()> {
        let fraction = match self.precision {
            Precision::Micro => at_ns.rem_euclid(NANOS_PER_SEC) / 1000,
            Precision::Nano => at_ns.rem_euclid(NANOS_PER_SEC),
        };
        let fields =
            [low_u32(at_ns.div_euclid(NANOS_PER_SEC)), low_u32(fraction), len_u32(captured.len()), len_u32(wire_bytes)];
        let mut header = [0; 16];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&self.order.u32(field));
        }
        self.out.write_all(&header)?;
        self.out.write_all(captured)
    }

    /// Writes what is still buffered and gives back what was written to.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// An interface of a pcapng file.
#[derive(Clone, Debug)]
pub struct Interface {
    /// `if_name`.
    pub name: String,
    /// What its frames begin with.
    pub link_type: u16,
    /// The most octets of a frame that are kept.
    pub snaplen: u32,
    /// `if_tsresol`: 6 for microseconds, 9 for nanoseconds; with the top bit set a
    /// negative power of two.
    pub tsresol: u8,
}

/// Writes one section of a pcapng file (draft-ietf-opsawg-pcapng).
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    out: W,
    order: ByteOrder,
    tsresol: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header and a description of each interface.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(out: W, order: ByteOrder, interfaces: &[Interface]) -> io::Result<Self> {
        let tsresol = interfaces.iter().map(|interface| interface.tsresol).collect();
        let mut writer = Self { out, order, tsresol };
        let mut section = order.u32(0x1a2b_3c4d).to_vec();
        section.extend_from_slice(&order.u16(1));
        section.extend_from_slice(&order.u16(0));
        // The section's length is not given.
        section.extend_from_slice(&[0xff; 8]);
        writer.block(0x0a0d_0d0a, &section)?;
        for interface in interfaces {
            let mut body = order.u16(interface.link_type).to_vec();
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&order.u32(interface.snaplen));
            writer.option(&mut body, 2, interface.name.as_bytes());
            writer.option(&mut body, 9, &[interface.tsresol]);
            writer.option(&mut body, 0, &[]);
            writer.block(1, &body)?;
        }
        Ok(writer)
    }

    /// Writes a frame as an enhanced packet block.
    ///
    /// # Errors
    /// If writing fails or there is no such interface.
    pub fn write(&mut self, interface: u32, at_ns: i64, captured: &[u8], wire_bytes: usize) -> io::Result<()> {
        let tsresol = usize::try_from(interface).ok().and_then(|index| self.tsresol.get(index));
        let tsresol = *tsresol.ok_or_else(|| io::Error::other(format!("there is no interface {interface}")))?;
        let units = if tsresol & 0x80 == 0 {
            i128::from(at_ns) * 10_i128.pow(u32::from(tsresol)) / i128::from(NANOS_PER_SEC)
        } else {
            (i128::from(at_ns) << (tsresol & 0x7f)) / i128::from(NANOS_PER_SEC)
        };
        let [.., a, b, c, d, e, f, g, h] = units.to_be_bytes();
        let mut body = self.order.u32(interface).to_vec();
        body.extend_from_slice(&self.order.u32(u32::from_be_bytes([a, b, c, d])));
        body.extend_from_slice(&self.order.u32(u32::from_be_bytes([e, f, g, h])));
        body.extend_from_slice(&self.order.u32(len_u32(captured.len())));
        body.extend_from_slice(&self.order.u32(len_u32(wire_bytes)));
        body.extend_from_slice(captured);
        pad(&mut body);
        self.block(6, &body)
    }

    /// Writes a block of any type, for readers that must skip what they do not know.
    ///
    /// # Errors
    /// If writing fails.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let len = self.order.u32(len_u32(body.len() + 12));
        self.out.write_all(&self.order.u32(kind))?;
        self.out.write_all(&len)?;
        self.out.write_all(body)?;
        self.out.write_all(&len)
    }

    /// Writes what is still buffered and gives back what was written to.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn option(&self, body: &mut Vec<u8>, code: u16, value: &[u8]) {
        body.extend_from_slice(&self.order.u16(code));
        body.extend_from_slice(&self.order.u16(u16::try_from(value.len()).expect("generated options are short")));
        body.extend_from_slice(value);
        pad(body);
    }
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the format has 32 bits; the rest wraps")]
fn low_u32(value: i64) -> u32 {
    value as u32
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("frames are shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with_libpcap(file: &[u8]) -> Vec<(i64, Vec<u8>, u32)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        std::fs::write(&path, file).unwrap();
        let mut capture = pcap::Capture::from_file_with_precision(path, pcap::Precision::Nano).unwrap();
        let mut frames = Vec::new();
        while let Ok(packet) = capture.next_packet() {
            let at = packet.header.ts.tv_sec * NANOS_PER_SEC + packet.header.ts.tv_usec;
            frames.push((at, packet.data.to_vec(), packet.header.len));
        }
        frames
    }

    #[test]
    fn libpcap_reads_what_was_written_in_all_four_classic_forms() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for precision in [Precision::Micro, Precision::Nano] {
                let mut writer = PcapWriter::new(Vec::new(), ETHERNET, precision, order).unwrap();
                writer.write(1_700_000_000_123_456_000, &[1; 60]).unwrap();
                writer.write_cut(1_700_000_001_000_000_000, &[2; 64], 1514).unwrap();
                let frames = read_with_libpcap(&writer.finish().unwrap());
                assert_eq!(frames.len(), 2, "{order:?} {precision:?}");
                assert_eq!(frames[0], (1_700_000_000_123_456_000, vec![1; 60], 60));
                assert_eq!(frames[1], (1_700_000_001_000_000_000, vec![2; 64], 1514));
            }
        }
    }

    #[test]
    fn libpcap_reads_what_was_written_as_pcapng() {
        let interface =
            |name: &str, tsresol| Interface { name: name.into(), link_type: ETHERNET, snaplen: 128, tsresol };
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let interfaces = [interface("mirror0", 6), interface("mirror1", 9), interface("mirror2", 0x80 | 20)];
            let mut writer = PcapngWriter::new(Vec::new(), order, &interfaces).unwrap();
            writer.write(0, 1_700_000_000_123_456_000, &[1; 61], 61).unwrap();
            writer.block(0x0bad, &[0; 8]).unwrap();
            writer.write(1, 1_700_000_000_123_456_789, &[2; 60], 1514).unwrap();
            writer.write(2, 1_700_000_000_500_000_000, &[3; 60], 60).unwrap();
            let frames = read_with_libpcap(&writer.finish().unwrap());
            assert_eq!(frames.len(), 3, "{order:?}");
            assert_eq!(frames[0], (1_700_000_000_123_456_000, vec![1; 61], 61));
            assert_eq!(frames[1], (1_700_000_000_123_456_789, vec![2; 60], 1514));
            assert_eq!(frames[2].0, 1_700_000_000_500_000_000);
        }
    }
}
