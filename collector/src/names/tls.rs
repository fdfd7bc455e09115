//! TLS hellos: RFC 8446, section 4.1, and RFC 5246, section 7.4.1; those of
//! DTLS (RFC 6347, section 4.2.1) have a cookie more.
//!
//! Only reads: borrows from the message, allocates nothing. What does not have
//! the exact form is no hello: a server would refuse it too.

mod row;
#[cfg(test)]
mod tests;
mod text;

pub(super) use row::{bare_row, chosen, learned, row};

use super::{octets::Octets, vectors::pairs};

/// A client's hello.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientHello<'a> {
    /// The version field; since TLS 1.3 not what is meant.
    pub legacy_version: u16,
    /// What the client made up for this hello.
    pub random: [u8; 32],
    /// Code points of two octets each, in the client's order.
    pub ciphers: &'a [u8],
    /// The whole extension block.
    extensions: &'a [u8],
}

/// What a server chose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerHello<'a> {
    /// The version both will speak.
    pub version: u16,
    /// The cipher suite both will use.
    pub cipher: u16,
    /// The application protocol, if told in the clear; empty: not told.
    pub alpn: &'a [u8],
    /// The server wants another hello first (RFC 8446, section 4.1.4).
    pub is_retry: bool,
}

/// An extension of a hello.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension<'a> {
    pub(super) code: u16,
    pub(super) data: &'a [u8],
}

/// Of which protocol a hello is: those of DTLS have a cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Tls,
    Dtls,
}

impl Form {
    /// The first octet of each version.
    fn major(self) -> u16 {
        match self {
            Self::Tls => 0x03,
            Self::Dtls => 0xfe,
        }
    }
}

/// Reads the body of a `ClientHello` of TLS, without the handshake header.
#[must_use]
pub fn read_client_hello(body: &[u8]) -> Option<ClientHello<'_>> {
    read_client_hello_of(Form::Tls, body)
}

/// Reads the body of a `ClientHello`.
pub(super) fn read_client_hello_of(form: Form, body: &[u8]) -> Option<ClientHello<'_>> {
    let mut octets = Octets(body);
    let hello = read_to_extensions(&mut octets, form)?;
    let extensions = read_extension_block(octets)?;
    Some(ClientHello { extensions, ..hello })
}

/// The name in a `ClientHello` whose end the capture did not keep, if the name
/// was kept. `body` is what there is.
pub(super) fn server_name_of_cut_hello(body: &[u8]) -> Option<&[u8]> {
    let mut octets = Octets(body);
    read_to_extensions(&mut octets, Form::Tls)?;
    octets.be16()?;
    Extensions(octets).find(|extension| extension.code == SERVER_NAME).and_then(|found| host_name(found.data))
}

/// Reads the body of a `ServerHello` of TLS, without the handshake header.
#[must_use]
pub fn read_server_hello(body: &[u8]) -> Option<ServerHello<'_>> {
    read_server_hello_of(Form::Tls, body)
}

/// Reads the body of a `ServerHello`.
pub(super) fn read_server_hello_of(form: Form, body: &[u8]) -> Option<ServerHello<'_>> {
    let mut octets = Octets(body);
    let legacy_version = octets.be16().filter(|version| version >> 8 == form.major())?;
    let random: [u8; 32] = octets.array()?;
    octets.vec8().filter(|id| id.len() <= MAX_SESSION_ID)?;
    let cipher = octets.be16()?;
    let _compression = octets.u8()?;
    let extensions = read_extension_block(octets)?;
    let data_of = |code| Extensions(Octets(extensions)).find(|found| found.code == code).map(|found| found.data);
    Some(ServerHello {
        // RFC 8446, section 4.2.1: the chosen version alone, without a length.
        version: data_of(SUPPORTED_VERSIONS).and_then(|data| Octets(data).be16()).unwrap_or(legacy_version),
        cipher,
        alpn: data_of(ALPN).and_then(|data| protocols(data).next()).unwrap_or_default(),
        is_retry: random == HELLO_RETRY_REQUEST,
    })
}

