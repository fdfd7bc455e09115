//! TLS records and handshake messages: those of TLS 1.2 (RFC 5246, RFC 6066), and
//! a browser's `ClientHello` of TLS 1.3 (RFC 8446, section 4.1.2).
//!
//! Nothing is encrypted with anything: what would be ciphertext is noise.

use crate::random::Random;

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;
const TLS_1_2: [u8; 2] = [3, 3];
/// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
const CIPHER: [u8; 2] = [0xc0, 0x2f];

/// JA4 of [`client_hello`] without ALPN.
///
/// This one and [`BROWSER_JA4`] were computed apart from this code, by hand from the
/// lists below as `FoxIO`'s description of JA4 says: version, SNI, number of ciphers and
/// extensions, first and last letter of the first ALPN, then two truncated SHA-256.
pub const THING_JA4: &str = "t12d090500_522de2e3a164_879041992b03";
/// JA4 of [`browser_hello`].
pub const BROWSER_JA4: &str = "t13d0911h2_f91f431d341e_b9003e5c3fb3";
/// What [`browser_hello`] offers above TLS, in its order.
pub const BROWSER_ALPN: [&str; 2] = ["h2", "http/1.1"];

/// The `ClientHello` of a browser: TLS 1.3 with TLS 1.2 as second choice, reserved
/// values strewn in (RFC 8701), and padded so that it fills one segment.
#[must_use]
pub fn browser_hello(sni: &str, random: &mut Random) -> Vec<u8> {
    // 0x0a0a, 0x1a1a, …, 0xfafa.
    let mut grease = || ((random.u16() & 0xf0) * 0x0101) | 0x0a0a;
    let (grease_cipher, grease_extension, grease_version) = (grease(), grease(), grease());
    let mut body = TLS_1_2.to_vec();
    body.extend_from_slice(&random.octets(32));
    // An old session's number, for the sake of boxes on the way.
    body.push(32);
    body.extend_from_slice(&random.octets(32));
    let ciphers = [grease_cipher, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8];
    with_length(&mut body, 2, |out| ciphers.iter().for_each(|cipher| out.extend_from_slice(&cipher.to_be_bytes())));
    body.extend_from_slice(&[1, 0]);
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    with_length(&mut body, 2, |out| {
        extension(out, grease_extension, |_| {});
        server_name(out, sni);
        extension(out, 23, |_| {});
        // renegotiation_info: none before.
        extension(out, 0xff01, |out| out.push(0));
        // supported_groups: x25519, secp256r1, secp384r1.
        extension(out, 10, |out| with_length(out, 2, |out| out.extend(words(&[29, 23, 24]))));
        extension(out, 11, |out| out.extend_from_slice(&[1, 0]));
        alpn_list(out, &BROWSER_ALPN);
        // status_request: OCSP.
        extension(out, 5, |out| out.extend_from_slice(&[1, 0, 0, 0, 0]));
        let signatures = words(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]);
        extension(out, 13, |out| with_length(out, 2, |out| out.extend(&signatures)));
        // key_share: x25519.
        extension(out, 51, |out| {
            with_length(out, 2, |out| {
                out.extend(words(&[29]));
                with_length(out, 2, |out| out.extend_from_slice(&random.octets(32)));
            });
        });
        // psk_key_exchange_modes: with (EC)DHE.
        extension(out, 45, |out| out.extend_from_slice(&[1, 1]));
        extension(out, 43, |out| with_length(out, 1, |out| out.extend(words(&[grease_version, 0x0304, 0x0303]))));
    });
    record(HANDSHAKE, &handshake(1, &body))
}

/// What a server of TLS 1.3 says first: `ServerHello`, and secrets of this length.
#[must_use]
pub fn server_hello_1_3(secret_bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut body = TLS_1_2.to_vec();
    body.extend_from_slice(&random.octets(32));
    body.push(32);
    body.extend_from_slice(&random.octets(32));
    // TLS_AES_128_GCM_SHA256, no compression.
    body.extend_from_slice(&[0x13, 0x01, 0]);
    with_length(&mut body, 2, |out| {
        extension(out, 51, |out| {
            out.extend_from_slice(&[0, 29]);
            with_length(out, 2, |out| out.extend_from_slice(&random.octets(32)));
        });
        extension(out, 43, |out| out.extend_from_slice(&[3, 4]));
    });
    let mut flight = record(HANDSHAKE, &handshake(2, &body));
    flight.extend(record(CHANGE_CIPHER_SPEC, &[1]));
    flight.extend(record(APPLICATION_DATA, &random.octets(secret_bytes)));
    flight
}

