//! Capture files made octet by octet: formats, packing, damage.

mod damage;
mod formats;
mod properties;

use std::io::{Cursor, Write};

use super::{DamagedFile, FileReader, OpenFileError};
use crate::{capture::file::Damage, chunk::Chunk, packet::Packet};

fn open(file: &[u8]) -> Result<FileReader, OpenFileError> {
    FileReader::from_reader("test.pcap", Cursor::new(file.to_vec()))
}

/// All chunks, and what was wrong after them.
fn read(file: &[u8]) -> (Vec<Chunk>, Option<DamagedFile>) {
    let mut reader = open(file).unwrap();
    let mut chunks = Vec::new();
    loop {
        match reader.read_chunk(3) {
            Ok(Some(chunk)) => chunks.push(chunk),
            Ok(None) => return (chunks, None),
            Err(damaged) => {
                assert!(reader.read_chunk(3).unwrap().is_none(), "nothing comes after damage");
                return (chunks, Some(damaged));
            }
        }
    }
}

/// The packets of a file that is as it should be.
fn packets(file: &[u8]) -> Vec<Packet> {
    let (chunks, damaged) = read(file);
    assert!(damaged.is_none(), "{damaged:?}");
    chunks.into_iter().flat_map(|chunk| chunk.packets).collect()
}

/// Byte order of the file to be made.
#[derive(Clone, Copy, Debug)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }
}

/// 192.0.2.1 > 198.51.100.7 over raw IP, 28 octets.
const FRAME: [u8; 28] =
    [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7, 0x04, 0xd2, 0x01, 0xbb, 0, 8, 0, 0];
const RAW_IP: u32 = 101;

fn pcap_header(order: Order, magic: u32, link_type: u32) -> Vec<u8> {
    let words = [0, 0, 65_535, link_type].map(|word| order.u32(word)).concat();
    [&order.u32(magic)[..], &order.u16(2), &order.u16(4), &words].concat()
}

fn pcap_packet(order: Order, secs: u32, ticks: u32, wire_bytes: u32, bytes: &[u8]) -> Vec<u8> {
    let captured_bytes = u32::try_from(bytes.len()).unwrap();
    [&[secs, ticks, captured_bytes, wire_bytes].map(|word| order.u32(word)).concat(), bytes].concat()
}

/// A file of `count` packets a second apart.
fn pcap(count: u32) -> Vec<u8> {
    let mut file = pcap_header(Order::Little, 0xa1b2_c3d4, RAW_IP);
    for secs in 0..count {
        file.extend(pcap_packet(Order::Little, 1000 + secs, 7, 60, &FRAME));
    }
    file
}

fn block(order: Order, block_type: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = order.u32(u32::try_from(12 + body.len() + padding.len()).unwrap());
    [&order.u32(block_type), &length, body, &padding, &length].concat()
}

fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn interface(order: Order, link_type: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
    block(order, 1, &[&order.u16(link_type)[..], &[0, 0], &order.u32(snaplen), options].concat())
}

fn enhanced(order: Order, interface: u32, ticks: u64, wire_bytes: u32, bytes: &[u8]) -> Vec<u8> {
    let [high, low] = [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
    let captured_bytes = u32::try_from(bytes.len()).unwrap();
    let words = [interface, high, low, captured_bytes, wire_bytes].map(|word| order.u32(word)).concat();
    block(order, 6, &[&words, bytes].concat())
}

/// A file of one section and `count` packets.
fn pcapng(count: u32) -> Vec<u8> {
    let mut file = [section(Order::Little), interface(Order::Little, 101, 0, &[])].concat();
    for secs in 0..count {
        file.extend(enhanced(Order::Little, 0, u64::from(1000 + secs) * 1_000_000, 60, &FRAME));
    }
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}
