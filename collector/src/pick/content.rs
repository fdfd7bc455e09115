//! What the first octets of a payload look like.

/// What a stream is, by its first segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// Of interest are so many octets from its begin.
    Wanted(u32),
    /// It may become so; more octets are needed to tell.
    Unsure,
    /// It names nothing that we read.
    Nothing,
}

/// What a stream is that begins with this.
pub(super) fn of(payload: &[u8]) -> Content {
    match payload {
        [] => Content::Unsure,
        [HANDSHAKE, ..] => tls(payload),
        // A middlebox that wants to see one gets it before the second hello
        // (RFC 8446, appendix D.4).
        [CHANGE_CIPHER_SPEC, 3, _, 0, 1, 1, rest @ ..] => match tls(rest) {
            Content::Wanted(wanted) if is_hello(rest) => Content::Wanted(wanted + 6),
            _ => Content::Nothing,
        },
        [high, ..] if high & 0x80 != 0 => ssl2(payload),
        [CONNECT, ..] => mqtt(payload),
        [b'A'..=b'Z', ..] => http(payload),
        _ => Content::Nothing,
    }
}

/// Whether it is the begin of a TLS `ClientHello` or `ServerHello`, or nothing but
/// the `ChangeCipherSpec` that goes before a second one.
#[inline]
pub(super) fn is_hello(payload: &[u8]) -> bool {
    match payload {
        [HANDSHAKE, 3, _, _, _, CLIENT_HELLO | SERVER_HELLO, ..] => true,
        [CHANGE_CIPHER_SPEC, 3, _, 0, 1, 1, rest @ ..] => {
            matches!(rest, [HANDSHAKE, 3, _, _, _, CLIENT_HELLO | SERVER_HELLO, ..])
        }
        _ => false,
    }
}

/// A QUIC packet that carries a hello, or a record of a DTLS handshake.
#[inline]
pub(super) fn is_handshake_datagram(payload: &[u8]) -> bool {
    let Some(&[first, v0, v1, v2, v3]) = payload.first_chunk() else {
        return false;
    };
    // RFC 6347, section 4.1: 1.0 is 0xfeff, 1.2 is 0xfefd, and 1.3 says so too.
    if first == HANDSHAKE {
        return v0 == 0xfe;
    }
    // RFC 9000, section 17.2: a long header. The two bits after those are its type.
    if first & 0xc0 != 0xc0 {
        return false;
    }
    let packet_type = first >> 4 & 3;
    match u32::from_be_bytes([v0, v1, v2, v3]) {
        VERSION_NEGOTIATION => true,
        // Initial and Retry (RFC 9369, section 3.2).
        QUIC_V2 => matches!(packet_type, 1 | 0),
        // The same (RFC 9000, sections 17.2.2 and 17.2.5).
        QUIC_V1 | 0xff00_0000..=0xff00_00ff => matches!(packet_type, 0 | 3),
        _ => false,
    }
}

/// RFC 8446, sections 5.1 and 4: a record, and in it a handshake message.
fn tls(payload: &[u8]) -> Content {
    let Some(&[_, major, _, r0, r1, kind, m0, m1, m2]) = payload.first_chunk() else {
        return if payload.get(1).is_none_or(|major| *major == 3) { Content::Unsure } else { Content::Nothing };
    };
    if major != 3 || !matches!(kind, CLIENT_HELLO | SERVER_HELLO) {
        return Content::Nothing;
    }
    let record = u32::from(u16::from_be_bytes([r0, r1])).max(1);
    let message = u32::from_be_bytes([0, m0, m1, m2]) + 4;
    // If it is cut into records, the others are about as long as the first.
    let records = message.div_ceil(record);
    let slack = if records > 1 { 1 } else { 0 };
    Content::Wanted(message.saturating_add((records + slack).saturating_mul(5)))
}

/// The SSL 2.0 form of a `ClientHello` (RFC 5246, appendix E.2).
fn ssl2(payload: &[u8]) -> Content {
    match payload {
        [l0, l1, CLIENT_HELLO, 0, 2, ..] | [l0, l1, CLIENT_HELLO, 3, 0..=4, ..] => {
            Content::Wanted(u32::from(u16::from_be_bytes([*l0 & 0x7f, *l1])) + 2)
        }
        [_] | [_, _] | [_, _, CLIENT_HELLO] | [_, _, CLIENT_HELLO, 0 | 3] => Content::Unsure,
        _ => Content::Nothing,
    }
}

/// MQTT 3.1.1 and 5.0, section 3.1; 3.1 calls itself `MQIsdp`.
fn mqtt(payload: &[u8]) -> Content {
    let mut length = 0_u32;
    for (index, octet) in payload.iter().skip(1).take(4).enumerate() {
        length |= u32::from(octet & 0x7f) << (7 * index);
        if octet & 0x80 == 0 {
            let begin = index + 2;
            let name = payload.get(begin..).unwrap_or_default();
            return match name.first_chunk() {
                Some([0, 4, b'M', b'Q'] | [0, 6, b'M', b'Q']) => {
                    Content::Wanted(length + u32::try_from(begin).unwrap_or(5))
                }
                Some(_) => Content::Nothing,
                None => Content::Unsure,
            };
        }
    }
    if payload.len() < 5 { Content::Unsure } else { Content::Nothing }
}

/// A request line (RFC 9112, section 3), whatever its method.
fn http(payload: &[u8]) -> Content {
    let method = payload.iter().take_while(|octet| matches!(octet, b'A'..=b'Z' | b'-')).count();
    match (payload.get(method), payload.get(method + 1)) {
        _ if method > MAX_METHOD => Content::Nothing,
        (None, _) | (Some(b' '), None) => Content::Unsure,
        (Some(b' '), Some(b'/' | b'*' | b'h' | b'H')) => Content::Wanted(MAX_REQUEST_BYTES),
        (Some(b' '), _) if payload.starts_with(b"CONNECT ") => Content::Wanted(MAX_REQUEST_BYTES),
        _ => Content::Nothing,
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CONNECT: u8 = 0x10;
const VERSION_NEGOTIATION: u32 = 0;
const QUIC_V1: u32 = 1;
const QUIC_V2: u32 = 0x6b33_43cf;
/// `UPDATEREDIRECTREF`, the longest that IANA lists, has 17 letters.
const MAX_METHOD: usize = 20;
/// The Host comes first as a rule (RFC 9110, section 7.2); cookies come late.
const MAX_REQUEST_BYTES: u32 = 4 << 10;
