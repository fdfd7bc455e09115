//! The outside of QUIC's long packets (RFC 9000, section 17.2; RFC 8999), and what
//! is inside of Initial packets (sections 12.4 and 19).

use rustls::quic::Version;

use crate::names::octets::Octets;

/// A packet that carries the begin of the handshake, still protected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Initial<'a> {
    pub(super) version: u32,
    pub(super) keys_version: Version,
    /// Of a client's first packet: what its keys are made from.
    pub(super) destination_id: &'a [u8],
    /// Up to the packet number.
    pub(super) header: &'a [u8],
    /// Packet number and payload.
    pub(super) protected: &'a [u8],
}

/// Whether these octets may begin a QUIC packet of a version we read.
pub(super) fn is_long(datagram: &[u8]) -> bool {
    matches!(datagram.first_chunk(), Some(&[first, v0, v1, v2, v3])
        if first & LONG_HEADER != 0 && keys_version(u32::from_be_bytes([v0, v1, v2, v3])).is_some())
}

/// The Initial packets of a datagram, of which it may have several, and others
/// between them (RFC 9000, section 12.2).
pub(super) fn initials(datagram: &[u8]) -> impl Iterator<Item = Initial<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || next_packet(&mut rest)).take(MAX_COALESCED).flatten()
}

/// Takes a packet off; the inner `None`: it is no Initial.
fn next_packet<'a>(rest: &mut &'a [u8]) -> Option<Option<Initial<'a>>> {
    let whole = *rest;
    let mut octets = Octets(whole);
    let first = octets.u8().filter(|first| first & LONG_HEADER != 0)?;
    let version = octets.be32()?;
    let keys_version = keys_version(version)?;
    let destination_id = octets.vec8().filter(|id| id.len() <= MAX_ID)?;
    octets.vec8().filter(|id| id.len() <= MAX_ID)?;
    let packet_type = PacketType::of(keys_version, first);
    if packet_type == PacketType::Retry {
        return None;
    }
    if packet_type == PacketType::Initial {
        let token_len = octets.varint_len()?;
        octets.take(token_len)?;
    }
    let length = octets.varint_len()?;
    let header = whole.get(..whole.len() - octets.0.len())?;
    let protected = octets.take(length)?;
    *rest = octets.0;
    let is_initial = packet_type == PacketType::Initial;
    Some(is_initial.then_some(Initial { version, keys_version, destination_id, header, protected }))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PacketType {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

impl PacketType {
    fn of(version: Version, first: u8) -> Self {
        // RFC 9369, section 3.2: version 2 counts from another begin.
        let shift = u8::from(matches!(version, Version::V2));
        match ((first >> 4).wrapping_sub(shift)) & 3 {
            0 => Self::Initial,
            1 => Self::ZeroRtt,
            2 => Self::Handshake,
            _ => Self::Retry,
        }
    }
}

/// How a version makes its first keys; `None`: we do not know.
fn keys_version(version: u32) -> Option<Version> {
    match version {
        // Drafts 33 and 34 are what became version 1.
        1 | 0xff00_0021 | 0xff00_0022 => Some(Version::V1),
        // RFC 9369, section 3.1.
        0x6b33_43cf => Some(Version::V2),
        0xff00_001d..=0xff00_0020 => Some(Version::V1Draft),
        _ => None,
    }
}

/// The CRYPTO frames of an Initial's payload, each with its offset. Ends at what
/// may not be there.
pub(super) fn crypto_frames(payload: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut octets = Octets(payload);
    std::iter::from_fn(move || {
        loop {
            match octets.varint()? {
                PADDING | PING => {}
                frame @ (ACK | ACK_ECN) => pass_ack(&mut octets, frame == ACK_ECN)?,
                CRYPTO => {
                    let offset = octets.varint()?;
                    let length = octets.varint_len()?;
                    return Some((offset, octets.take(length)?));
                }
                _ => return None,
            }
        }
    })
}

/// RFC 9000, section 19.3.
fn pass_ack(octets: &mut Octets<'_>, has_ecn: bool) -> Option<()> {
    let _largest = octets.varint()?;
    let _delay = octets.varint()?;
    let ranges = octets.varint()?;
    let _first_range = octets.varint()?;
    // However many they claim to be: each takes octets, and those end.
    for _ in 0..ranges {
        octets.varint()?;
        octets.varint()?;
    }
    for _ in 0..if has_ecn { 3 } else { 0 } {
        octets.varint()?;
    }
    Some(())
}

const LONG_HEADER: u8 = 0x80;
/// RFC 9000, section 17.2: in versions 1 and 2.
const MAX_ID: usize = 20;
/// A datagram holds some Initials and a packet or two of 0-RTT.
const MAX_COALESCED: usize = 8;
// RFC 9000, section 19.
const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
const ACK_ECN: u64 = 0x03;
const CRYPTO: u64 = 0x06;
