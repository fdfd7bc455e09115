//! Ports and flags of the transport header.

use etherparse::IpNumber;

use super::{
    Packet,
    bytes::{be16, octet},
};

/// What the transport header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transport {
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) has_ports: bool,
    pub(super) tcp_flags: u16,
    pub(super) tcp_seq: u32,
    pub(super) tcp_ack: u32,
    /// How long it says it is, or at least is if that was cut off; 0 for protocols
    /// whose header we do not know, so that all they carry counts as payload.
    pub(super) header_bytes: usize,
}

impl Transport {
    /// Nothing to be read: a later fragment, or a protocol without ports.
    pub(super) const NONE: Self = Self {
        src_port: 0,
        dst_port: 0,
        has_ports: false,
        tcp_flags: Packet::NO_TCP_FLAGS,
        tcp_seq: 0,
        tcp_ack: 0,
        header_bytes: 0,
    };

    /// The ports say that a DHCP client asks a server or relay (RFC 2131, section
    /// 4.1; RFC 8415, section 7.2).
    #[inline]
    pub(super) fn is_from_dhcp_client(&self) -> bool {
        matches!((self.src_port, self.dst_port), (68, 67) | (546, 547))
    }
}

/// Reads what is there of a transport header. `bytes` end where the IP packet
/// ends or the capture was cut, whichever comes first.
#[inline]
pub(super) fn read(protocol: IpNumber, bytes: &[u8]) -> Transport {
    match protocol {
        IpNumber::TCP => read_tcp(bytes),
        // RFC 768, RFC 3828.
        IpNumber::UDP | IpNumber::UDP_LITE => read_ports(bytes, 8),
        // RFC 9260, section 3.1.
        IpNumber::SCTP => read_ports(bytes, 12),
        // RFC 4340, section 5.1: the offset counts 32-bit words.
        IpNumber::DCCP => read_ports(bytes, octet(bytes, 4).map_or(12, |offset| usize::from(offset) * 4)),
        _ => Transport::NONE,
    }
}

/// RFC 9293, section 3.1.
#[inline]
fn read_tcp(bytes: &[u8]) -> Transport {
    let Some(offset_and_flags) = be16(bytes, 12) else {
        return read_ports(bytes, MIN_TCP_HEADER_BYTES);
    };
    let header_bytes = usize::from(offset_and_flags >> 12) * 4;
    // A header shorter than its fixed part is none: its flags would be noise.
    let ports = read_ports(bytes, header_bytes.max(MIN_TCP_HEADER_BYTES));
    match bytes.get(4..) {
        Some(&[s0, s1, s2, s3, a0, a1, a2, a3, ..]) if header_bytes >= MIN_TCP_HEADER_BYTES => Transport {
            tcp_flags: offset_and_flags & 0x0fff,
            tcp_seq: u32::from_be_bytes([s0, s1, s2, s3]),
            tcp_ack: u32::from_be_bytes([a0, a1, a2, a3]),
            ..ports
        },
        _ => ports,
    }
}

/// All transports that have ports begin with them.
#[inline]
fn read_ports(bytes: &[u8], header_bytes: usize) -> Transport {
    match bytes.first_chunk() {
        Some(&[s0, s1, d0, d1]) => Transport {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            has_ports: true,
            header_bytes,
            ..Transport::NONE
        },
        None => Transport { header_bytes, ..Transport::NONE },
    }
}

const MIN_TCP_HEADER_BYTES: usize = 20;