/// RFC 8701: values that stand for nothing, so that servers learn to ignore them.
#[must_use]
pub fn is_grease(code: u16) -> bool {
    let [high, low] = code.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

impl<'a> ClientHello<'a> {
    /// The highest version offered (RFC 8446, section 4.2.1); DTLS counts down.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.data_of(SUPPORTED_VERSIONS)
            .and_then(|data| Octets(data).vec8())
            .into_iter()
            .flat_map(pairs)
            .filter(|version| !is_grease(*version))
            .max_by_key(|version| rank(*version))
            .unwrap_or(self.legacy_version)
    }

    /// As on the wire (RFC 6066, section 3); `None`: not told, or not so that it can be read.
    #[must_use]
    pub fn server_name(&self) -> Option<&'a [u8]> {
        self.data_of(SERVER_NAME).and_then(host_name)
    }

    /// The application protocols, as on the wire, in the client's order (RFC 7301).
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> {
        self.data_of(ALPN).into_iter().flat_map(protocols)
    }

    /// Whether an inner hello is encrypted in this one, or seems to be (RFC 9849).
    #[must_use]
    pub fn has_ech(&self) -> bool {
        self.data_of(ENCRYPTED_CLIENT_HELLO).is_some()
    }

    /// In the client's order.
    pub(super) fn extensions(&self) -> impl Iterator<Item = Extension<'a>> {
        Extensions(Octets(self.extensions))
    }

    /// Code points in the client's order.
    pub(super) fn signature_algorithms(&self) -> impl Iterator<Item = u16> {
        self.data_of(SIGNATURE_ALGORITHMS).and_then(|data| Octets(data).vec16()).into_iter().flat_map(pairs)
    }

    fn data_of(&self, code: u16) -> Option<&'a [u8]> {
        self.extensions().find(|extension| extension.code == code).map(|extension| extension.data)
    }
}

fn read_to_extensions<'a>(octets: &mut Octets<'a>, form: Form) -> Option<ClientHello<'a>> {
    let legacy_version = octets.be16().filter(|version| version >> 8 == form.major())?;
    let random = octets.array()?;
    octets.vec8().filter(|id| id.len() <= MAX_SESSION_ID)?;
    if form == Form::Dtls {
        let _cookie = octets.vec8()?;
    }
    let ciphers = octets.vec16().filter(|ciphers| ciphers.len() % 2 == 0)?;
    let _compressions = octets.vec8().filter(|methods| !methods.is_empty())?;
    Some(ClientHello { legacy_version, random, ciphers, extensions: &[] })
}

/// The block at a hello's end, which old hellos do not have, after a check that
/// it is made of extensions and nothing else.
fn read_extension_block(mut octets: Octets<'_>) -> Option<&[u8]> {
    if octets.is_empty() {
        return Some(&[]);
    }
    let block = octets.vec16().filter(|_| octets.is_empty())?;
    let mut inside = Octets(block);
    while !inside.is_empty() {
        inside.be16()?;
        inside.vec16()?;
    }
    Some(block)
}

struct Extensions<'a>(Octets<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(Extension { code: self.0.be16()?, data: self.0.vec16()? })
    }
}

fn host_name(data: &[u8]) -> Option<&[u8]> {
    let mut list = Octets(Octets(data).vec16()?);
    while !list.is_empty() {
        let name_type = list.u8()?;
        let name = list.vec16()?;
        if name_type == HOST_NAME {
            return Some(name).filter(|name| (1..=MAX_HOST_NAME).contains(&name.len()));
        }
    }
    None
}

fn protocols(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut list = Octets(Octets(data).vec16().unwrap_or_default());
    std::iter::from_fn(move || list.vec8())
}

/// Versions in the order of their age: known ones above unknown ones.
fn rank(version: u16) -> (u8, u16) {
    match version >> 8 {
        // SSL 3.0 to TLS 1.3.
        3 => (1, version),
        // DTLS: ones' complement of 1.0, 1.2, 1.3.
        0xfe => (1, !version),
        _ => (0, version),
    }
}

pub(super) const SERVER_NAME: u16 = 0x0000;
const SIGNATURE_ALGORITHMS: u16 = 0x000d;
pub(super) const ALPN: u16 = 0x0010;
const SUPPORTED_VERSIONS: u16 = 0x002b;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// RFC 6066, section 3: the only type of name there is.
const HOST_NAME: u8 = 0;
/// A DNS name in presentation format without escapes.
const MAX_HOST_NAME: usize = 255;
/// RFC 8446, section 4.1.2.
const MAX_SESSION_ID: usize = 32;
/// RFC 8446, section 4.1.3: the SHA-256 of `HelloRetryRequest`.
pub(super) const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
