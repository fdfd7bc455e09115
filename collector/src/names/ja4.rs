//! JA4: a fingerprint of TLS clients, as `FoxIO` describes it
//! (`technical_details/JA4.md` of github.com/FoxIO-LLC/ja4, BSD 3-Clause).

use iotq_proto::TlsTransport;
use sha2::{Digest as _, Sha256};

use super::{
    tls::{ALPN, ClientHello, SERVER_NAME, is_grease},
    vectors::pairs,
};

/// The fingerprint of a hello.
#[must_use]
pub fn fingerprint(transport: TlsTransport, hello: &ClientHello<'_>) -> String {
    let mut ciphers = Vec::with_capacity(hello.ciphers.len() / 2);
    ciphers.extend(pairs(hello.ciphers).filter(|code| !is_grease(*code)));
    let mut extensions = Vec::with_capacity(USUAL_EXTENSIONS);
    extensions.extend(hello.extensions().map(|extension| extension.code).filter(|code| !is_grease(*code)));
    let (cipher_count, extension_count) = (ciphers.len().min(MAX_COUNT), extensions.len().min(MAX_COUNT));
    let destination = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    ciphers.sort_unstable();
    extensions.retain(|code| !matches!(*code, SERVER_NAME | ALPN));
    extensions.sort_unstable();

    let carrier = match transport {
        TlsTransport::Quic => 'q',
        TlsTransport::Udp => 'd',
        TlsTransport::Tcp | TlsTransport::Unspecified => 't',
    };
    let version = version(hello.version());
    let [first, last] = alpn_ends(hello);
    let cipher_list = CodeList::of(ciphers);
    let mut extension_list = CodeList::of(extensions);
    if !extension_list.is_empty() {
        extension_list.append(hello.signature_algorithms().filter(|code| !is_grease(*code)));
    }
    let [ciphers, extensions] = [cipher_list.hash(), extension_list.hash()];
    format!("{carrier}{version}{destination}{cipher_count:02}{extension_count:02}{first}{last}_{ciphers}_{extensions}")
}

/// Code points as they are hashed: four hexadecimal digits each, with commas between.
struct CodeList(Vec<u8>);

impl CodeList {
    fn of(codes: Vec<u16>) -> Self {
        let mut list = Self(Vec::with_capacity((codes.len() + USUAL_EXTENSIONS) * 5));
        list.push_all("", codes);
        list
    }

    /// A second list after the first, if it has anything.
    fn append(&mut self, codes: impl Iterator<Item = u16>) {
        self.push_all("_", codes);
    }

    fn push_all(&mut self, before_first: &'static str, codes: impl IntoIterator<Item = u16>) {
        let mut separator = before_first;
        for code in codes {
            self.0.extend_from_slice(separator.as_bytes());
            self.0.extend_from_slice(&[code >> 12, code >> 8, code >> 4, code].map(digit));
            separator = ",";
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first twelve hexadecimal digits of its SHA-256; zeros for an empty one.
    fn hash(&self) -> String {
        if self.is_empty() {
            return NO_HASH.to_owned();
        }
        let hash = Sha256::digest(&self.0);
        hash.iter().take(NO_HASH.len() / 2).flat_map(|octet| [*octet >> 4, *octet]).map(hexadecimal).collect()
    }
}

fn version(code: u16) -> &'static str {
    match code {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// The first protocol's first and last character; if one of them is neither
/// letter nor digit, of its hexadecimal form.
fn alpn_ends(hello: &ClientHello<'_>) -> [char; 2] {
    let is_grease_name =
        |name: &&[u8]| <[u8; 2]>::try_from(*name).is_ok_and(|code| is_grease(u16::from_be_bytes(code)));
    let name = hello.alpn().find(|name| !is_grease_name(name)).unwrap_or_default();
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first.into(), last.into()];
    }
    [first >> 4, last].map(hexadecimal)
}

/// The lowest four bits as a digit; `write!` takes four times as long.
fn digit(number: u16) -> u8 {
    b"0123456789abcdef".get(usize::from(number & 0x0f)).copied().unwrap_or(b'0')
}

fn hexadecimal(number: u8) -> char {
    digit(number.into()).into()
}

/// More than clients have as a rule, of extensions and of signature algorithms.
const USUAL_EXTENSIONS: usize = 24;
/// Two digits have no more.
const MAX_COUNT: usize = 99;
/// Instead of the hash of an empty list.
const NO_HASH: &str = "000000000000";