/// A `ClientHello` that asks for this name, as simple things send it.
#[must_use]
pub fn client_hello(sni: &str, alpn: Option<&str>, random: &mut Random) -> Vec<u8> {
    let mut body = TLS_1_2.to_vec();
    body.extend_from_slice(&random.octets(32));
    // No session to take up.
    body.push(0);
    let ciphers = [0xc02b_u16, 0xc02f, 0xc02c, 0xc030, 0x009c, 0x009d, 0x002f, 0x0035, 0x00ff];
    with_length(&mut body, 2, |out| ciphers.iter().for_each(|cipher| out.extend_from_slice(&cipher.to_be_bytes())));
    // Only the null compression.
    body.extend_from_slice(&[1, 0]);
    with_length(&mut body, 2, |out| {
        server_name(out, sni);
        // supported_groups: secp256r1, secp384r1.
        extension(out, 10, |out| with_length(out, 2, |out| out.extend_from_slice(&[0, 23, 0, 24])));
        // ec_point_formats: uncompressed.
        extension(out, 11, |out| out.extend_from_slice(&[1, 0]));
        // signature_algorithms: ECDSA and RSA with SHA-256 and SHA-384.
        extension(out, 13, |out| with_length(out, 2, |out| out.extend_from_slice(&[4, 3, 4, 1, 5, 3, 5, 1])));
        if let Some(alpn) = alpn {
            alpn_list(out, &[alpn]);
        }
        // extended_master_secret.
        extension(out, 23, |_| {});
    });
    record(HANDSHAKE, &handshake(1, &body))
}

/// `ServerHello`, Certificate (noise of this length), `ServerKeyExchange` and
/// `ServerHelloDone`, each a record of its own.
#[must_use]
pub fn server_hello(certificate_bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut body = TLS_1_2.to_vec();
    body.extend_from_slice(&random.octets(32));
    body.push(32);
    body.extend_from_slice(&random.octets(32));
    body.extend_from_slice(&CIPHER);
    body.push(0);
    with_length(&mut body, 2, |out| extension(out, 23, |_| {}));
    let mut flight = record(HANDSHAKE, &handshake(2, &body));

    let mut certificate = Vec::new();
    with_length(&mut certificate, 3, |out| {
        with_length(out, 3, |out| out.extend_from_slice(&random.octets(certificate_bytes)));
    });
    flight.extend(record(HANDSHAKE, &handshake(11, &certificate)));
    // A named curve, a point on it, an RSA signature.
    let mut key_exchange = vec![3, 0, 23, 65, 4];
    key_exchange.extend_from_slice(&random.octets(64));
    key_exchange.extend_from_slice(&[4, 1]);
    with_length(&mut key_exchange, 2, |out| out.extend_from_slice(&random.octets(256)));
    flight.extend(record(HANDSHAKE, &handshake(12, &key_exchange)));
    flight.extend(record(HANDSHAKE, &handshake(14, &[])));
    flight
}

/// `ClientKeyExchange`, `ChangeCipherSpec` and Finished.
#[must_use]
pub fn client_finish(random: &mut Random) -> Vec<u8> {
    let mut exchange = vec![65, 4];
    exchange.extend_from_slice(&random.octets(64));
    let mut flight = record(HANDSHAKE, &handshake(16, &exchange));
    flight.extend(server_finish(random));
    flight
}

/// `ChangeCipherSpec` and Finished.
#[must_use]
pub fn server_finish(random: &mut Random) -> Vec<u8> {
    let mut flight = record(CHANGE_CIPHER_SPEC, &[1]);
    flight.extend(record(HANDSHAKE, &random.octets(40)));
    flight
}

