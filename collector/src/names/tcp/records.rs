//! From the first octets of a TCP direction to the hello in them: TLS records
//! (RFC 8446, section 5.1), and the hello in `SSLv2`'s format that old clients open
//! with (RFC 5246, appendix E.2).

use std::borrow::Cow;

use crate::names::octets::Octets;

/// What the octets begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Start<'a> {
    /// A hello's body, and how many octets were looked at for it.
    Hello { kind: Kind, body: Cow<'a, [u8]>, used: usize },
    /// So far a hello; this many octets are needed to know more.
    More {
        wanted: usize,
        /// What there is of the handshake message.
        message: Cow<'a, [u8]>,
    },
    /// Something else.
    No,
}

/// Whose hello it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Client,
    Server,
    /// A client's that offers this version, without anything else we read.
    Sslv2 {
        version: u16,
    },
}

/// Reads as far as these octets go.
pub(super) fn read(octets: &[u8]) -> Start<'_> {
    match octets.first() {
        Some(&(HANDSHAKE | CHANGE_CIPHER_SPEC)) => read_records(octets),
        Some(0x80..) => read_sslv2(octets),
        Some(_) => Start::No,
        None => more(1),
    }
}

/// The body so far of a client's hello of which this is the message so far.
pub(super) fn client_body(message: &[u8]) -> Option<&[u8]> {
    match read_header(message) {
        Header::Hello { kind: Kind::Client, end } => message.get(HEADER_LEN..end.min(message.len())),
        _ => None,
    }
}

fn read_records(octets: &[u8]) -> Start<'_> {
    if COMPATIBILITY_CCS.starts_with(octets) {
        return more(octets.len() + 1);
    }
    // RFC 8446, appendix D.4: one may come before a second hello.
    let records = octets.strip_prefix(&COMPATIBILITY_CCS).unwrap_or(octets);
    let mut rest = Octets(records);
    let mut message = Cow::Borrowed(&[][..]);
    loop {
        let begin = octets.len() - rest.0.len();
        let Some([record_type, major, _, high, low]) = rest.array() else {
            let is_begin = rest.0.iter().zip(&HANDSHAKE_RECORD).all(|(found, expected)| found == expected);
            return if is_begin { Start::More { wanted: begin + RECORD_HEADER_LEN, message } } else { Start::No };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if [record_type, major] != HANDSHAKE_RECORD || !(1..=MAX_FRAGMENT).contains(&length) {
            return Start::No;
        }
        // The hello may be complete before its record is: servers put more into it.
        let fragment = rest.take(length.min(rest.0.len())).unwrap_or_default();
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            message.to_mut().extend_from_slice(fragment);
        }
        let end = match read_header(&message) {
            Header::Hello { kind, end } if message.len() >= end => {
                let body = body_of(message, end);
                return Start::Hello { kind, body, used: octets.len() - rest.0.len() };
            }
            Header::Hello { end, .. } => end,
            Header::More => message.len() + 1,
            Header::Other => return Start::No,
        };
        if fragment.len() < length {
            let missing = (end - message.len()).min(length - fragment.len());
            return Start::More { wanted: octets.len() + missing, message };
        }
    }
}

fn body_of(message: Cow<'_, [u8]>, end: usize) -> Cow<'_, [u8]> {
    match message {
        Cow::Borrowed(message) => Cow::Borrowed(message.get(HEADER_LEN..end).unwrap_or_default()),
        Cow::Owned(mut message) => {
            message.truncate(end);
            message.drain(..HEADER_LEN.min(end));
            Cow::Owned(message)
        }
    }
}

enum Header {
    /// A hello, which ends with this octet of the message.
    Hello {
        kind: Kind,
        end: usize,
    },
    More,
    Other,
}

/// The handshake header (RFC 8446, section 4) and the major version after it.
fn read_header(message: &[u8]) -> Header {
    let mut octets = Octets(message);
    let kind = match octets.u8() {
        Some(CLIENT_HELLO) => Kind::Client,
        Some(SERVER_HELLO) => Kind::Server,
        Some(_) => return Header::Other,
        None => return Header::More,
    };
    match (octets.u24(), octets.u8()) {
        (Some(length), Some(3)) if (MIN_HELLO..=MAX_HELLO).contains(&length) => {
            Header::Hello { kind, end: HEADER_LEN + length }
        }
        (None, _) => Header::More,
        (Some(length), None) if (MIN_HELLO..=MAX_HELLO).contains(&length) => Header::More,
        _ => Header::Other,
    }
}

/// The whole message is one record whose lengths have to fit: there is no other
/// sign that it is what it seems.
fn read_sslv2(octets: &[u8]) -> Start<'_> {
    let Some(&[high, low, message_type, v0, v1, c0, c1, i0, i1, n0, n1]) = octets.first_chunk() else {
        let may_be = octets.get(2).is_none_or(|message_type| *message_type == CLIENT_HELLO);
        return if may_be { more(SSLV2_FIXED_LEN) } else { Start::No };
    };
    let end = 2 + usize::from(u16::from_be_bytes([high & 0x7f, low]));
    let version = u16::from_be_bytes([v0, v1]);
    let [ciphers, id, challenge] = [[c0, c1], [i0, i1], [n0, n1]].map(|length| usize::from(u16::from_be_bytes(length)));
    let is_one = message_type == CLIENT_HELLO
        && matches!(version, 0x0002 | 0x0300..=0x0304)
        && ciphers > 0
        && ciphers % 3 == 0
        && matches!(id, 0 | 16)
        && (16..=32).contains(&challenge)
        && end == SSLV2_FIXED_LEN + ciphers + id + challenge
        && end <= MAX_HELLO;
    match octets.get(SSLV2_FIXED_LEN..end) {
        _ if !is_one => Start::No,
        Some(body) => Start::Hello { kind: Kind::Sslv2 { version }, body: Cow::Borrowed(body), used: end },
        None => more(end),
    }
}

fn more<'a>(wanted: usize) -> Start<'a> {
    Start::More { wanted, message: Cow::Borrowed(&[]) }
}

/// RFC 8446, section 5.1: more than 2^14 octets are no plaintext record.
const MAX_FRAGMENT: usize = 1 << 14;
/// The longest hello we read. With post-quantum key shares they have some 2 KiB;
/// what RFC 8446 permits (2^17) nobody sends.
pub(super) const MAX_HELLO: usize = 1 << 14;
/// What a `ServerHello` has at least: version, random, three lengths or code points.
const MIN_HELLO: usize = 38;
const RECORD_HEADER_LEN: usize = 5;
const HEADER_LEN: usize = 4;
const HANDSHAKE: u8 = 22;
/// The first octets of each record with a hello: SSL 3.0 to TLS 1.3 are all 3.
const HANDSHAKE_RECORD: [u8; 2] = [HANDSHAKE, 3];
const CHANGE_CIPHER_SPEC: u8 = 20;
const COMPATIBILITY_CCS: [u8; 6] = [CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1];
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Length, type, version and three lengths.
const SSLV2_FIXED_LEN: usize = 11;
