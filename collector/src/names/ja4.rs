//! JA4: a fingerprint of TLS clients, as `FoxIO` describes it
//! (`technical_details/JA4.md` of github.com/FoxIO-LLC/ja4, BSD 3-Clause).

use ahash::RandomState;
use iotq_proto::TlsTransport;
use sha2::{Digest as _, Sha256};

use super::{
    tls::{ALPN, ClientHello, SERVER_NAME, is_grease},
    vectors::pairs,
};

/// The fingerprint of a hello.
#[must_use]
pub fn fingerprint(transport: TlsTransport, hello: &ClientHello<'_>) -> String {
    Fingerprints::default().of(transport, hello)
}

/// Makes fingerprints, and remembers what the lists in them hash to: a household's
/// clients offer few different ones, and SHA-256 is most of the work.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    codes: Vec<u16>,
    list: CodeList,
    hasher: RandomState,
    /// By hash; a list displaces the one that was there. Empty until the first.
    known: Vec<Known>,
}

/// A list and the first octets of its SHA-256.
#[derive(Clone, Debug, Default)]
struct Known {
    list: Vec<u8>,
    digest: Digest,
}

impl Fingerprints {
    pub(super) fn of(&mut self, transport: TlsTransport, hello: &ClientHello<'_>) -> String {
        let mut codes = std::mem::take(&mut self.codes);
        codes.clear();
        codes.extend(pairs(hello.ciphers).filter(|code| !is_grease(*code)));
        codes.sort_unstable();
        let cipher_count = codes.len().min(MAX_COUNT);
        self.list.clear();
        self.list.push_all("", codes.iter().copied());
        let ciphers = self.digest();

        codes.clear();
        codes.extend(hello.extensions().map(|extension| extension.code).filter(|code| !is_grease(*code)));
        let extension_count = codes.len().min(MAX_COUNT);
        let destination = if codes.contains(&SERVER_NAME) { b'd' } else { b'i' };
        codes.retain(|code| !matches!(*code, SERVER_NAME | ALPN));
        codes.sort_unstable();
        self.list.clear();
        self.list.push_all("", codes.iter().copied());
        if !self.list.is_empty() {
            // A second list after the first, if it has anything.
            self.list.push_all("_", hello.signature_algorithms().filter(|code| !is_grease(*code)));
        }
        let extensions = self.digest();
        self.codes = codes;

        let carrier = match transport {
            TlsTransport::Quic => b'q',
            TlsTransport::Udp => b'd',
            TlsTransport::Tcp | TlsTransport::Unspecified => b't',
        };
        let mut text = String::with_capacity(FINGERPRINT_LEN);
        let [v0, v1] = version(hello.version());
        let [c1, c0, e1, e0] = [cipher_count / 10, cipher_count, extension_count / 10, extension_count].map(decimal);
        let [first, last] = alpn_ends(hello);
        text.extend([carrier, v0, v1, destination, c1, c0, e1, e0, first, last].map(char::from));
        for digest in [ciphers, extensions] {
            text.push('_');
            text.extend(
                digest.iter().flat_map(|octet| [*octet >> 4, *octet]).map(|half| char::from(digit(half.into()))),
            );
        }
        text
    }

    /// Of the list written last; zeros for an empty one.
    fn digest(&mut self) -> Digest {
        let list = self.list.0.as_slice();
        if list.is_empty() {
            return Digest::default();
        }
        if list.len() > MAX_KNOWN_BYTES {
            return digest_of(list);
        }
        if self.known.is_empty() {
            self.known = vec![Known::default(); KNOWN_LISTS];
        }
        let place = usize::try_from(self.hasher.hash_one(list)).unwrap_or(usize::MAX) % KNOWN_LISTS;
        let Some(known) = self.known.get_mut(place) else { return digest_of(list) };
        if known.list != list {
            known.digest = digest_of(list);
            known.list.clear();
            known.list.extend_from_slice(list);
        }
        known.digest
    }
}

type Digest = [u8; 6];

/// The first octets of its SHA-256.
fn digest_of(list: &[u8]) -> Digest {
    let [a, b, c, d, e, f, ..]: [u8; 32] = Sha256::digest(list).into();
    [a, b, c, d, e, f]
}

/// Code points as they are hashed: four hexadecimal digits each, with commas between.
#[derive(Debug, Default)]
struct CodeList(Vec<u8>);

impl CodeList {
    fn push_all(&mut self, before_first: &'static str, codes: impl IntoIterator<Item = u16>) {
        let mut separator = before_first;
        for code in codes {
            self.0.extend_from_slice(separator.as_bytes());
            self.0.extend_from_slice(&[code >> 12, code >> 8, code >> 4, code].map(digit));
            separator = ",";
        }
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn version(code: u16) -> [u8; 2] {
    *match code {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        0xfeff => b"d1",
        0xfefd => b"d2",
        0xfefc => b"d3",
        _ => b"00",
    }
}

/// The first protocol's first and last character; if one of them is neither
/// letter nor digit, of its hexadecimal form.
fn alpn_ends(hello: &ClientHello<'_>) -> [u8; 2] {
    let is_grease_name =
        |name: &&[u8]| <[u8; 2]>::try_from(*name).is_ok_and(|code| is_grease(u16::from_be_bytes(code)));
    let name = hello.alpn().find(|name| !is_grease_name(name)).unwrap_or_default();
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last];
    }
    [first >> 4, last].map(|half| digit(half.into()))
}

/// The lowest four bits as a digit; `write!` takes four times as long.
fn digit(number: u16) -> u8 {
    b"0123456789abcdef".get(usize::from(number & 0x0f)).copied().unwrap_or(b'0')
}

/// The last decimal digit.
fn decimal(number: usize) -> u8 {
    b"0123456789".get(number % 10).copied().unwrap_or(b'0')
}

/// Two digits have no more.
const MAX_COUNT: usize = 99;
/// `t13d1516h2_8daaf6152771_e5627efa2ab1`.
const FINGERPRINT_LEN: usize = 36;
/// A home's clients have some dozen lists of ciphers and of extensions. Hostile
/// ones displace only what lies where theirs come to lie, and cannot aim.
const KNOWN_LISTS: usize = 256;
/// Usual lists have 50 to 200 octets: all that is remembered takes 128 KiB at most.
const MAX_KNOWN_BYTES: usize = 512;