/// Something said in secret: nonce, ciphertext of `plain_bytes`, tag (RFC 5288).
#[must_use]
pub fn application_data(plain_bytes: usize, random: &mut Random) -> Vec<u8> {
    record(APPLICATION_DATA, &random.octets(8 + plain_bytes + 16))
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, TLS_1_2[0], TLS_1_2[1]];
    with_length(&mut record, 2, |out| out.extend_from_slice(content));
    record
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    with_length(&mut message, 3, |out| out.extend_from_slice(body));
    message
}

/// One list with one host name (RFC 6066, section 3).
fn server_name(out: &mut Vec<u8>, sni: &str) {
    extension(out, 0, |out| {
        with_length(out, 2, |out| {
            out.push(0);
            with_length(out, 2, |out| out.extend_from_slice(sni.as_bytes()));
        });
    });
}

/// RFC 7301, section 3.1.
fn alpn_list(out: &mut Vec<u8>, names: &[&str]) {
    extension(out, 16, |out| {
        with_length(out, 2, |out| {
            names.iter().for_each(|name| with_length(out, 1, |out| out.extend_from_slice(name.as_bytes())));
        });
    });
}

fn extension(out: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&kind.to_be_bytes());
    with_length(out, 2, content);
}

/// Writes what `content` writes, after its length in so many octets.
fn with_length(out: &mut Vec<u8>, octets: usize, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + octets, 0);
    content(out);
    let len = (out.len() - at - octets).to_be_bytes();
    let (overflow, len) = len.split_at(len.len() - octets);
    assert!(overflow.iter().all(|octet| *octet == 0), "generated messages fit their length fields");
    out[at..at + octets].copy_from_slice(len);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content types and contents of the records in a flight.
    fn records(mut flight: &[u8]) -> Vec<(u8, &[u8])> {
        let mut found = Vec::new();
        while let [kind, 3, 3, high, low, rest @ ..] = flight {
            let (content, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            found.push((*kind, content));
            flight = after;
        }
        assert!(flight.is_empty(), "{flight:02x?}");
        found
    }

    #[test]
    fn a_client_hello_asks_for_its_name() {
        let hello = client_hello("mqtt.example.com", Some("mqtt"), &mut Random::new(1));
        let [(HANDSHAKE, content)] = records(&hello)[..] else { panic!("{hello:02x?}") };
        assert_eq!(content[0], 1);
        assert_eq!(usize::from(content[3]), content.len() - 4 - 256 * usize::from(content[2]));
        let sni = b"\x00\x00\x00\x15\x00\x13\x00\x00\x10mqtt.example.com";
        assert!(content.windows(sni.len()).any(|window| window == sni));
    }

    #[test]
    fn the_servers_flight_has_four_messages() {
        let flight = server_hello(1800, &mut Random::new(1));
        let kinds: Vec<_> = records(&flight).iter().map(|(kind, content)| (*kind, content[0])).collect();
        assert_eq!(kinds, [(HANDSHAKE, 2), (HANDSHAKE, 11), (HANDSHAKE, 12), (HANDSHAKE, 14)]);
    }

    #[test]
    fn a_browser_offers_tls_1_3_and_fits_a_segment() {
        for seed in 0..20 {
            let hello = browser_hello("www.example.com", &mut Random::new(seed));
            assert!(hello.len() < 1400);
            let [(HANDSHAKE, content)] = records(&hello)[..] else { panic!("{hello:02x?}") };
            assert_eq!(usize::from(content[3]), content.len() - 4 - 256 * usize::from(content[2]));
            let reserved = u16::from_be_bytes([content[73], content[74]]);
            assert_eq!((reserved & 0x0f0f, reserved >> 8), (0x0a0a, reserved & 0xff), "{reserved:04x} is of RFC 8701");
            assert!(content.ends_with(&[3, 4, 3, 3]));
        }
        let flight = server_hello_1_3(900, &mut Random::new(1));
        let kinds: Vec<_> = records(&flight).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [HANDSHAKE, CHANGE_CIPHER_SPEC, APPLICATION_DATA]);
    }

    #[test]
    fn a_secret_is_longer_than_what_it_hides() {
        assert_eq!(application_data(2, &mut Random::new(1)).len(), 31);
    }
}
