//! Writes TCP segments and UDP datagrams of IPv4 in place.

use crate::{random::Random, traffic::MIN_FRAME_BYTES};

/// Octets of Ethernet, IPv4 and TCP headers without options.
const TCP_HEADERS: usize = 54;
/// Octets of Ethernet, IPv4 and UDP headers.
const UDP_HEADERS: usize = 42;
/// Twice the longest payload, so that there is something to choose from.
const NOISE_BYTES: usize = 1 << 16;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// One end of a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    pub(super) mac: [u8; 6],
    pub(super) ip: [u8; 4],
    pub(super) port: u16,
}

/// What a segment carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    /// Nothing.
    None,
    /// One record of TLS application data, of this length on the wire.
    Secret(usize),
    /// The inside of a record that began in an earlier segment.
    Noise(usize),
    /// These octets.
    Octets(&'a [u8]),
}

/// TCP's numbers and flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
}

/// A place to write one frame at a time in.
pub(super) struct Forge {
    frame: Vec<u8>,
    noise: Vec<u8>,
    /// Entry `i` is the sum of the noise's 16-bit words before word `i`.
    sums: Vec<u64>,
    ip_id: u16,
    at: usize,
}

impl Forge {
    pub(super) fn new(random: &mut Random) -> Self {
        let noise = random.octets(NOISE_BYTES);
        let mut sums = vec![0];
        let mut sum = 0;
        for pair in noise.chunks_exact(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
            sums.push(sum);
        }
        Self { frame: vec![0; 2048], noise, sums, ip_id: 0, at: 0 }
    }

    /// A TCP segment in a frame, good until the next call.
    pub(super) fn tcp(&mut self, src: &End, dst: &End, segment: Segment, payload: Payload<'_>) -> &[u8] {
        let (len, payload_sum) = self.put_payload(TCP_HEADERS, payload);
        self.put_ip(src, dst, TCP, 20 + len);
        let header = &mut self.frame[34..TCP_HEADERS];
        header[0..2].copy_from_slice(&src.port.to_be_bytes());
        header[2..4].copy_from_slice(&dst.port.to_be_bytes());
        header[4..8].copy_from_slice(&segment.seq.to_be_bytes());
        header[8..12].copy_from_slice(&segment.ack.to_be_bytes());
        header[12..20].copy_from_slice(&[0x50, segment.flags, 0x16, 0xd0, 0, 0, 0, 0]);
        let sum = self.transport_sum(TCP, TCP_HEADERS, 20 + len, payload_sum);
        self.frame[50..52].copy_from_slice(&sum.to_be_bytes());
        self.finish(TCP_HEADERS + len)
    }

    /// A UDP datagram in a frame, good until the next call.
    pub(super) fn udp(&mut self, src: &End, dst: &End, payload: Payload<'_>) -> &[u8] {
        let (len, payload_sum) = self.put_payload(UDP_HEADERS, payload);
        self.put_ip(src, dst, UDP, 8 + len);
        let header = &mut self.frame[34..UDP_HEADERS];
        header[0..2].copy_from_slice(&src.port.to_be_bytes());
        header[2..4].copy_from_slice(&dst.port.to_be_bytes());
        header[4..6].copy_from_slice(&length(8 + len));
        header[6..8].copy_from_slice(&[0, 0]);
        let sum = match self.transport_sum(UDP, UDP_HEADERS, 8 + len, payload_sum) {
            // 0 would say that there is none (RFC 768).
            0 => 0xffff,
            sum => sum,
        };
        self.frame[40..42].copy_from_slice(&sum.to_be_bytes());
        self.finish(UDP_HEADERS + len)
    }

    /// Returns the payload's length and the sum of its words.
    fn put_payload(&mut self, at: usize, payload: Payload<'_>) -> (usize, u64) {
        match payload {
            Payload::None => (0, 0),
            Payload::Octets(octets) => {
                self.frame[at..at + octets.len()].copy_from_slice(octets);
                (octets.len(), sum_of(octets))
            }
            Payload::Noise(len) => (len, self.put_noise(at, len)),
            Payload::Secret(len) => {
                let sum = self.put_noise(at, len);
                let before = sum_of(&self.frame[at..at + 6]);
                self.frame[at..at + 3].copy_from_slice(&[23, 3, 3]);
                let record = length(len.saturating_sub(5));
                self.frame[at + 3..at + 5].copy_from_slice(&record);
                (len, sum - before + sum_of(&self.frame[at..at + 6]))
            }
        }
    }

    fn put_noise(&mut self, at: usize, len: usize) -> u64 {
        self.at = (self.at + 2 * 611) % (NOISE_BYTES - 2048);
        self.frame[at..at + len].copy_from_slice(&self.noise[self.at..self.at + len]);
        let words = self.sums[(self.at + len) / 2] - self.sums[self.at / 2];
        let last = if len % 2 == 1 { u64::from(self.frame[at + len - 1]) << 8 } else { 0 };
        words + last
    }

    fn put_ip(&mut self, src: &End, dst: &End, protocol: u8, payload_len: usize) {
        self.ip_id = self.ip_id.wrapping_add(1);
        let frame = &mut self.frame;
        frame[0..6].copy_from_slice(&dst.mac);
        frame[6..12].copy_from_slice(&src.mac);
        frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0x00]);
        frame[16..18].copy_from_slice(&length(20 + payload_len));
        frame[18..20].copy_from_slice(&self.ip_id.to_be_bytes());
        frame[20..26].copy_from_slice(&[0x40, 0x00, 64, protocol, 0, 0]);
        frame[26..30].copy_from_slice(&src.ip);
        frame[30..34].copy_from_slice(&dst.ip);
        let sum = folded(sum_of(&frame[14..34]));
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }

    fn transport_sum(&self, protocol: u8, headers_end: usize, len: usize, payload_sum: u64) -> u16 {
        // The pseudo header: both addresses, protocol, length (RFC 9293, section 3.1).
        let pseudo = sum_of(&self.frame[26..34]) + u64::from(protocol) + len as u64;
        folded(pseudo + sum_of(&self.frame[34..headers_end]) + payload_sum)
    }

    fn finish(&mut self, len: usize) -> &[u8] {
        if len < MIN_FRAME_BYTES {
            self.frame[len..MIN_FRAME_BYTES].fill(0);
        }
        &self.frame[..len.max(MIN_FRAME_BYTES)]
    }
}

fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("a forged frame is shorter than 2 KiB").to_be_bytes()
}

fn sum_of(octets: &[u8]) -> u64 {
    let pairs = octets.chunks_exact(2);
    let last = pairs.remainder().first().map_or(0, |last| u64::from(*last) << 8);
    pairs.fold(last, |sum, pair| sum + u64::from(u16::from_be_bytes([pair[0], pair[1]])))
}

fn folded(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
